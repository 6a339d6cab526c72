"""Letting go of an instrument under a guardian: it guards until that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from agent.config import Config, GuardianSettings, RepairSettings
from agent.guardian.states import State
from agent.journal import Journal
from agent.record import Kind
from agent.result import Listener, Progress, RepairResult
from agent.session import CLOSE_TIMEOUT_S, run_repair
from drivers.errors import FileError, SettingsChanged
from drivers.nanonis.microscope import PUT_BACK_S
from policies.history import Looked
from tests.agent.desk_world import REPORT, DeskWorld, Guardable
from tests.agent.scripted import LEFT, ScriptedScorer


class Standing(Guardable):
    """Tells how the guardian stood while the instrument was let go."""

    desk: DeskWorld
    found: State | None = None
    takes_s: float = 0.0

    async def close(self) -> None:
        self.found = self.desk.state
        await asyncio.sleep(self.takes_s)
        await super().close()


@pytest.fixture
def microscope(monkeypatch: pytest.MonkeyPatch) -> Standing:
    """What ``scripted:`` opens, with a guardian beside it."""
    microscope = Standing([0.1, 0.95])
    microscope.desk = DeskWorld()

    async def opened(_: object) -> Standing:
        return microscope

    async def running(_: Path) -> object:
        return REPORT

    monkeypatch.setattr(EntryPoint, "load", lambda point: opened)
    points = [EntryPoint("scripted", "nowhere", "tipsmith.microscopes")]
    monkeypatch.setattr("drivers.registry.entry_points", lambda group: points)
    monkeypatch.setattr("agent.guarding._running", running)
    return microscope


@pytest.fixture
def run(
    run_virtual, microscope: Standing, settings: RepairSettings, tmp_path: Path
) -> Callable[..., RepairResult]:
    guardian = GuardianSettings(state=str(tmp_path / "guardian.json"))
    config = Config(repair=settings, guardian=guardian).overridden(
        uri="scripted:", directory=tmp_path
    )

    def run(see: Listener = lambda _: None) -> RepairResult:
        async def main() -> object:
            async with microscope.desk.open():
                return await run_repair(config, None, ScriptedScorer(), see)

        return run_virtual(main)

    return run


def test_the_guardian_is_armed_until_the_instrument_is_let_go(run, microscope: Standing):
    microscope.takes_s = PUT_BACK_S
    result = run()
    assert (result.outcome, result.warning) == ("good", None)
    assert microscope.found is State.ARMED
    assert microscope.desk.questions == ["arm", "disarm"]
    (_, armed), (_, disarmed) = microscope.desk.asked
    assert disarmed - armed >= PUT_BACK_S


def test_a_driver_that_gives_up_by_itself_is_waited_for():
    assert CLOSE_TIMEOUT_S > PUT_BACK_S + 5.0


@pytest.mark.parametrize("failure", [LEFT, OSError("the wire is cut"), RuntimeError("broken")])
def test_an_instrument_that_is_not_left_in_order_is_withdrawn(
    run, microscope: Standing, failure: Exception
):
    microscope.fail_close = failure
    seen: list[Progress] = []
    result = run(seen.append)
    assert result.outcome == "good"
    assert result.warning == (
        f"the instrument was not left in order: {failure}; "
        "the guardian was told to withdraw the tip"
    )
    assert seen[-1].result == result
    assert microscope.desk.questions[:2] == ["arm", "trip"]
    assert "disarm" not in microscope.desk.questions
    assert microscope.desk.state is State.WITHDRAWN


def test_an_instrument_at_which_somebody_is_at_work_is_left_to_them(run, microscope: Standing):
    microscope.fail_close = SettingsChanged("somebody else has started a scan")
    result = run()
    assert result.outcome == "good"
    assert result.warning.endswith("somebody else has started a scan")
    assert microscope.desk.questions == ["arm", "disarm"]


def test_so_is_one_that_does_not_let_go(run, microscope: Standing):
    microscope.takes_s = 10 * CLOSE_TIMEOUT_S
    result = run()
    assert result.warning == (
        "the instrument did not let go within 35 s; check its settings; "
        "the guardian was told to withdraw the tip"
    )
    assert microscope.desk.state is State.WITHDRAWN


def test_a_tip_that_was_left_to_somebody_stays_theirs(run, microscope: Standing):
    microscope.fail_close = LEFT

    def see(progress: Progress) -> None:
        if isinstance(progress.event, Looked):
            microscope.change(bias_v=0.9)

    result = run(see)
    assert result.outcome == "paused"
    assert result.warning == f"the instrument was not left in order: {LEFT}"
    assert microscope.desk.questions == ["arm", "disarm"]


def test_a_run_that_cannot_begin_lets_go_too(
    run, microscope: Standing, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise FileError("the disk is full")

    monkeypatch.setattr(Journal, "create", full)
    with pytest.raises(FileError, match="disk is full"):
        run()
    assert microscope.calls == ["close"]
    assert microscope.found is State.ARMED
    assert microscope.desk.questions == ["arm", "disarm"]


def test_a_display_that_fails_changes_nothing(run, microscope: Standing):
    microscope.fail_close = LEFT

    def broken(_: Progress) -> None:
        raise BrokenPipeError

    result = run(broken)
    assert result.outcome == "good"
    assert result.warning.startswith("the instrument was not left in order")
    with Journal.open(Path(result.journal)) as journal:
        assert [one.kind for one in journal.records()].count(Kind.NOTICED) == 1
