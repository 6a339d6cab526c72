"""The journal of one run: an SQLite file in which every intent is durable before its effect.

The file answers, after whatever happened: what was seen, what was decided on it, what was sent, and
what came of it. An intent that nothing answers is an action of unknown outcome. Entries are only
ever added, one intent at a time; the database itself holds to that.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from agent.journal import schema, storage
from agent.record import (
    Intent,
    Kind,
    Payload,
    Record,
    decode_intent,
    encode_intent,
    encode_looked,
    encode_outcome,
)
from drivers.complaints import shown
from drivers.errors import FileError, UserError
from drivers.outcome import Outcome
from policies.episode import Look
from policies.history import Looked

FILE = "journal.sqlite"
_COLUMNS = "kind, instrument_s, written_utc, payload, intent, trace"


class Journal:
    """An open journal; use it as a context manager."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        alive: FileLock | None = None,
        place: storage.Place | None = None,
    ) -> None:
        self.path = path
        self._connection = connection
        self._alive = alive
        self._place = place or storage.Place(path, {})

    @classmethod
    def create(cls, directory: Path, about: Mapping[str, object], name: str | None = None) -> Self:
        """Start the journal of a new run; the run counts as alive until it is closed.

        Args:
            directory: folder that gets a folder for this run.
            about: what is known of the run beforehand; values that JSON can hold.
            name: name of the run's folder; time and a random suffix if None.

        Raises:
            FileError: the folder exists already, or cannot be written.
        """
        path = directory / (name or _new_name(directory)) / FILE
        with storage.told(path), contextlib.ExitStack() as undo:
            storage.make_folder(path.parent)
            alive = storage.hold(path.parent)
            undo.callback(alive.release)
            connection = storage.connect_new(path)
            undo.callback(connection.close)
            rows = [(key, json.dumps(value)) for key, value in about.items()]
            with storage.transaction(connection):
                schema.upgrade(connection)
                connection.executemany("INSERT INTO run VALUES (?, ?)", rows)
            storage.sync_folder(path.parent)
            place = storage.Place.of(path)
            undo.pop_all()
        return cls(path, connection, alive, place)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the journal of an earlier run for reading.

        Raises:
            FileError: there is none, or it is of a newer version.
        """
        with storage.told(path):
            return cls(path, storage.connect_reading(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
        if self._alive is not None:
            self._alive.release()

    def note(self, kind: Kind, instrument_s: float, payload: Payload) -> int:
        """Write an entry that needs no words of its own; it is durable on return.

        Returns:
            The sequence of the entry.

        Raises:
            FileError: the disk is full, or the file cannot be written or was removed.
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
        """Note an action that is about to be sent; send it only after this has returned.

        Raises:
            FileError: as for ``note``, or the outcome of the action before is unknown.
        """
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
        with storage.told(self.path):
            rows = self._connection.execute("SELECT name, value FROM run").fetchall()
        return {name: json.loads(value) for name, value in rows}

    def records(self) -> list[Record]:
        """All entries in their order.

        Raises:
            FileError: the file is damaged, or holds what this version does not know.
        """
        query = f"SELECT sequence, {_COLUMNS} FROM events ORDER BY sequence"  # noqa: S608
        with storage.told(self.path):
            rows = self._connection.execute(query).fetchall()
        return [self._record(row) for row in rows]

    def pending(self) -> Intent | None:
        """The action that was about to be sent and of which nothing more is known, if any."""
        last = next((one for one in reversed(self.records()) if one.kind in _OF_ACTIONS), None)
        return decode_intent(last.payload) if last and last.kind is Kind.INTENT else None

    def expect_unused(self) -> None:
        """Make sure that no run has begun in it: a run is never resumed.

        Raises:
            UserError: one has.
        """
        pending = self.pending()
        if pending is not None:
            raise UserError(
                f"the run in {self.path} broke off in an action of unknown outcome "
                f"({pending.action.kind}); start a new run, which looks at the tip first"
            )
        if self.records():
            raise UserError(f"{self.path} holds a run already; start a new one")

    def _record(self, row: tuple[Any, ...]) -> Record:
        sequence, kind, instrument_s, utc, payload, intent, trace = row
        try:
            known, content = Kind(kind), json.loads(payload)
        except (ValueError, TypeError, RecursionError) as error:
            raise FileError(
                f"entry {sequence} of {self.path} cannot be read: {error}; "
                "the file is damaged or from another version of tipsmith"
            ) from None
        if not isinstance(content, dict):
            raise FileError(
                f"entry {sequence} of {self.path} is not understood: expected an object, got "
                f"{shown(content)}; the file is damaged or from another version of tipsmith"
            )
        return Record(sequence, known, instrument_s, utc, content, intent, trace)

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
        with storage.told(self.path):
            cursor = self._connection.execute(
                f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                values,
            )
            # Only now: an entry that nobody can find is none.
            self._place.expect_kept()
        return int(cursor.lastrowid or 0)


_OF_ACTIONS = frozenset({Kind.INTENT, Kind.OUTCOME, Kind.REFUSED})


def _new_name(directory: Path) -> str:
    """A name behind those of all runs before: in their order the latest run is found."""
    now = datetime.now(UTC)
    # The clock may have been put back since; nothing must be hidden behind a run of the future.
    begun = (_begun(path.parent.name) for path in directory.glob(f"*/{FILE}"))
    latest = max((one for one in begun if one is not None), default=now)
    if latest >= now:
        now = latest + timedelta(milliseconds=1)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{secrets.token_hex(3)}"


def _begun(name: str) -> datetime | None:
    """When the run called ``name`` began; None for a name that somebody gave it."""
    try:
        return datetime.strptime(name.partition("Z-")[0] + "000+0000", "%Y%m%dT%H%M%S%f%z")
    except ValueError:
        return None
