"""The schema: older journals are read as they were meant, newer ones refused, rules kept."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.journal import FILE, Journal, history, schema
from agent.journal.past import Standing, read_past
from agent.journal.replay import replay
from agent.record import Intent, Kind, encode_intent, encode_looked, encode_outcome
from drivers.actions import Indentation
from drivers.errors import FileError
from drivers.outcome import Outcome
from drivers.sample_map import Site
from drivers.scan import Frame
from policies.history import Acted, Looked
from policies.report import TipReport, TipState
from tests.agent.old_journals import Entry, write_version_1
from tests.agent.scripted import AT

CENTRE_M, SIDE_M = -9.999999999999163e-10, 2.4000000000000003e-08
FRAME = Frame(x_m=CENTRE_M, y_m=CENTRE_M, width_m=SIDE_M, height_m=SIDE_M)
LOOKED = Looked(
    FRAME, TipReport(0.1, dict.fromkeys(TipState, 0.4), 96), Site(2e-9, 3e-9, 20e-9), 24.0
)
# The first rung of the rule: what the run of the old version did, and a new one has to repeat.
DIP = Indentation(at=AT, depth_m=0.7e-9, lift_m=2.0999999999999998e-09)
INTENT = Intent(DIP, 2e-9, 3e-9, "double: indent 0.70 nm, looking for contact", own=True)
OUTCOME = Outcome(25.0, 26.0, 1e-10, 2e-10, 1e-10)
ABOUT = {"microscope": "sim:au111", "seed": 1, "config": {"limits": {"max_depth_nm": 2.0}}}
STARTED = {"range_m": [1e-6, 1e-6], "settings": {"max_actions": 3}}


def entries() -> list[Entry]:
    numbers, _ = encode_outcome(OUTCOME)
    frame = FRAME.model_dump()
    return [
        ("started", 0.0, STARTED, None, None),
        ("look_started", 0.0, {"frame": frame, "reason": "see", "whole": False}, None, None),
        ("looked", 24.0, encode_looked(LOOKED), None, None),
        ("intent", 24.0, encode_intent(INTENT), None, None),
        ("outcome", 26.0, numbers, 4, None),
        ("intent", 27.0, encode_intent(INTENT), None, None),
    ]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old" / FILE
    write_version_1(path, ABOUT, entries())
    return path


def test_a_journal_of_the_first_version_is_read(old: Path):
    with Journal.open(old) as journal:
        assert [one.sequence for one in journal.records()] == list(range(1, 7))
        assert history(journal) == [LOOKED, Acted(DIP, 2e-9, 3e-9, OUTCOME)]
        assert journal.pending() == INTENT
        assert journal.about() == ABOUT | {
            "policy": {"name": "escalation", "limits": {"max_depth_nm": 2.0}}
        }
        # After the indentation the rule looks; the old run did something else.
        again = replay(journal)
    assert (again.decisions, again.difference.sequence) == (2, 6)
    assert again.difference.replayed["step"] == "look"
    assert read_past(old).standing is Standing.BROKEN_OFF


def test_a_journal_without_a_configuration_gets_no_policy(tmp_path: Path):
    write_version_1(tmp_path / FILE, {"seed": 1}, entries()[:1])
    with Journal.open(tmp_path / FILE) as journal:
        assert journal.about() == {"seed": 1}


def test_reading_an_old_journal_changes_nothing(old: Path):
    before = hashlib.sha256(old.read_bytes()).hexdigest()
    with Journal.open(old) as journal, pytest.raises(FileError, match="readonly"):
        journal.note(Kind.ERROR, 0.0, {})
    assert hashlib.sha256(old.read_bytes()).hexdigest() == before


def test_an_old_journal_that_breaks_the_rules_is_told(tmp_path: Path):
    write_version_1(tmp_path / FILE, {}, [("outcome", 0.0, {}, None, None)])
    with pytest.raises(FileError, match="CHECK constraint failed"):
        Journal.open(tmp_path / FILE)


def test_a_new_journal_has_taken_every_step(tmp_path: Path):
    with Journal.create(tmp_path, {}) as journal:
        assert schema.version_of(journal._connection) == schema.VERSION == len(schema.STEPS)


def version(path: Path, number: int) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
        connection.execute(f"PRAGMA user_version = {number}")
    return path


def test_other_databases_are_refused(tmp_path: Path):
    with pytest.raises(FileError, match=r"of version 99 .* versions up to 2; update tipsmith"):
        Journal.open(version(tmp_path / "newer", 99))
    with pytest.raises(FileError, match="is no journal, or its run ended before it had begun"):
        Journal.open(version(tmp_path / "stranger", 0))
    with pytest.raises(FileError, match="no such table"):
        Journal.open(version(tmp_path / "alike", 1))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET payload = '{}' WHERE sequence = 1",
        "DELETE FROM events WHERE sequence = 1",
        "INSERT INTO events VALUES (3, 'outcome', 0, '', '{}', 1, NULL)",
        "INSERT INTO events VALUES (3, 'outcome', 0, '', '{}', NULL, NULL)",
        "INSERT INTO events VALUES (3, 'error', 0, '', '{}', 2, NULL)",
        "INSERT INTO events VALUES (3, 'refused', 0, '', '{}', 9, NULL)",
        "INSERT INTO events VALUES (3, 'intent', 0, '', '{}', NULL, NULL)",
    ],
)
def test_the_database_itself_keeps_the_rules(tmp_path: Path, statement: str):
    with Journal.create(tmp_path, {}) as journal:
        journal.note(Kind.STARTED, 0.0, {})
        journal.intend(INTENT, 0.0)
        with pytest.raises(sqlite3.IntegrityError):
            journal._connection.execute(statement)
        assert len(journal.records()) == 2


def test_a_second_intent_waits_for_the_first(tmp_path: Path):
    with Journal.create(tmp_path, {}) as journal:
        first = journal.intend(INTENT, 0.0)
        with pytest.raises(FileError, match="action before it is of unknown outcome"):
            journal.intend(INTENT, 0.0)
        journal.refused(first, "no", 0.0)
        assert journal.intend(INTENT, 0.0) == 3


@pytest.mark.parametrize("content", ["('dance', 0, '', '{}')", "('error', 0, '', '{')"])
def test_an_entry_that_cannot_be_understood_is_told(tmp_path: Path, content: str):
    with Journal.create(tmp_path, {}) as journal:
        columns = "kind, instrument_s, written_utc, payload"
        journal._connection.execute(f"INSERT INTO events ({columns}) VALUES {content}")  # noqa: S608
        with pytest.raises(FileError, match=r"entry 1 of .* cannot be read"):
            journal.records()
