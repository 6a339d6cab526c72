"""The operator's hands: what somebody else changes ends the run, and is left as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import acting
from agent.guarding import Guard
from agent.hands import Left
from agent.journal import Journal
from agent.journal.past import Standing, read_past
from agent.record import Kind
from agent.recovery import look_back
from agent.repair import repair
from agent.result import Progress
from drivers.actions import (
    Action,
    Approach,
    CoarseMove,
    MoveTo,
    Pulse,
    RetuneFeedback,
    TunnellingPoint,
    Wait,
)
from drivers.errors import FileError, SettingsChanged
from drivers.microscope import Feedback
from tests.agent.conftest import Start
from tests.agent.scripted import AT, DIP, FOUND, Always, ScriptedMicroscope, ScriptedScorer, scribe

WAIT = Wait(seconds=1.0)
LEFT = Left.found(FOUND)
OTHER = TunnellingPoint(bias_v=-1.0, setpoint_a=20e-12)
MOVE = MoveTo(x_m=5e-9, y_m=-7e-9, speed_m_per_s=1e-7)


def test_an_instrument_as_it_was_found_is_unchanged():
    assert LEFT.changes(FOUND) == []


@given(
    st.floats(0.01, 10).flatmap(lambda v: st.sampled_from([v, -v])),
    st.floats(1e-12, 2e-8),
    st.integers(16, 24),
)
def test_no_converter_rounds_so_much_that_it_is_taken_for_a_hand(
    bias_v: float, setpoint_a: float, bits: int
):
    lsb_v = 20 / 2**bits
    kept = replace(
        FOUND, bias_v=round(bias_v / lsb_v) * lsb_v, setpoint_a=setpoint_a * (1 + 2**-bits)
    )
    left = LEFT.at(TunnellingPoint(bias_v=bias_v, setpoint_a=setpoint_a))
    assert left.changes(kept) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"bias_v": 0.52}, "the bias is 0.52 V and was left at 0.5 V"),
        ({"bias_v": -0.5}, "the bias is -0.5 V and was left at 0.5 V"),
        ({"setpoint_a": 60e-12}, "the setpoint is 60 pA and was left at 50 pA"),
        ({"feedback": Feedback.HELD}, "the feedback is held and was left on"),
        ({"scanning": True}, "a scan runs and none was left running"),
        (
            {"x_m": 9e-9, "y_m": -7e-9},
            r"the tip stands at \(9.0, -7.0\) nm and was left at \(5.0, -7.0\) nm",
        ),
    ],
)
def test_every_change_says_what_is_and_what_was(values: dict[str, object], told: str):
    there = replace(FOUND, x_m=5e-9, y_m=-7e-9)
    left = LEFT.after(MOVE)
    assert left.changes(there) == []
    (change,) = left.changes(replace(there, **values))
    assert change == told.replace("\\", "")


@pytest.mark.parametrize(
    ("action", "left"),
    [
        (Pulse(at=OTHER, bias_v=4.0, width_s=0.1), LEFT.at(OTHER)),
        (DIP, LEFT),
        (DIP.model_copy(update={"restore_feedback": False}), LEFT.at(AT, Feedback.HELD)),
        (MOVE, replace(LEFT, place_m=(5e-9, -7e-9))),
        (CoarseMove(x_steps=5, y_steps=0, retract_steps=50), LEFT.withdrawn()),
        (Approach(at=OTHER), LEFT.at(OTHER)),
        (Wait(seconds=1.0), LEFT),
        (RetuneFeedback(p_gain_m=1e-12, time_constant_s=1e-4), LEFT),
    ],
)
def test_what_every_action_leaves(action: object, left: Left):
    assert LEFT.after(action) == left


def test_moving_leaves_a_withdrawn_tip_withdrawn():
    assert LEFT.withdrawn().after(MOVE).feedback is Feedback.WITHDRAWN
    assert LEFT.at(AT, Feedback.HELD).after(MOVE).feedback is Feedback.ON


def test_a_scan_leaves_the_tip_anywhere():
    assert LEFT.after(MOVE).after_scan(AT).changes(FOUND) == []


def during(microscope: ScriptedMicroscope, number: int, **values: object) -> None:
    """Let somebody change something while the action of this number runs."""
    perform = microscope.perform

    async def disturbed(action: object) -> object:
        outcome = await perform(action)
        if len(microscope.performed) == number:
            microscope.change(**values)
        return outcome

    microscope.perform = disturbed


@pytest.mark.parametrize(
    ("number", "values", "last"),
    [
        (1, {"bias_v": 0.7}, MoveTo),
        (1, {"x_m": 90e-9}, MoveTo),
        (2, {"setpoint_a": 80e-12}, type(DIP)),
        (2, {"feedback": Feedback.HELD}, type(DIP)),
    ],
)
async def test_somebody_at_the_instrument_ends_the_run_and_gets_the_tip_as_it_is(
    start: Start,
    journal: Journal,
    number: int,
    values: dict[str, object],
    last: type,
):
    microscope = ScriptedMicroscope([0.1])
    during(microscope, number, **values)
    result = await start(microscope)
    assert (result.outcome, result.exit_code) == ("paused", 1)
    assert result.reason.startswith("somebody else is at the instrument: the ")
    assert result.reason.endswith("; nothing is overwritten; the tip is left as it is")
    # Nothing was sent after it.
    assert isinstance(microscope.calls[-1], last)
    assert len(microscope.performed) == number
    assert {name: getattr(microscope.standing, name) for name in values} == values
    assert journal.records()[-1].kind is Kind.PAUSED
    assert journal.pending() is None


async def test_a_change_in_a_scan_is_found_before_the_next_step(start: Start):
    microscope = ScriptedMicroscope([0.9])
    scan = microscope.scan

    async def disturbed(settings: object):
        async for line in scan(settings):
            yield line
        microscope.change(bias_v=1.0)

    microscope.scan = disturbed
    result = await start(microscope)
    assert result.outcome == "paused"
    assert "the bias is 1 V and was left at 0.5 V" in result.reason
    assert microscope.calls == ["scan"]


async def test_a_driver_that_finds_a_hand_has_sent_nothing(start: Start, journal: Journal):
    changed = SettingsChanged("somebody else has changed the scan frame")
    microscope = ScriptedMicroscope([0.1], fail_action=(1, changed))
    result = await start(microscope)
    assert result.outcome == "paused"
    kinds = [record.kind for record in journal.records()]
    assert kinds[-2:] == [Kind.REFUSED, Kind.PAUSED]
    assert journal.pending() is None


@pytest.mark.parametrize("action", [DIP, WAIT])
async def test_a_failing_disk_does_not_take_the_tip_from_who_is_there(
    start: Start, action: Action, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise FileError("the disk is full")

    changed = SettingsChanged("somebody else has changed the scan frame")
    microscope = ScriptedMicroscope([0.1])
    perform = microscope.perform

    async def found(asked: Action) -> object:
        if asked == action:
            monkeypatch.setattr(Journal, "_append", full)
            raise changed
        return await perform(asked)

    microscope.perform = found
    result = await start(microscope, Always(action))
    assert result.outcome == "paused"
    assert result.reason.startswith("somebody else has changed the scan frame")
    assert "withdraw" not in microscope.calls


async def test_what_a_slow_disk_has_kept_waiting_is_sent_only_after_another_look(
    start: Start, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(acting, "FRESH_S", -1.0)
    microscope, intend = ScriptedMicroscope([0.1]), Journal.intend

    def slow(*arguments: object) -> int:
        microscope.change(bias_v=0.7)
        return intend(*arguments)

    monkeypatch.setattr(Journal, "intend", slow)
    result = await start(microscope)
    assert (result.outcome, microscope.performed) == ("paused", [])
    kinds = [record.kind for record in journal.records()]
    assert kinds[-3:] == [Kind.INTENT, Kind.REFUSED, Kind.PAUSED]


async def test_where_nobody_can_be_the_tip_is_withdrawn(settings, journal: Journal):
    microscope = ScriptedMicroscope([0.1])
    during(microscope, 2, bias_v=0.7)
    guard = Guard("unattended", attended=False)
    seen: list[Progress] = []
    arguments = (ScriptedScorer(), Always(DIP), settings, scribe(journal), seen.append, guard)
    result = await repair(microscope.enveloped(), *arguments)
    assert (result.outcome, result.exit_code) == ("stopped", 3)
    assert "the bias is 0.7 V" in result.reason
    assert microscope.calls[-1] == "withdraw"


async def test_a_paused_run_leaves_nothing_to_recover(settings, tmp_path: Path):
    microscope = ScriptedMicroscope([0.1])
    during(microscope, 2, bias_v=0.7)
    with Journal.create(tmp_path, {"microscope": "scripted:"}, "night") as journal:
        await repair(
            microscope.enveloped(), ScriptedScorer(), Always(DIP), settings, scribe(journal)
        )
        path = journal.path
    assert read_past(path).standing is Standing.PAUSED
    assert read_past(path).reason.startswith("somebody else")
    assert look_back(tmp_path, "scripted:") is None
