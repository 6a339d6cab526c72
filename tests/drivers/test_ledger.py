"""Limits on what comes together: pulses in an hour, depth on a spot, steps without an approach."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import (
    Approach,
    CoarseMove,
    Indentation,
    Limits,
    Pulse,
    TunnellingPoint,
    Wait,
    check_action,
)
from drivers.actions import Action
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import InstrumentError, Refused
from drivers.ledger import HOUR_S, SPOT_M, Ledger
from tests.drivers.test_envelope import STATE, Recorder

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
PULSE = Pulse(at=AT, bias_v=3.0, width_s=0.1)
BACK = Approach(at=AT)


def dip(depth_nm: float) -> Indentation:
    return Indentation(at=AT, depth_m=depth_nm * 1e-9, lift_m=30e-9)


def move(x: int, y: int) -> CoarseMove:
    return CoarseMove(x_steps=x, y_steps=y, retract_steps=20)


class Roving(Recorder):
    """A recorder whose tip can be put anywhere, and that can break."""

    def __init__(self) -> None:
        super().__init__()
        self.at_m = (0.0, 0.0)
        self.broken = False

    async def state(self):
        x_m, y_m = self.at_m
        return replace(await super().state(), x_m=x_m, y_m=y_m)

    async def perform(self, action: Action):
        outcome = await super().perform(action)
        if self.broken:
            raise InstrumentError("broken")
        return outcome


async def refused_by(microscope: EnvelopedMicroscope, action: Action) -> str:
    try:
        await microscope.perform(action)
    except Refused as refusal:
        return refusal.limit
    return ""


async def test_a_pulse_too_many_waits_until_an_hour_has_passed() -> None:
    recorder = Recorder()
    microscope = EnvelopedMicroscope(recorder, Limits().narrowed(max_pulses_per_hour=3))
    for _ in range(3):
        assert await refused_by(microscope, PULSE) == ""
        await recorder.clock.sleep(10.0)
    assert await refused_by(microscope, PULSE) == "max_pulses_per_hour"
    await recorder.clock.sleep(HOUR_S - 30.0 - 1e-6)
    assert await refused_by(microscope, PULSE) == "max_pulses_per_hour"
    await recorder.clock.sleep(2e-6)
    assert await refused_by(microscope, PULSE) == ""
    assert await refused_by(microscope, PULSE) == "max_pulses_per_hour"
    assert recorder.reached == [PULSE] * 4


async def test_depths_add_up_on_one_spot_and_on_no_other() -> None:
    recorder = Roving()
    microscope = EnvelopedMicroscope(recorder, Limits().narrowed(max_depth_per_spot_nm=12.0))
    assert await refused_by(microscope, dip(8.0)) == ""
    recorder.at_m = (0.8 * SPOT_M, -0.5 * SPOT_M)
    assert await refused_by(microscope, dip(4.5)) == "max_depth_per_spot_nm"
    assert await refused_by(microscope, dip(4.0)) == ""
    recorder.at_m = (1.1 * SPOT_M, 0.0)
    # Near the second alone.
    assert await refused_by(microscope, dip(8.0)) == ""
    recorder.at_m = (0.0, 0.0)
    assert await refused_by(microscope, dip(0.1)) == "max_depth_per_spot_nm"
    assert await refused_by(microscope, move(10, 0)) == ""
    assert await refused_by(microscope, dip(8.0)) == ""


async def test_coarse_steps_add_up_until_an_approach() -> None:
    microscope = EnvelopedMicroscope(Recorder(), Limits().narrowed(max_unchecked_steps=300))
    assert await refused_by(microscope, move(200, -101)) == "max_unchecked_steps"
    assert await refused_by(microscope, move(200, -100)) == ""
    assert await refused_by(microscope, BACK) == ""
    assert await refused_by(microscope, move(-100, 100)) == ""
    assert await refused_by(microscope, move(101, 0)) == "max_unchecked_steps"
    assert await refused_by(microscope, move(0, -100)) == ""
    assert await refused_by(microscope, move(1, 0)) == "max_unchecked_steps"
    assert await refused_by(microscope, BACK) == ""
    assert await refused_by(microscope, move(200, 100)) == ""


@pytest.mark.parametrize(
    ("limit", "bound", "action"),
    [
        ("max_pulses_per_hour", 0.0, PULSE),
        ("max_depth_per_spot_nm", 1.0, dip(1.01)),
        ("max_unchecked_steps", 5.0, move(3, -3)),
    ],
)
async def test_what_could_never_pass_is_refused_without_a_ledger(
    limit: str, bound: float, action: Action
) -> None:
    with pytest.raises(Refused) as refusal:
        check_action(action, STATE, Limits().narrowed(**{limit: bound}))
    assert refusal.value.limit == limit


async def test_an_action_of_unknown_outcome_counts() -> None:
    recorder = Roving()
    microscope = EnvelopedMicroscope(recorder, Limits().narrowed(max_pulses_per_hour=1))
    recorder.broken = True
    with pytest.raises(InstrumentError):
        await microscope.perform(PULSE)
    recorder.broken = False
    assert await refused_by(microscope, PULSE) == "max_pulses_per_hour"


async def test_what_others_have_sent_counts_from_when_they_did() -> None:
    recorder = Recorder()
    limits = Limits().narrowed(max_pulses_per_hour=2, max_depth_per_spot_nm=10.0)
    microscope = EnvelopedMicroscope(recorder, limits)
    microscope.remember(PULSE, 0.0, 0.0, HOUR_S + 1)
    microscope.remember(PULSE, 0.0, 0.0, HOUR_S - 60)
    microscope.remember(dip(7.0), 0.0, 0.0, 2 * HOUR_S)
    assert await refused_by(microscope, dip(4.0)) == "max_depth_per_spot_nm"
    assert await refused_by(microscope, PULSE) == ""
    assert await refused_by(microscope, PULSE) == "max_pulses_per_hour"
    await recorder.clock.sleep(61.0)
    assert await refused_by(microscope, PULSE) == ""


@given(
    gaps=st.lists(st.floats(0.0, 2000.0), max_size=60),
    most=st.integers(1, 5),
)
def test_no_hour_ever_holds_more_pulses_than_allowed(gaps: list[float], most: int) -> None:
    ledger, now_s, sent = Ledger(), 0.0, []
    for gap_s in gaps:
        now_s += gap_s
        if ledger.pulses(now_s) < most:
            ledger.note(PULSE, 0.0, 0.0, now_s)
            sent.append(now_s)
    for start_s in sent:
        assert sum(start_s <= at_s < start_s + HOUR_S for at_s in sent) <= most


def test_what_is_not_rationed_leaves_no_trace() -> None:
    ledger = Ledger()
    ledger.note(Wait(seconds=1.0), 0.0, 0.0, 0.0)
    assert (ledger.pulses(1.0), ledger.depth_m(0.0, 0.0), ledger.unchecked_steps) == (0, 0.0, 0)


NEARBY = st.floats(-5e-8, 5e-8)


@given(dipped=st.tuples(NEARBY, NEARBY), asked=st.tuples(NEARBY, NEARBY))
def test_a_spot_reaches_as_far_as_said(
    dipped: tuple[float, float], asked: tuple[float, float]
) -> None:
    ledger = Ledger()
    ledger.note(dip(2.0), *dipped, 0.0)
    near = math.dist(dipped, asked) <= SPOT_M
    assert ledger.depth_m(*asked) == (2e-9 if near else 0.0)


def test_what_counts_as_an_hour_and_as_a_spot() -> None:
    assert (HOUR_S, SPOT_M) == (3600.0, 15e-9)
