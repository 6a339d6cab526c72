"""The watches beside a run: what sets each off, and what happens then."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from agent.computer import LOOK_S, PATIENCE_S, Computer, Lookout
from agent.config import USUAL_WATCHES, Config, WatchdogSettings, load_config
from agent.hands import Left
from agent.journal import Journal
from agent.record import Kind
from agent.repair import repair
from agent.result import Progress
from agent.watches import WATCHES, Reaction, Sighting
from drivers.microscope import Feedback
from tests.agent.conftest import Start
from tests.agent.scripted import (
    DIP,
    FOUND,
    Always,
    ScriptedMicroscope,
    ScriptedScorer,
    scribe,
)

DOCS = Path(__file__).parents[2] / "docs" / "watchdogs.md"
FINE = Sighting(FOUND, Left.found(FOUND), None, None, 0.1, 1000.0, 1000.0)


def sighted(**values: object) -> Sighting:
    return replace(FINE, state=replace(FOUND, **values))


SIGHTINGS = {
    "current": sighted(current_a=-1.01e-9),
    "z range": sighted(z_m=-0.481e-6),
    "feedback lost": sighted(feedback=Feedback.WITHDRAWN),
    "scan stalled": Sighting(overdue_s=120.0),
    "controller silent": Sighting(silent_s=30.0),
    "disk": replace(FINE, disk_mib=7.9),
    "operator": sighted(bias_v=1.0),
    "clock jump": replace(FINE, jumped_s=-3600.0),
    "memory": replace(FINE, memory_mib=100.0),
}
WITHIN = [
    FINE,
    Sighting(),
    sighted(current_a=0.99e-9),
    sighted(z_m=-0.479e-6),
    sighted(z_m=0.21e-6, z_limits_m=(-0.2e-6, 0.22e-6)),
    replace(FINE, disk_mib=None, memory_mib=None),
]


def barking(seen: Sighting) -> list[str]:
    return [watch.name for watch in WATCHES if watch.complain(seen, USUAL_WATCHES)]


@pytest.mark.parametrize("name", [watch.name for watch in WATCHES])
def test_every_watch_is_set_off_by_what_it_watches_alone(name: str):
    assert barking(SIGHTINGS[name]) == [name]


@pytest.mark.parametrize("seen", WITHIN)
def test_nothing_is_set_off_by_what_is_within_bounds(seen: Sighting):
    assert barking(seen) == []


# From 0.45 nA on, 20 setpoints are more than a preamplifier tells that clips at 10 nA; of the
# setpoints that the limits allow, none sets the watch off by itself.
@pytest.mark.parametrize(
    ("setpoint_a", "threshold_a"),
    [(50e-12, 1e-9), (0.45e-9, 9e-9), (1e-9, 9e-9), (6e-9, 9e-9), (8e-9, 12e-9), (20e-9, 30e-9)],
)
def test_a_current_is_held_against_the_setpoint_and_the_preamplifier(
    setpoint_a: float, threshold_a: float
):
    left = replace(FINE.left, setpoint_a=setpoint_a)
    for share, told in ((0.99, []), (1.01, ["current"])):
        state = replace(FOUND, setpoint_a=setpoint_a, current_a=share * threshold_a)
        assert barking(replace(FINE, state=state, left=left)) == told


@pytest.mark.parametrize(("z_m", "told"), [(-0.199e-6, ["z range"]), (0.0, [])])
def test_a_tip_stuck_at_a_limit_of_the_controller_is_seen(z_m: float, told: list[str]):
    assert barking(sighted(z_m=z_m, z_limits_m=(-0.2e-6, 0.2e-6))) == told


def test_limits_beyond_the_piezo_do_not_widen_its_range():
    wide = replace(FOUND, z_limits_m=(-5e-6, 0.2e-6))
    assert wide.z_reach_m == (-0.5e-6, 0.2e-6)
    assert FOUND.z_reach_m == (-0.5e-6, 0.5e-6)


def test_a_tip_that_the_agent_withdrew_may_stand_at_the_end_of_its_range():
    up = replace(FOUND, z_m=0.5e-6, feedback=Feedback.WITHDRAWN)
    assert barking(replace(FINE, state=up, left=FINE.left.withdrawn())) == []


def test_the_table_of_the_documentation_is_the_table_of_the_program():
    rows = [line.strip("|").split("|") for line in DOCS.read_text().splitlines() if "|" in line]
    told = [(cells[0].strip(), cells[-1].strip()) for cells in rows[2:]]
    assert told == [(watch.name, str(watch.reaction)) for watch in WATCHES]


def test_the_documentation_tells_every_threshold():
    text = DOCS.read_text()
    for name, value in USUAL_WATCHES:
        assert f"`{name}` = {value * 100 if name == 'z_margin' else value:g}" in text


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"current_a": 20e-9}, "the current is 20000 pA, more than 20 times"),
        ({"z_m": 0.495e-6}, r"z is 495.0 nm, at the end of its range"),
        ({"feedback": Feedback.WITHDRAWN}, "the tip was in contact and is withdrawn"),
        # What hurts the tip goes before whose hand it was.
        ({"current_a": 20e-9, "bias_v": 1.0}, "the current is 20000 pA"),
    ],
)
async def test_trouble_between_steps_withdraws_before_the_next(
    start: Start, journal: Journal, values: dict[str, object], told: str
):
    microscope = ScriptedMicroscope([0.1])
    scan = microscope.scan

    async def troubled(settings: object):
        async for line in scan(settings):
            yield line
        microscope.change(**values)

    microscope.scan = troubled
    result = await start(microscope)
    assert (result.outcome, result.exit_code) == ("stopped", 3)
    assert result.reason.startswith(told)
    assert microscope.calls == ["scan", "withdraw"]
    assert journal.records()[-1].payload["withdrawn"]


Timed = Callable[[ScriptedMicroscope], tuple[float, str]]


@pytest.fixture
def timed(run_virtual, settings, tmp_path: Path) -> Timed:
    """Run a repair in virtual time; how long it took on the loop, and how it ended."""

    def run(microscope: ScriptedMicroscope) -> tuple[float, str]:
        async def main() -> tuple[float, str]:
            started = asyncio.get_running_loop().time()
            with Journal.create(tmp_path, {}, "night") as journal:
                result = await repair(
                    microscope.enveloped(),
                    ScriptedScorer(),
                    Always(DIP),
                    settings,
                    scribe(journal),
                )
            assert result.outcome == "stopped"
            assert microscope.calls[-1] == "withdraw"
            return asyncio.get_running_loop().time() - started, result.reason

        return run_virtual(main)

    return run


def test_a_scan_that_stalls_is_ended(timed: Timed):
    microscope = ScriptedMicroscope([0.1], fail_scan=(0, None))
    seconds, reason = timed(microscope)
    assert seconds == pytest.approx(120.0)
    assert reason == "no line of the scan came for 120 s; look at the instrument"
    assert microscope.lines == [12]


def test_the_first_line_gets_the_time_of_the_way_there(timed: Timed):
    microscope = ScriptedMicroscope([0.1])

    async def stuck(settings: object):
        await asyncio.Event().wait()
        yield

    microscope.scan = stuck
    seconds, _ = timed(microscope)
    # A range of 1.41 um from corner to corner, at 24 nm in 0.10 s.
    assert seconds == pytest.approx(120 + 1414 / 240, abs=0.1)


# At the start, before the first scan, and before the first action.
@pytest.mark.parametrize("answers", [0, 1, 3])
def test_an_instrument_that_falls_silent_is_withdrawn(timed: Timed, answers: int):
    microscope = ScriptedMicroscope([0.1])
    state = microscope.state
    asked = []

    async def silent() -> object:
        asked.append(None)
        if len(asked) > answers:
            await asyncio.Event().wait()
        return await state()

    microscope.state = silent
    seconds, reason = timed(microscope)
    assert seconds == pytest.approx(30.0)
    assert reason.startswith("the instrument has not told its state for 30 s")


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines and steps that come a second apart."""
    seconds = count()
    monkeypatch.setattr(Computer, "clocks", lambda computer: (LOOK_S * next(seconds),) * 2)


