"""Journals as earlier versions of tipsmith wrote them, byte for byte in their statements."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

SCHEMA_1 = """
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('started', 'look_started', 'looked', 'intent', 'outcome',
        'refused', 'declared', 'error')),
    instrument_s REAL NOT NULL,
    written_utc TEXT NOT NULL,
    payload TEXT NOT NULL,
    intent INTEGER UNIQUE REFERENCES events (sequence),
    trace BLOB
);
PRAGMA user_version = 1;
"""
INSERT = (
    "INSERT INTO events (kind, instrument_s, written_utc, payload, intent, trace) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
UTC = "2026-01-01T00:00:00.000+00:00"
Entry = tuple[str, float, dict, int | None, bytes | None]


def write_version_1(path: Path, about: dict[str, object], entries: list[Entry]) -> None:
    """A journal of the first version, with WAL and all, as its run left it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA_1)
        rows = [(name, json.dumps(value)) for name, value in about.items()]
        connection.executemany("INSERT INTO run VALUES (?, ?)", rows)
        for kind, instrument_s, payload, intent, trace in entries:
            values = (kind, instrument_s, UTC, json.dumps(payload), intent, trace)
            connection.execute(INSERT, values)
