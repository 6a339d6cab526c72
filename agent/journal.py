"""The journal of one run: an SQLite file in which every intent is durable before its effect.

The file answers, after whatever happened: what was seen, what was decided on it, what was sent, and
what came of it. An intent that nothing answers is an action of unknown outcome.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from agent.record import (
    Intent,
    Kind,
    Payload,
    Record,
    decode_intent,
    decode_looked,
    decode_outcome,
    encode_intent,
    encode_looked,
    encode_outcome,
)
from drivers.errors import FileError
from drivers.outcome import Outcome
from policies.episode import Acted, Event, Look, Looked

FILE = "journal.sqlite"
SCHEMA_VERSION = 1
SCHEMA = f"""
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ({", ".join(f"'{kind}'" for kind in Kind)})),
    instrument_s REAL NOT NULL,
    written_utc TEXT NOT NULL,
    payload TEXT NOT NULL,
    intent INTEGER UNIQUE REFERENCES events (sequence),
    trace BLOB
);
PRAGMA user_version = {SCHEMA_VERSION};
"""


class Journal:
    """An open journal; use it as a context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def create(cls, directory: Path, about: Mapping[str, object], name: str | None = None) -> Self:
        """Start the journal of a new run.

        Args:
            directory: folder that gets a folder for this run.
            about: what is known of the run beforehand; values that JSON can hold.
            name: name of the run's folder; time and a random suffix if None.

        Raises:
            FileError: the folder exists already, or cannot be written.
        """
        path = directory / (name or _new_name()) / FILE
        with _told(path), contextlib.ExitStack() as undo:
            path.parent.mkdir(parents=True)
            connection = sqlite3.connect(path, isolation_level=None)
            undo.callback(connection.close)
            # WAL with FULL: a commit that has returned survives the loss of power.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA)
            rows = [(key, json.dumps(value)) for key, value in about.items()]
            connection.executemany("INSERT INTO run VALUES (?, ?)", rows)
            undo.pop_all()
        return cls(path, connection)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the journal of an earlier run for reading.

        Raises:
            FileError: there is none, or it is of another version.
        """
        with _told(path), contextlib.ExitStack() as undo:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            undo.callback(connection.close)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise FileError(f"{path} has journal version {version}; expected {SCHEMA_VERSION}")
            undo.pop_all()
        return cls(path, connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def note(self, kind: Kind, instrument_s: float, payload: Payload) -> int:
        """Write an entry that needs no words of its own; it is durable on return.

        Returns:
            The sequence of the entry.

        Raises:
            FileError: the disk is full or the file cannot be written.
        """
        return self._append(kind, instrument_s, payload)

    def look_started(self, look: Look, instrument_s: float) -> None:
        """Note that a scan begins."""
        payload = {"frame": look.frame.model_dump(), "reason": look.reason, "whole": look.whole}
        self._append(Kind.LOOK_STARTED, instrument_s, payload)

    def looked(self, looked: Looked) -> None:
        """Note what was seen."""
        self._append(Kind.LOOKED, looked.finished_s, encode_looked(looked))

    def intend(self, intent: Intent, instrument_s: float) -> int:
        """Note an action that is about to be sent; send it only after this has returned."""
        return self._append(Kind.INTENT, instrument_s, encode_intent(intent))

    def done(self, intent: int, outcome: Outcome) -> None:
        """Note what the action of entry ``intent`` did."""
        numbers, trace = encode_outcome(outcome)
        self._append(Kind.OUTCOME, outcome.finished_s, numbers, intent, trace)

    def refused(self, intent: int, reason: str, instrument_s: float) -> None:
        """Note that the action of entry ``intent`` was not sent."""
        self._append(Kind.REFUSED, instrument_s, {"reason": reason}, intent)

    def about(self) -> dict[str, Any]:
        """What was known of the run beforehand."""
        with _told(self.path):
            rows = self._connection.execute("SELECT name, value FROM run").fetchall()
        return {name: json.loads(value) for name, value in rows}

    def records(self) -> list[Record]:
        """All entries in their order."""
        query = (
            "SELECT sequence, kind, instrument_s, written_utc, payload, intent, trace "
            "FROM events ORDER BY sequence"
        )
        with _told(self.path):
            rows = self._connection.execute(query).fetchall()
        return [
            Record(sequence, Kind(kind), instrument_s, utc, json.loads(payload), intent, trace)
            for sequence, kind, instrument_s, utc, payload, intent, trace in rows
        ]

    def pending(self) -> Intent | None:
        """The action that was about to be sent and of which nothing more is known, if any."""
        records = self.records()
        answered = {record.intent for record in records}
        for record in reversed(records):
            if record.kind is Kind.INTENT and record.sequence not in answered:
                return decode_intent(record.payload)
        return None

    def _append(
        self,
        kind: Kind,
        instrument_s: float,
        payload: Payload,
        intent: int | None = None,
        trace: bytes | None = None,
    ) -> int:
        utc = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = (kind.value, instrument_s, utc, json.dumps(payload), intent, trace)
        columns = "kind, instrument_s, written_utc, payload, intent, trace"
        with _told(self.path):
            cursor = self._connection.execute(
                f"INSERT INTO events ({columns}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                values,
            )
        return int(cursor.lastrowid or 0)


def history(journal: Journal) -> list[Event]:
    """The history of the repair, exactly as it was when the last entry was written."""
    events: list[Event] = []
    intents: dict[int, Intent] = {}
    for record in journal.records():
        match record.kind:
            case Kind.LOOKED:
                events.append(decode_looked(record.payload))
            case Kind.INTENT:
                intents[record.sequence] = decode_intent(record.payload)
            case Kind.OUTCOME if record.intent is not None and intents[record.intent].own:
                done = intents[record.intent]
                outcome = decode_outcome(record.payload, record.trace)
                events.append(Acted(done.action, done.x_m, done.y_m, outcome))
    return events


def _new_name() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the disk or SQLite complains about into one sentence."""
    try:
        yield
    except FileExistsError:
        raise FileError(f"the run {path.parent} exists already; choose another name") from None
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileError(f"the journal {path} cannot be used: {reason}") from None