@pytest.mark.usefixtures("always_due")
async def test_a_disk_that_fills_up_ends_the_run_within_a_line(
    start: Start, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    microscope = ScriptedMicroscope([0.1])
    left = iter([50.0, 9.0, 8.0, 7.9])
    monkeypatch.setattr(Computer, "disk_mib", lambda computer: next(left))
    result = await start(microscope)
    assert result.reason.startswith("the disk of the journal has 7.9 MiB left, less than 8")
    assert microscope.lines == [3]
    assert microscope.calls == ["scan", "withdraw"]
    # There was still room for the last word.
    assert journal.records()[-1].kind is Kind.ERROR


@pytest.mark.usefixtures("always_due")
async def test_little_memory_is_told_once_each_time(
    start: Start, journal: Journal, seen: list[Progress], monkeypatch: pytest.MonkeyPatch
):
    left = iter([500.0, 100.0, 90.0, 500.0, 80.0])
    monkeypatch.setattr(Computer, "memory_mib", lambda computer: next(left, 70.0))
    result = await start(ScriptedMicroscope([0.9]))
    assert result.outcome == "good"
    noticed = [one.payload for one in journal.records() if one.kind is Kind.NOTICED]
    assert [one["watch"] for one in noticed] == ["memory", "memory"]
    notes = [progress.note for progress in seen if progress.note]
    assert [note.partition(" left")[0] for note in notes] == [
        "this computer has 100 MiB of memory",
        "this computer has 80 MiB of memory",
    ]


async def test_little_memory_is_told_once_though_most_lines_come_within_a_second(
    start: Start, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    tenths = count()
    monkeypatch.setattr(Computer, "clocks", lambda computer: (next(tenths) / 10,) * 2)
    monkeypatch.setattr(Computer, "memory_mib", lambda computer: 100.0)
    assert (await start(ScriptedMicroscope([0.9]))).outcome == "good"
    noticed = [one.payload for one in journal.records() if one.kind is Kind.NOTICED]
    assert [one["watch"] for one in noticed] == ["memory"]


async def test_a_clock_that_jumps_is_told_and_the_run_goes_on(
    start: Start, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    clocks = iter([(1000.0, 1.0), (1000.5, 1.5), (4601.0, 2.0), (4602.0, 3.0), (4603.0, 4.0)])
    monkeypatch.setattr(Computer, "clocks", lambda computer: next(clocks, (4604.0, 5.0)))
    result = await start(ScriptedMicroscope([0.9]))
    assert result.outcome == "good"
    (noticed,) = [one.payload for one in journal.records() if one.kind is Kind.NOTICED]
    assert noticed["watch"] == "clock jump"
    assert "has jumped by +3600 s" in noticed["complaint"]


async def test_the_computer_is_looked_at_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    times = iter([0.0, 0.1, 0.9, 1.0, 1.1, 2.2])
    monkeypatch.setattr(Computer, "clocks", lambda computer: (next(times),) * 2)
    left = iter([30.0, 20.0, 10.0])
    monkeypatch.setattr(Computer, "disk_mib", lambda computer: next(left))
    lookout = Lookout(Computer(tmp_path))
    assert [(await lookout.look(), lookout.disk_mib) for _ in range(5)] == [
        (True, 30.0),
        (False, 30.0),
        (False, 30.0),
        (True, 20.0),
        (True, 10.0),
    ]


@pytest.mark.usefixtures("always_due")
async def test_a_disk_that_hangs_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    answers, asked = threading.Event(), []

    def hang(computer: Computer) -> float:
        asked.append(threading.get_ident())
        answers.wait()
        return 5.0

    monkeypatch.setattr(Computer, "disk_mib", hang)
    lookout, turned = Lookout(Computer(tmp_path)), []
    turning = asyncio.create_task(_turn(turned), name="turning")
    try:
        started = time.monotonic()
        assert await lookout.look()
        assert lookout.disk_mib is None
        assert time.monotonic() - started >= PATIENCE_S
        # The event loop has gone on meanwhile.
        assert len(turned) > 2
        assert await lookout.look()
        # It was not asked again while it hangs.
        assert (len(asked), lookout.disk_mib) == (1, None)
        assert asked != [threading.get_ident()]
    finally:
        turning.cancel()
        answers.set()
    while lookout.disk_mib is None:
        assert await lookout.look()
    assert (lookout.disk_mib, len(asked)) == (5.0, 2)


async def _turn(turned: list[None]) -> None:
    while True:
        turned.append(None)
        await asyncio.sleep(PATIENCE_S / 10)


def test_a_computer_tells_of_its_disk_and_memory(tmp_path: Path):
    computer = Computer(tmp_path)
    assert computer.disk_mib() > 0
    assert computer.memory_mib() is None or computer.memory_mib() > 0
    assert Computer(tmp_path / "gone").disk_mib() is None


def test_the_thresholds_are_configured(tmp_path: Path):
    path = tmp_path / "tip.toml"
    path.write_text("[watchdogs]\nstall_s = 300\ncurrent_ratio = 5.0\n")
    config = load_config(path)
    assert config.watchdogs == WatchdogSettings(stall_s=300, current_ratio=5.0)
    assert Config().watchdogs == USUAL_WATCHES


def test_reactions_are_those_that_people_know():
    assert {watch.reaction for watch in WATCHES} == set(Reaction)
