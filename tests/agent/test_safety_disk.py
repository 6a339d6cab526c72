"""The benchmark of full disks: one real one, and that its count can count."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.benches.safety import disk
from agent.installation import own_version
from agent.journal import FILE, Journal
from agent.record import Kind
from drivers.benchmark import Row

FINE = disk.Filled(told_s=1.0, withdrawn=True, entries=3, exit_code=2)


@pytest.mark.skipif(own_version() == "unknown", reason="the distribution is not installed")
@pytest.mark.skipif(sys.platform != "linux", reason="no room can be taken from a process here")
@pytest.mark.timeout(300)
def test_a_disk_that_fills_up_is_told_and_no_start_goes_without_a_journal():
    rows = disk.rows(2, lambda _: None)
    assert [row.holds for row in rows] == [True, True, True]


def judged(monkeypatch: pytest.MonkeyPatch, *filled: disk.Filled, refused: int = 2) -> list[Row]:
    trials = iter(filled)

    async def fill_one(*_: object) -> disk.Filled:
        return next(trials)

    async def starts_refused(*_: object) -> int:
        return refused

    class Served:
        def __init__(self, *_: str) -> None:
            pass

        def __enter__(self) -> int:
            return 1

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(disk, "POSSIBLE", True)
    monkeypatch.setattr(disk, "_fill_one", fill_one)
    monkeypatch.setattr(disk, "_starts_refused", starts_refused)
    monkeypatch.setattr(disk, "served", Served)
    return disk.rows(len(filled), lambda _: None)


def test_a_night_in_order_holds(monkeypatch: pytest.MonkeyPatch):
    assert [row.holds for row in judged(monkeypatch, FINE, FINE)] == [True, True, True]


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({"told_s": 5.1}, [False, True, True]),
        ({"withdrawn": False}, [True, False, True]),
        ({"entries": 0}, [True, False, True]),
        ({"exit_code": 3}, [True, False, True]),
    ],
)
def test_what_goes_wrong_is_seen(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], holds: list[bool]
):
    rows = judged(monkeypatch, FINE, replace(FINE, **changes))
    assert [row.holds for row in rows] == holds


def test_without_a_way_to_take_the_room_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch):
    rows = judged(monkeypatch, refused=1)
    assert [(row.value, row.holds) for row in rows] == [(None, None), (None, None), (1, False)]


def test_a_journal_with_gaps_or_none_gives_no_entries(tmp_path: Path):
    with Journal.create(tmp_path, {}, "run") as journal:
        for _ in range(3):
            journal.note(Kind.ERROR, 0.0, {})
    assert disk._entries(tmp_path) == 3
    (tmp_path / "run" / FILE).write_bytes(b"no journal")
    assert disk._entries(tmp_path) == 0
