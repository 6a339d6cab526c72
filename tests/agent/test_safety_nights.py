"""Nights of repairs: short ones, and that what goes wrong or piles up in one would be counted."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.benches.safety import bench, nights
from agent.benches.safety.audit import audit
from agent.benches.safety.holdings import Holdings, resident_mib
from agent.benches.safety.night import one_night
from agent.benches.safety.nights import Night, Order
from agent.benches.safety.playback import Playback
from agent.benches.safety.sitting import sit
from agent.config import RepairSettings
from agent.journal import FILE, Journal
from agent.record import Kind
from agent.result import Listener, RepairResult
from drivers.benchmark import BenchOptions, Row
from drivers.errors import ConnectionLost, FileError
from drivers.outcome import Outcome
from drivers.scan import Frame, Scan, ScanLine
from policies.report import TipReport, TipState
from policies.scorer.lines import Setting
from tests.agent.conftest import Start
from tests.agent.scripted import ScriptedMicroscope, ScriptedScorer

BRIEF = RepairSettings(pixels=16, lines=8, confirm_spots=2, most_spots=2, max_actions=1)
HELD = Holdings(memory_mib=100.0, tasks=1, handles=9, threads=2)
FINE = Night(True, 20, (), 0, 0, HELD, HELD, wall_s=2.0, cpu_s=1.0)


def told(quality: float, lines: int = 8) -> TipReport:
    return TipReport(quality, dict.fromkeys(TipState, 0.1), lines)


def order(folder: Path, minutes: float) -> Order:
    return Order(1, 0, minutes / 60, folder, BRIEF)


def test_a_night_goes_on_repairing_until_its_time_is_over(tmp_path: Path):
    judge = Playback([told(0.05, lines=4), told(0.9)], ScriptedScorer.manifest)
    night, reports = one_night(order(tmp_path, minutes=2), 0, judge, real=False)
    assert night.repairs > 1
    assert (night.complaints, night.outside, night.unknown) == ((), 0, 0)
    assert {one.quality for one in reports} == {0.05, 0.9}
    assert (night.before.tasks, night.before.threads) == (night.after.tasks, night.after.threads)
    assert night.before.handles == night.after.handles
    assert not list(tmp_path.iterdir())


def result(instrument_s: float = 60.0, outcome: str = "good", journal: str = "") -> RepairResult:
    return RepairResult(outcome, "so it is", 1, 0, instrument_s, 0.0, 0.0, journal, None, 0)


def sit_with(leak: Callable[[], object]) -> tuple[Holdings, Holdings]:
    """What is held after the first of eight repairs and after the last, each of which leaks."""

    async def repair(_: Listener, hours: float) -> RepairResult:
        leak()
        return result()

    async def main() -> tuple[Holdings, Holdings]:
        mine = asyncio.current_task()
        sitting = await sit(8 / 60, repair)
        for task in asyncio.all_tasks() - {mine}:
            task.cancel()
        assert sitting.before is not None
        assert len(sitting.ended) == 8
        return sitting.before, sitting.after

    return asyncio.run(main())


def test_a_task_that_is_left_is_counted():
    kept: list[asyncio.Task[object]] = []
    before, after = sit_with(
        lambda: kept.append(asyncio.create_task(asyncio.Event().wait(), name="stray"))
    )
    assert after.tasks - before.tasks == 7


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="open files cannot be told here")
def test_a_file_that_is_left_open_is_counted():
    kept: list[int] = []
    try:
        before, after = sit_with(lambda: kept.append(os.open(os.devnull, os.O_RDONLY)))
    finally:
        for one in kept:
            os.close(one)
    assert after.handles - before.handles == 7


@pytest.mark.skipif(resident_mib() is None, reason="memory cannot be told here")
def test_memory_that_is_kept_is_counted():
    kept: list[np.ndarray] = []
    before, after = sit_with(lambda: kept.append(np.ones(8 * 2**20 // 8)))
    assert after.memory_mib - before.memory_mib == pytest.approx(7 * 8, abs=6)


def test_a_thread_that_is_left_is_counted():
    over = threading.Event()
    try:
        before, after = sit_with(lambda: threading.Thread(target=over.wait, daemon=True).start())
    finally:
        over.set()
    assert after.threads - before.threads == 7


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (FileError("no room"), "a repair could not begin or end: FileError: no room"),
        (ValueError("a slip"), "a repair could not begin or end: ValueError: a slip"),
        (result(0.0), "a repair took no time: so it is"),
    ],
)
async def test_a_night_that_cannot_go_on_ends(ends: object, why: str):
    async def repair(_: Listener, hours: float) -> RepairResult:
        if isinstance(ends, Exception):
            raise ends
        return ends

    sitting = await sit(1.0, repair)
    assert sitting.failed == why
    assert sitting.before is None


async def test_the_last_repair_has_only_what_is_left_of_the_night():
    left: list[float] = []

    async def repair(_: Listener, hours: float) -> RepairResult:
        left.append(hours)
        return result(2400.0)

    await sit(1.0, repair)
    assert left == pytest.approx([1.0, 1 / 3])


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.create(tmp_path, {"policy": {"limits": {}}}, "run") as journal:
        yield journal


async def test_what_a_repair_told_stands_in_its_journal(start: Start, seen: list[object]):
    ended = await start(ScriptedMicroscope([0.1, 0.9]))
    steps = sum(progress.event is not None for progress in seen)
    found = audit(ended, steps)
    assert (found.complaints, found.outside, found.unknown) == ((), 0, False)
    assert [one.quality for one in found.reports] == pytest.approx([0.1, 0.9, 0.9, 0.9])
    assert audit(ended, steps + 1).complaints == (
        f"it told of {steps + 1} looks and actions, and its journal holds {steps}",
    )
    assert audit(replace(ended, warning="left"), steps).complaints == ("left",)
    (other,) = audit(replace(ended, outcome="gave_up"), steps).complaints
    assert other == "it said that it is gave up, and its journal good"


async def test_a_stop_without_withdrawal_and_an_unknown_outcome_are_found(start: Start):
    lost = ConnectionLost("the link broke")
    ended = await start(ScriptedMicroscope([0.1], fail_action=(1, lost), fail_withdraw=lost))
    found = audit(ended, 1)
    assert found.unknown
    assert found.complaints[0] == "it is stopped: the link broke"
    assert found.complaints[1].startswith("it stopped without having withdrawn: the link broke")


async def test_a_repair_that_was_stopped_did_not_end_well_though_it_withdrew(start: Start):
    ended = await start(ScriptedMicroscope([0.1], fail_scan=(1, ConnectionLost("the link broke"))))
    steps = 2
    assert ended.outcome == "stopped"
    assert audit(ended, steps).complaints == ("it is stopped: the link broke",)


async def test_a_pause_is_no_end_where_nobody_else_is(start: Start):
    microscope = ScriptedMicroscope([0.1])
    perform = microscope.perform

    async def meddled(action: object) -> Outcome:
        outcome = await perform(action)
        microscope.change(bias_v=1.0)
        return outcome

    microscope.perform = meddled
    ended = await start(microscope)
    assert audit(ended, 1).complaints[0].startswith("it is paused: somebody else")


def test_a_journal_that_cannot_be_read_is_found(tmp_path: Path):
    path = tmp_path / FILE
    path.write_bytes(b"no journal" * 100)
    (complaint,) = audit(result(journal=str(path)), 0).complaints
    assert complaint.startswith("the journal cannot be read")


def test_a_request_outside_the_envelope_is_counted(tmp_path: Path):
    frame = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=24e-9)
    far = frame.model_copy(update={"x_m": 1e-6})
    about = {"microscope": "sim:", "policy": {"limits": {}}}
    with Journal.create(tmp_path, about, "run") as journal:
        plan = BRIEF.model_dump(mode="json")
        journal.note(Kind.STARTED, 0.0, {"range_m": (1e-6, 1e-6), "settings": plan})
        for one in (frame, far):
            payload = {"frame": one.model_dump(), "reason": "", "whole": True}
            journal.note(Kind.LOOK_STARTED, 0.0, payload)
        journal.note(Kind.DECLARED, 0.0, {"outcome": "good", "confirmed_on": 1, "reason": ""})
    found = audit(result(journal=str(tmp_path / "run" / FILE)), 0)
    assert (found.outside, found.complaints) == (1, ())


def test_reports_are_played_back_in_their_order_and_anew():
    reports = [told(0.1), told(0.2, lines=4)]
    played = Playback(reports, ScriptedScorer.manifest, at=1)
    z = np.zeros((8, 16), np.float32)
    assert [played.judge(Scan(z)).quality for _ in range(3)] == [0.2, 0.1, 0.2]
    assert played.judge(Scan(z[:5])).lines == 5
    with pytest.raises(ValueError, match="no report"):
        Playback([], ScriptedScorer.manifest)


@pytest.mark.parametrize(("lines", "stopped_after"), [(4, 4), (8, None)])
def test_a_scan_is_broken_off_where_the_recorded_one_was(lines: int, stopped_after: int | None):
    stream = Playback([told(0.1, lines)], ScriptedScorer.manifest).stream(
        Setting(16, 8, 24e-9, scale_known=True)
    )
    z = np.zeros(16, np.float32)
    stops = []
    for index in range(8):
        assert stream.read(ScanLine(index, index, z, z, 0.0)).lines == index + 1
        if stream.stop_early():
            stops.append(index + 1)
    assert (stops[0] if stops else None) == stopped_after


def figures(monkeypatch: pytest.MonkeyPatch, *found: Night, wanted: int | None = None) -> list[Row]:
    monkeypatch.setattr(nights, "in_order", lambda work, orders, workers: iter([list(found)]))
    recorded = (wanted or len(found)) - 1
    return nights.rows([Order(0, recorded, 8.0, Path())], 1, lambda _: None)


def test_nights_in_order_hold(monkeypatch: pytest.MonkeyPatch):
    rows = figures(monkeypatch, FINE, replace(FINE, real=False, cpu_s=3.0))
    assert [row.holds for row in rows] == [True] * 8
    assert rows[0].note == "2 of 2 of 8 h, 1 real and 1 with recorded reports; 40 repairs"
    assert "with recorded reports 2 s (3 s of processor time)" in rows[3].note


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"complaints": ("its journal has gaps",)}, 0),
        ({"outside": 1}, 1),
        ({"unknown": 1}, 2),
        ({"after": replace(HELD, memory_mib=106.0)}, 4),
        ({"after": replace(HELD, tasks=2)}, 5),
        ({"after": replace(HELD, handles=8)}, 6),
        ({"after": replace(HELD, threads=3)}, 7),
    ],
)
def test_one_bad_night_is_enough(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], row: int
):
    rows = figures(monkeypatch, FINE, replace(FINE, **changes))
    assert [at for at, one in enumerate(rows) if one.holds is False] == [row]


def test_nights_that_never_came_count(monkeypatch: pytest.MonkeyPatch):
    assert figures(monkeypatch, FINE, wanted=5)[0].value == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    "changes", [{"before": None}, {"before": replace(HELD, memory_mib=None, handles=None)}]
)
def test_what_cannot_be_told_is_not_claimed(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
):
    rows = figures(monkeypatch, FINE, replace(FINE, **changes))
    assert [rows[at].value for at in (4, 6)] == [None, None]
    assert rows[4].holds is None


@pytest.mark.parametrize(("quick", "expected"), [(True, (1, 2, 0.5, 1)), (False, (10, 4, 8.0, 5))])
def test_how_many_nights(
    monkeypatch: pytest.MonkeyPatch, quick: bool, expected: tuple[int, int, float, int]
):
    asked: list[object] = []

    def rows(orders: list[Order], workers: int, progress: object) -> list[Row]:
        asked.extend((len(orders), orders[0].recorded, orders[0].hours, workers))
        return []

    monkeypatch.setattr(nights, "rows", rows)
    setting = bench.Setting(BenchOptions(quick=quick), 1, Path(), lambda _: None)
    bench.nights_of_repairs(setting)
    assert tuple(asked) == expected
    assert bench.nights_of_repairs in bench.PARTS.values()
