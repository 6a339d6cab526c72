"""Every limit of the envelope at its very bound: the last value let in, the first one refused."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.actions import (
    Action,
    Approach,
    CoarseMove,
    Indentation,
    MoveTo,
    Pulse,
    RetuneFeedback,
    TunnellingPoint,
    Wait,
)
from drivers.clock import VirtualClock
from drivers.emergency import Emergency, Exchange, Framing
from drivers.envelope import Limits, check_action, check_scan, check_spectrum
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import ConfigError, Refused
from drivers.microscope import Capability, Feedback, MicroscopeState
from drivers.outcome import Outcome
from drivers.scan import Frame, ScanLine, ScanSettings
from drivers.spectrum import SpectrumSettings

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
STATE = MicroscopeState(
    time_s=0.0,
    bias_v=0.5,
    setpoint_a=50e-12,
    current_a=50e-12,
    x_m=0.0,
    y_m=0.0,
    z_m=0.0,
    feedback=Feedback.ON,
    scanning=False,
    range_m=(800e-9, 600e-9, 200e-9),
)
SCAN = ScanSettings(
    frame=Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=12e-9),
    pixels=96,
    lines=96,
    forward_s=0.15,
    backward_s=0.1,
    at=AT,
)
TALL = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=480e-9)
SWEEP = SpectrumSettings(
    start_v=-1.0,
    stop_v=1.0,
    points=100,
    at=AT,
    modulation_v_rms=1e-6,
    modulation_hz=700.0,
    integration_s=0.05,
)


def pulse(**changes: object) -> Pulse:
    return Pulse(**{"at": AT, "bias_v": 3.0, "width_s": 0.1, **changes})


def dip(**changes: object) -> Indentation:
    return Indentation(**{"at": AT, "depth_m": 1e-9, "lift_m": 3e-9, **changes})


def point(**changes: float) -> Approach:
    return Approach(at=AT.model_copy(update=changes))


#: For each limit, an action of which the limited value is exactly what the function is given.
OF_VALUE: list[tuple[str, Callable[[float], Action]]] = [
    ("max_pulse_v", lambda v: pulse(bias_v=v)),
    ("max_pulse_v", lambda v: pulse(bias_v=-v)),
    ("max_pulse_s", lambda v: pulse(width_s=v)),
    ("max_pulse_lift_nm", lambda v: pulse(z_offset_m=v * 1e-9)),
    ("max_depth_nm", lambda v: dip(depth_m=v * 1e-9, lift_m=30e-9)),
    ("max_contact_bias_v", lambda v: dip(contact_bias_v=v)),
    ("max_contact_bias_v", lambda v: dip(contact_bias_v=-v)),
    ("max_dwell_s", lambda v: dip(dwell_s=v)),
    ("max_lift_nm", lambda v: dip(lift_m=v * 1e-9)),
    ("max_ramp_nm_per_s", lambda v: dip(depth_m=2e-9, lift_m=2e-9, approach_time_s=2 / v)),
    ("max_ramp_nm_per_s", lambda v: dip(depth_m=2e-9, lift_m=2e-9, lift_time_s=2 / v)),
    ("max_bias_v", lambda v: point(bias_v=v)),
    ("max_bias_v", lambda v: point(bias_v=-v)),
    ("min_bias_v", lambda v: point(bias_v=v)),
    ("min_bias_v", lambda v: pulse(bias_v=v, feedback="on")),
    ("max_setpoint_pa", lambda v: point(setpoint_a=v * 1e-12)),
    ("min_setpoint_pa", lambda v: point(setpoint_a=v * 1e-12)),
    ("max_speed_nm_per_s", lambda v: MoveTo(x_m=0.0, y_m=0.0, speed_m_per_s=v * 1e-9)),
    ("max_approach_s", lambda v: Approach(at=AT, timeout_s=v)),
    ("max_approach_s", lambda v: Approach(at=AT, settle_timeout_s=v)),
    ("max_wait_s", lambda v: Wait(seconds=v)),
    ("max_wait_s", lambda v: MoveTo(x_m=3e-9, y_m=4e-9, speed_m_per_s=5e-9 / v)),
    ("max_wait_s", lambda v: dip(average_s=v - 0.3)),
    ("max_wait_s", lambda v: dip(approach_time_s=v - 0.3)),
    ("max_wait_s", lambda v: dip(lift_time_s=v - 0.3)),
    ("max_p_gain_pm", lambda v: RetuneFeedback(p_gain_m=v * 1e-12, time_constant_s=1e-4)),
    ("min_time_constant_us", lambda v: RetuneFeedback(p_gain_m=1e-11, time_constant_s=v * 1e-6)),
]
OF_STEPS: list[tuple[str, Callable[[int], Action]]] = [
    ("max_coarse_steps", lambda n: CoarseMove(x_steps=n, y_steps=-3, retract_steps=20)),
    ("max_coarse_steps", lambda n: CoarseMove(x_steps=3, y_steps=-n, retract_steps=20)),
    ("min_retract_steps", lambda n: CoarseMove(x_steps=1, y_steps=0, retract_steps=n)),
    ("max_approach_steps", lambda n: CoarseMove(x_steps=1, y_steps=0, retract_steps=n)),
    ("max_approach_steps", lambda n: Approach(at=AT, max_steps=n)),
]


def refused_by(action: Action, limits: Limits) -> str:
    """The name of the limit that refuses ``action``, or nothing."""
    try:
        check_action(action, STATE, limits)
    except Refused as refusal:
        return refusal.limit
    return ""


@pytest.mark.parametrize(("limit", "make"), OF_VALUE)
@given(share=st.floats(0.55, 1.0))
def test_a_limit_holds_to_the_sixth_digit_wherever_it_is_narrowed_to(
    limit: str, make: Callable[[float], Action], share: float
) -> None:
    # Not nearer: on the way to metres and back a value is rounded.
    outwards = 1.0 if limit.startswith("max_") else -1.0
    bound = getattr(Limits(), limit) * share**outwards
    limits = Limits().narrowed(**{limit: bound})
    assert refused_by(make(bound * (1 - 1e-6 * outwards)), limits) == ""
    assert refused_by(make(bound * (1 + 1e-6 * outwards)), limits) == limit


@pytest.mark.parametrize(("limit", "make"), OF_STEPS)
def test_steps_are_counted_exactly(limit: str, make: Callable[[int], Action]) -> None:
    bound = int(getattr(Limits(), limit))
    beyond = bound + 1 if limit.startswith("max_") else bound - 1
    assert refused_by(make(bound), Limits()) == ""
    assert refused_by(make(beyond), Limits()) == limit


@pytest.mark.parametrize(
    ("limit", "action"),
    [
        ("max_pulse_v", pulse(bias_v=10.0)),
        ("max_pulse_s", pulse(width_s=1.0)),
        ("max_dwell_s", dip(dwell_s=10.0)),
        ("max_contact_bias_v", dip(contact_bias_v=0.5)),
        ("max_bias_v", point(bias_v=5.0)),
        ("min_bias_v", point(bias_v=0.002)),
        ("max_wait_s", Wait(seconds=7200.0)),
        ("lift", dip(depth_m=3e-9)),
        ("piezo_range", MoveTo(x_m=-400e-9, y_m=300e-9, speed_m_per_s=1e-7)),
    ],
)
def test_the_bound_itself_is_let_in(limit: str, action: Action) -> None:
    assert refused_by(action, Limits()) == "", limit


def test_no_build_is_wider_than_the_ceilings_that_are_written_down() -> None:
    assert Limits().model_dump() == {
        "max_pulse_v": 10.0,
        "max_pulse_s": 1.0,
        "max_pulse_lift_nm": 5.0,
        "max_pulses_per_hour": 600,
        "max_depth_nm": 10.0,
        "max_depth_per_spot_nm": 40.0,
        "max_contact_bias_v": 0.5,
        "max_dwell_s": 10.0,
        "max_lift_nm": 50.0,
        "max_ramp_nm_per_s": 500.0,
        "max_bias_v": 5.0,
        "min_bias_v": 0.002,
        "max_sweep_s": 1800.0,
        "max_setpoint_pa": 20_000.0,
        "min_setpoint_pa": 1.0,
        "max_speed_nm_per_s": 2000.0,
        "max_scan_pixels": 4_096,
        "max_scan_lines": 4_096,
        "max_scan_s": 43_200.0,
        "max_coarse_steps": 200,
        "max_unchecked_steps": 800,
        "min_retract_steps": 20,
        "max_approach_steps": 5000,
        "max_approach_s": 3600.0,
        "max_wait_s": 7200.0,
        "max_p_gain_pm": 1000.0,
        "min_time_constant_us": 5.0,
    }


def test_limits_are_frozen_and_know_no_other_names() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Limits().max_pulse_v = 11.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="max_puls_v"):
        Limits(max_puls_v=1.0)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Limits(max_pulse_v=-0.5)
    assert Limits().narrowed(max_pulse_v=0.0).max_pulse_v == 0.0
    with pytest.raises(ConfigError, match="at least 0"):
        Limits().narrowed(max_pulse_v=-0.5)


def test_the_way_is_counted_from_where_the_tip_stands() -> None:
    there = replace(STATE, x_m=30e-9, y_m=-40e-9)
    check_action(MoveTo(x_m=30e-9, y_m=-40e-9, speed_m_per_s=1e-13), there, Limits())
    for x_m, y_m in ((31e-9, -40e-9), (30e-9, -41e-9)):
        with pytest.raises(Refused, match=r"time on the way \(s\) 10000 is above"):
            check_action(MoveTo(x_m=x_m, y_m=y_m, speed_m_per_s=1e-13), there, Limits())


def test_where_a_pulse_is_refused_says_why() -> None:
    assert refused_by(pulse(z_offset_m=-1e-12), Limits()) == "pulse_z_offset"
    assert refused_by(pulse(z_offset_m=1e-12, feedback="on"), Limits()) == "pulse_feedback"
    assert refused_by(pulse(bias_v=-3.0, feedback="on"), Limits()) == "pulse_feedback"
    for bias_v in (3.0, 0.01):
        assert refused_by(pulse(bias_v=bias_v, feedback="on"), Limits()) == ""
    downwards = AT.model_copy(update={"bias_v": -0.5})
    assert refused_by(pulse(at=downwards, bias_v=-3.0, feedback="on"), Limits()) == ""


@given(angle_deg=st.floats(-180.0, 180.0), right=st.booleans(), up=st.booleans())
def test_a_scan_is_let_in_as_long_as_all_of_its_corners_are(
    angle_deg: float, right: bool, up: bool
) -> None:
    turn = math.radians(angle_deg)
    reach_x = 12e-9 * abs(math.cos(turn)) + 6e-9 * abs(math.sin(turn))
    reach_y = 12e-9 * abs(math.sin(turn)) + 6e-9 * abs(math.cos(turn))

    def placed(out_x_m: float, out_y_m: float) -> ScanSettings:
        x_m = (400e-9 - reach_x + out_x_m) * (1 if right else -1)
        y_m = (300e-9 - reach_y + out_y_m) * (1 if up else -1)
        frame = {"x_m": x_m, "y_m": y_m, "angle_deg": angle_deg}
        return SCAN.model_copy(update={"frame": SCAN.frame.model_copy(update=frame)})

    check_scan(placed(-1e-14, -1e-14), STATE, Limits())
    for outside in (placed(1e-14, -1e-14), placed(-1e-14, 1e-14)):
        with pytest.raises(Refused, match=r"scan refused: [xy] -?\d+\.\d nm is outside the piezo"):
            check_scan(outside, STATE, Limits())


def test_a_scan_is_as_fast_as_its_faster_direction() -> None:
    fastest = SCAN.model_copy(update={"backward_s": 0.012001})
    check_scan(fastest, STATE, Limits())
    for change in ({"backward_s": 0.011999}, {"forward_s": 0.011999}):
        with pytest.raises(Refused) as refusal:
            check_scan(SCAN.model_copy(update=change), STATE, Limits())
        assert refusal.value.limit == "max_speed_nm_per_s"


@pytest.mark.parametrize(
    ("limit", "inside", "outside"),
    [
        ("max_scan_pixels", {"pixels": 4096}, {"pixels": 4112}),
        ("max_scan_lines", {"lines": 4096}, {"lines": 4097}),
        ("max_scan_s", {"forward_s": 449.9}, {"forward_s": 449.901}),
        # 480 nm in two lines of 0.12 s each.
        (
            "max_speed_nm_per_s",
            {"lines": 2, "forward_s": 0.06, "backward_s": 0.0601, "frame": TALL},
            {"lines": 2, "forward_s": 0.06, "backward_s": 0.0599, "frame": TALL},
        ),
    ],
)
def test_a_scan_at_its_bound(limit: str, inside: dict, outside: dict) -> None:
    check_scan(SCAN.model_copy(update=inside), STATE, Limits())
    with pytest.raises(Refused, match=r"^scan refused") as refusal:
        check_scan(SCAN.model_copy(update=outside), STATE, Limits())
    assert refusal.value.limit == limit


@pytest.mark.parametrize(
    ("limit", "inside", "outside"),
    [
        ("max_bias_v", {"stop_v": 4.99999}, {"stop_v": 4.999999}),
        ("max_sweep_s", {"integration_s": 18.0}, {"integration_s": 18.001}),
    ],
)
def test_a_sweep_at_its_bound(limit: str, inside: dict, outside: dict) -> None:
    check_spectrum(SWEEP.model_copy(update=inside), Limits())
    with pytest.raises(Refused, match=r"^spectrum refused") as refusal:
        check_spectrum(SWEEP.model_copy(update=outside), Limits())
    assert refusal.value.limit == limit


LARGEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(("seconds", "limit"), [(LARGEST, "max_wait_s"), (-LARGEST, "sound")])
def test_the_largest_single_is_a_number_and_beyond_it_is_none(seconds: float, limit: str) -> None:
    assert refused_by(Wait.model_construct(seconds=seconds), Limits()) == limit
    for beyond in (math.nextafter(seconds, math.copysign(math.inf, seconds)), 10 * seconds):
        with pytest.raises(Refused, match=rf"seconds is {math.copysign(math.inf, seconds)}"):
            check_action(Wait.model_construct(seconds=beyond), STATE, Limits())


def test_a_refusal_tells_value_limit_and_bound() -> None:
    told = "pulse refused: pulse height (V) 11 is above max_pulse_v 10"
    with pytest.raises(Refused) as refusal:
        check_action(pulse(bias_v=-11.0), STATE, Limits())
    assert str(refusal.value).startswith(told)
    with pytest.raises(Refused, match=r"bias under feedback \(V\) 0.001 is below min_bias_v 0.002"):
        check_action(point(bias_v=0.001), STATE, Limits())
    told = r"move_to refused: y -300\.5 nm is outside the piezo range of 600 nm"
    with pytest.raises(Refused, match=told):
        check_action(MoveTo(x_m=0.0, y_m=-300.5e-9, speed_m_per_s=1e-7), STATE, Limits())


EMERGENCY = Emergency("here", 6504, Framing(40, 32), (Exchange("stop", b"s", b"s", b""),), ())


class Inside:
    """An instrument that can be guarded and tells what its tip is like."""

    name = "inside"
    capabilities = frozenset({Capability.SPECTRUM})

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.closed: list[str] = []

    async def state(self) -> MicroscopeState:
        return STATE

    async def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        try:
            while True:
                yield "line"  # type: ignore[misc]
        finally:
            self.closed.append("scan")

    async def perform(self, action: Action) -> Outcome:
        return Outcome(1.0, 2.0)

    async def withdraw(self) -> None:
        self.closed.append("withdraw")

    async def emergency(self) -> Emergency:
        return EMERGENCY

    async def close(self) -> None:
        self.closed.append("close")

    def true_state(self) -> dict[str, float | bool | str]:
        return {"radius_nm": 3.0}


async def test_what_is_not_limited_is_what_the_instrument_says() -> None:
    inner = Inside()
    microscope = EnvelopedMicroscope(inner, Limits())
    assert microscope.name == "inside"
    assert microscope.clock is inner.clock
    assert microscope.capabilities == {Capability.SPECTRUM}
    assert await microscope.state() is STATE
    assert await microscope.emergency() is EMERGENCY
    assert microscope.true_state() == {"radius_nm": 3.0}
    assert await microscope.perform(Wait(seconds=1.0)) == Outcome(1.0, 2.0)
    await microscope.withdraw()
    await microscope.close()
    assert inner.closed == ["withdraw", "close"]


async def test_a_scan_that_is_left_is_ended_inside_at_once() -> None:
    inner = Inside()
    lines = EnvelopedMicroscope(inner, Limits()).scan(SCAN)
    assert await anext(lines) == "line"
    assert inner.closed == []
    await lines.aclose()
    assert inner.closed == ["scan"]
