"""Runs as their journals show them: how they stand, and what they owe."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.journal import FILE, Journal, journal
from agent.journal.lately import sent_lately
from agent.journal.past import (
    Past,
    Standing,
    find_run,
    latest_owed,
    read_past,
    runs,
    same_instrument,
)
from agent.record import Kind
from agent.recovery import look_back
from drivers.errors import FileError
from drivers.microscope import Debts

HERE, THERE = "nanonis://here", "nanonis://there"
LIFT = {"before": {"lift_m": 1.0}, "left": [{"lift_m": 2.0}]}


def keep(
    directory: Path, name: str, *owed: Debts, microscope: str = HERE, end: bool = True
) -> Path:
    with Journal.create(directory, {"microscope": microscope}, name) as journal:
        for debts in owed:
            journal.note(Kind.OWED, 0.0, debts)
        if end:
            journal.note(Kind.ERROR, 1.0, {"reason": "cut", "withdrawn": True})
    return directory / name / FILE


def test_the_changes_of_a_run_add_up(tmp_path: Path):
    path = keep(tmp_path, "a", {}, {"one": LIFT, "two": LIFT}, {"one": None}, {"three": LIFT})
    assert read_past(path).owed == {"two": LIFT, "three": LIFT}
    assert read_past(keep(tmp_path, "b")).owed is None


def test_the_latest_run_that_took_account_is_believed(tmp_path: Path):
    assert latest_owed(tmp_path, HERE) is None
    keep(tmp_path, "a", {"one": LIFT})
    keep(tmp_path, "b", microscope=THERE)
    keep(tmp_path, "c", end=False)
    assert latest_owed(tmp_path, HERE).name == "a"
    keep(tmp_path, "d", {})
    assert latest_owed(tmp_path, HERE).owed == {}
    with Journal.create(tmp_path, {"microscope": HERE}, "e") as journal:
        journal.note(Kind.OWED, 0.0, {"one": LIFT})
        assert latest_owed(tmp_path, HERE) is None
    assert latest_owed(tmp_path, HERE).name == "e"


def test_taking_account_is_no_step_of_a_run(tmp_path: Path):
    past = read_past(keep(tmp_path, "a", {"one": LIFT}))
    assert (past.entries, past.standing, past.withdrawn) == (1, Standing.STOPPED, True)
    with Journal.create(tmp_path, {"microscope": HERE}, "b") as journal:
        journal.note(Kind.DECLARED, 0.0, {"outcome": "good", "confirmed_on": 5, "reason": "good"})
        journal.note(Kind.OWED, 0.0, {"one": None})
    assert read_past(tmp_path / "b" / FILE).standing is Standing.GOOD


def test_a_run_begins_with_its_first_entry(tmp_path: Path):
    insert = "INSERT INTO events (kind, instrument_s, written_utc, payload) VALUES (?, 0, ?, '{}')"
    with Journal.create(tmp_path, {"microscope": HERE}, "a") as opened:
        for kind, utc in (("started", "first"), ("look_started", "second"), ("withdrawn", "last")):
            opened._connection.execute(insert, (kind, utc))
    past = read_past(opened.path)
    assert (past.started_utc, past.entries, past.microscope) == ("first", 3, HERE)


def test_of_a_run_that_cannot_be_read_nothing_is_known(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / FILE).write_text("")
    past = read_past(tmp_path / "a" / FILE)
    assert past == Past("a", Standing.UNREADABLE, None, None, 0, False, None, past.reason, None)
    assert "is no journal" in past.reason


def test_a_run_on_no_known_instrument_was_on_none_that_is_asked_for():
    assert same_instrument(None, HERE) is False


def test_a_run_left_to_somebody_at_the_instrument_is_paused(tmp_path: Path):
    with Journal.create(tmp_path, {"microscope": HERE}, "a") as opened:
        opened.note(Kind.PAUSED, 0.0, {"reason": "look at it"})
    past = read_past(opened.path)
    assert (past.standing, past.reason, past.withdrawn) == (Standing.PAUSED, "look at it", False)


def test_runs_of_one_moment_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Stopped(journal.datetime):
        @classmethod
        def now(cls, tz: object = None) -> Stopped:
            return cls(2026, 1, 2, 3, 4, 5, 996_000, tz)

    monkeypatch.setattr(journal, "datetime", Stopped)
    names = []
    for _ in range(3):
        with Journal.create(tmp_path, {}) as opened:
            names.append(opened.path.parent.name)
    assert [name[:-6] for name in names] == [
        f"20260102T030405{milliseconds}Z-" for milliseconds in (997, 998, 999)
    ]
    assert len({name[-6:] for name in names}) == 3
    assert [past.name for past in runs(tmp_path)] == names[::-1]


def test_a_journal_that_is_closed_is_let_go_of(tmp_path: Path):
    with Journal.create(tmp_path, {"microscope": HERE}, "a") as opened:
        assert read_past(opened.path).standing is Standing.RUNNING
    assert read_past(opened.path).standing is Standing.BROKEN_OFF
    with pytest.raises(FileError, match="closed database"):
        opened.records()


NO_ADDRESSES = ["nanonis://[::1", "no scheme", 5, [HERE], {}]


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address_is_no_known_instrument(address: object):
    assert same_instrument(address, HERE) is False


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_a_run_on_what_is_no_address_may_have_left_any_tip_in_contact(
    tmp_path: Path, address: object
):
    keep(tmp_path, "a", {"one": LIFT})
    with Journal.create(tmp_path, {"microscope": address}, "b") as opened:
        opened.note(Kind.OWED, 0.0, {"two": LIFT})
        opened.note(Kind.DECLARED, 0.0, {"outcome": "good", "confirmed_on": 5, "reason": "good"})
    past = read_past(opened.path)
    assert (past.standing, past.microscope) == (Standing.UNREADABLE, None)
    assert "its microscope is no address but" in past.reason
    found = look_back(tmp_path, HERE)
    assert (found.run, found.in_contact) == ("b", True)
    # What it owes is nobody's; what the run before does, stays owed.
    assert latest_owed(tmp_path, HERE).owed == {"one": LIFT}
    assert sent_lately(tmp_path, HERE, datetime.now(UTC)) == []


def test_a_file_is_no_folder_of_runs(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file is no folder; expected one with a folder for each"):
        runs(tmp_path / "file")
    assert runs(tmp_path / "none") == []


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path):
    name = 300 * "a"
    with pytest.raises(FileError, match="cannot be looked up: File name too long"):
        find_run(name, tmp_path)
    with pytest.raises(FileError, match="cannot be read: File name too long"):
        runs(tmp_path / name)


def test_a_tip_counts_as_withdrawn_only_if_the_journal_says_so(tmp_path: Path):
    with Journal.create(tmp_path, {"microscope": HERE}, "a") as opened:
        opened.note(Kind.ERROR, 0.0, {"reason": "cut", "withdrawn": "no"})
    assert read_past(opened.path).withdrawn is False
