"""The schema of a journal as the steps that lead to it: a new file takes all, an old one the rest.

A step that has been released is never edited; what changes is a further step.
"""

from __future__ import annotations

import sqlite3

_FIRST = (
    "CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE events (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL CHECK (kind IN ('started', 'look_started', 'looked', 'intent',
            'outcome', 'refused', 'declared', 'error')),
        instrument_s REAL NOT NULL,
        written_utc TEXT NOT NULL,
        payload TEXT NOT NULL,
        intent INTEGER UNIQUE REFERENCES events (sequence),
        trace BLOB
    )
    """,
)

# The database itself holds what a journal promises, whatever the program does. That runs were
# decided by the rule of escalation, within the limits of their configuration, used to go without
# saying.
_SECOND = (
    """
    CREATE TABLE kept (
        sequence INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        instrument_s REAL NOT NULL,
        written_utc TEXT NOT NULL,
        payload TEXT NOT NULL,
        intent INTEGER UNIQUE REFERENCES kept (sequence),
        trace BLOB,
        CHECK ((kind IN ('outcome', 'refused')) = (intent IS NOT NULL))
    )
    """,
    "INSERT INTO kept SELECT * FROM events",
    "DROP TABLE events",
    "ALTER TABLE kept RENAME TO events",
    """
    CREATE TRIGGER never_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END
    """,
    """
    CREATE TRIGGER never_removed BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'an entry is never removed'); END
    """,
    """
    CREATE TRIGGER answers_an_intent BEFORE INSERT ON events
    WHEN NEW.intent IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM events WHERE sequence = NEW.intent AND kind = 'intent'
    )
    BEGIN SELECT RAISE(ABORT, 'only an intent can be answered'); END
    """,
    """
    CREATE TRIGGER one_intent_at_a_time BEFORE INSERT ON events
    WHEN NEW.kind = 'intent' AND EXISTS (
        SELECT 1 FROM (
            SELECT sequence FROM events WHERE kind = 'intent' ORDER BY sequence DESC LIMIT 1
        ) AS last WHERE NOT EXISTS (SELECT 1 FROM events WHERE intent = last.sequence)
    )
    BEGIN SELECT RAISE(ABORT, 'the action before it is of unknown outcome'); END
    """,
    """
    INSERT INTO run SELECT 'policy', json_object(
        'name', 'escalation', 'limits', json(json_extract(value, '$.limits'))
    ) FROM run WHERE name = 'config'
    """,
)

STEPS = (_FIRST, _SECOND)
VERSION = len(STEPS)


def version_of(connection: sqlite3.Connection) -> int:
    """How many of the steps the database has taken; 0 if it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def upgrade(connection: sqlite3.Connection) -> None:
    """Take the steps that the database lacks; within a transaction of the caller's."""
    for step in STEPS[version_of(connection) :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
