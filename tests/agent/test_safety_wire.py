"""An adversary in front of envelope and driver, and a controller that judges the bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.benches.safety import adversary, wire
from agent.benches.safety.ceilings import Standing, offences
from agent.benches.safety.strict import RELEASE, StrictController
from drivers.envelope import Limits, check_action, check_scan
from drivers.errors import Refused
from drivers.microscope import Feedback, MicroscopeState
from drivers.nanonis.codec import HEADER_SIZE, decode_reply, encode_request
from drivers.nanonis.codes import (
    MotorDirection,
    PulseHold,
    PulseReference,
    SetAutopaste,
    SetAutosave,
    SetSpeedLock,
    SetSwitch,
    Switch,
)
from drivers.nanonis.commands import lookup
from drivers.scan import ScanSettings

ACTIONS = 1_500
PULSE = {
    "wait": 1,
    "width_s": 0.1,
    "bias_v": 3.0,
    "hold": PulseHold.HOLD,
    "reference": PulseReference.ABSOLUTE,
}
DIP = {
    "switch_off_delay_s": 0.1,
    "change_bias": SetSwitch.ON,
    "bias_v": 0.02,
    "tip_lift_m": -1e-9,
    "lift_time_1_s": 0.1,
    "bias_lift_v": 0.02,
    "bias_settling_s": 0.1,
    "lift_height_m": 3e-9,
    "lift_time_2_s": 0.1,
    "end_wait_s": 0.05,
    "restore_feedback": SetSwitch.ON,
}
FRAME = {"x_m": 0.0, "y_m": 0.0, "width_m": 1e-7, "height_m": 1e-7, "angle_deg": 30.0}
SPEED = {
    "forward_m_per_s": 1e-7,
    "backward_m_per_s": 1e-7,
    "forward_s": 1.0,
    "backward_s": 1.0,
    "keep": SetSpeedLock.TIME_PER_LINE,
    "ratio": 1.0,
}
BUFFER = {"channels": (3,), "pixels": 4096, "lines": 4096}
PROPS = {
    "continuous": SetSwitch.OFF,
    "bouncy": SetSwitch.KEEP,
    "autosave": SetAutosave.KEEP,
    "series": "",
    "comment": "",
    "modules": (),
    "autopaste": SetAutopaste.KEEP,
}
GAIN = {"p_gain_m": 1e-11, "time_constant_s": 1e-4, "i_gain_m_per_s": 1e-7}
STEPS = {"steps": 5, "group": 0, "wait": 1}


def test_an_adversary_gets_nothing_onto_the_wire():
    found = wire.run(ACTIONS, 1, lambda _: None)
    assert (found.offences, found.crashed, found.crashes) == ((), 0, "")
    assert found.asked == ACTIONS
    assert 0 < found.refused < found.asked
    carried_out = found.asked - found.refused - found.failed
    assert carried_out > ACTIONS / 100
    assert found.requests > ACTIONS


def offended(name: str, values: dict[str, object], standing: Standing | None = None) -> list[str]:
    """What the judges say to the values as they arrive."""
    layout = lookup(name, RELEASE)
    body = layout.request.encode(values)
    return offences(name, layout.request.decode(body), standing or Standing(), Limits())


@pytest.mark.parametrize(
    ("name", "fine", "bad"),
    [
        ("Bias.Set", {"bias_v": -5.0}, {"bias_v": -5.001}),
        ("Bias.Set", {"bias_v": 0.002}, {"bias_v": 0.0}),
        ("Bias.Set", {"bias_v": 0.002}, {"bias_v": math.nan}),
        ("ZCtrl.SetpntSet", {"setpoint_a": 2e-8}, {"setpoint_a": 2.1e-8}),
        ("ZCtrl.SetpntSet", {"setpoint_a": 1e-12}, {"setpoint_a": 0.0}),
        ("Bias.Pulse", PULSE, {"bias_v": -10.1}),
        ("Bias.Pulse", PULSE, {"width_s": 0.0}),
        ("Bias.Pulse", PULSE, {"width_s": 1.01}),
        ("Bias.Pulse", PULSE, {"hold": PulseHold.KEEP}),
        ("Bias.Pulse", PULSE, {"hold": PulseHold.RELEASE, "bias_v": -3.0}),
        (
            "Bias.Pulse",
            PULSE | {"bias_v": 9.4, "reference": PulseReference.RELATIVE},
            {"bias_v": 9.6},
        ),
        ("TipShaper.PropsSet", DIP, {"tip_lift_m": -1.01e-8}),
        ("TipShaper.PropsSet", DIP, {"tip_lift_m": 1e-9}),
        ("TipShaper.PropsSet", DIP, {"bias_lift_v": 0.6}),
        ("TipShaper.PropsSet", DIP, {"lift_height_m": 0.5e-9}),
        ("TipShaper.PropsSet", DIP, {"lift_height_m": 51e-9}),
        ("TipShaper.PropsSet", DIP, {"lift_time_1_s": 1e-3}),
        ("TipShaper.PropsSet", DIP, {"lift_time_2_s": 0.0}),
        ("TipShaper.PropsSet", DIP, {"bias_settling_s": 10.1}),
        ("TipShaper.PropsSet", DIP, {"switch_off_delay_s": 1e30}),
        ("TipShaper.PropsSet", DIP, {"change_bias": SetSwitch.KEEP}),
        ("ZCtrl.ZPosSet", {"z_m": 5e-9}, {"z_m": 5.1e-9}),
        ("ZCtrl.ZPosSet", {"z_m": 5e-9}, {"z_m": -1e-12}),
        ("FolMe.XYPosSet", {"x_m": 5e-7, "y_m": 0.0, "wait": 1}, {"x_m": 5.01e-7}),
        ("FolMe.SpeedSet", {"speed_m_per_s": 2e-6, "custom": Switch.ON}, {"speed_m_per_s": 0.0}),
        ("Scan.FrameSet", FRAME, {"x_m": 4.7e-7}),
        ("Scan.SpeedSet", SPEED, {"backward_m_per_s": 2.1e-6}),
        ("Scan.SpeedSet", SPEED, {"forward_s": 0.0}),
        ("Scan.SpeedSet", SPEED, {"forward_s": 43_200.0}),
        ("Scan.BufferSet", BUFFER, {"pixels": 4112}),
        ("Scan.BufferSet", BUFFER, {"lines": 4097}),
        ("Scan.PropsSet", PROPS, {"continuous": SetSwitch.ON}),
        ("Scan.PropsSet", PROPS, {"bouncy": SetSwitch.ON}),
        ("ZCtrl.GainSet", GAIN, {"p_gain_m": 1.1e-9}),
        ("ZCtrl.GainSet", GAIN, {"time_constant_s": 4e-6}),
        ("ZCtrl.TipLiftSet", {"lift_m": 0.0}, {"lift_m": -1e-9}),
    ],
)
def test_the_controller_notices(name: str, fine: dict[str, object], bad: dict[str, object]):
    assert offended(name, fine) == []
    assert offended(name, fine | bad)


def test_a_feedback_that_closes_near_0_v_is_noticed():
    standing = Standing(bias_v=0.001, feedback=False)
    assert offended("ZCtrl.OnOffSet", {"status": Switch.ON}, standing)
    assert not offended("ZCtrl.OnOffSet", {"status": Switch.OFF}, standing)


@pytest.mark.parametrize(
    ("direction", "steps", "feedback", "bad"),
    [
        (MotorDirection.Z_MINUS, {}, False, False),
        (MotorDirection.Z_MINUS, {}, True, True),
        (MotorDirection.Z_PLUS, {}, False, True),
        (MotorDirection.X_PLUS, {MotorDirection.Z_MINUS: 20}, False, False),
        (MotorDirection.X_PLUS, {MotorDirection.Z_MINUS: 19}, False, True),
        (MotorDirection.Y_MINUS, {MotorDirection.Z_MINUS: 20}, False, False),
        (
            MotorDirection.Y_MINUS,
            {MotorDirection.Z_MINUS: 20, MotorDirection.Y_MINUS: 201},
            False,
            True,
        ),
    ],
)
def test_steps_of_the_motor_are_judged(
    direction: MotorDirection, steps: dict[MotorDirection, int], feedback: bool, bad: bool
):
    standing = Standing(feedback=feedback, steps={direction: 5} | steps)
    assert bool(offended("Motor.StartMove", STEPS | {"direction": direction}, standing)) is bad


def test_the_lines_set_before_count_for_how_long_a_scan_lasts():
    standing = Standing()
    assert not offended("Scan.BufferSet", BUFFER, standing)
    assert not offended("Scan.SpeedSet", SPEED | {"forward_s": 9.5}, standing)
    assert offended("Scan.SpeedSet", SPEED | {"forward_s": 9.6}, standing)


def test_a_command_that_no_action_needs_is_noticed():
    assert offended("Piezo.RangeSet", {"x_m": 1e-6, "y_m": 1e-6, "z_m": 1e-6})


def test_the_controller_answers_in_bytes():
    controller = StrictController(Limits())
    layout = lookup("Bias.Set", RELEASE)
    controller.answer(encode_request(layout, {"bias_v": 7.0}))
    assert controller.offences == ["Bias.Set: bias (V) 7 is not within 0.002 to 5"]
    layout = lookup("Bias.Get", RELEASE)
    reply = controller.answer(encode_request(layout, {}))
    assert decode_reply(layout, reply[HEADER_SIZE:]) == {"bias_v": 7.0}


class Twice:
    """Crosses every limit by as much as it is."""

    def uniform(self, low: float, high: float) -> float:
        return 0.0

    def choice(self, values: tuple[int, ...]) -> int:
        return values[-1]


STATE = MicroscopeState(
    time_s=0.0, bias_v=0.5, setpoint_a=5e-11, current_a=5e-11, x_m=0.0, y_m=0.0, z_m=0.0,
    feedback=Feedback.ON, scanning=False, range_m=(1e-6, 1e-6, 2e-7),
)  # fmt: skip


@pytest.mark.parametrize("edge", adversary.edges(Limits(), 1e-6), ids=lambda edge: edge.field)
def test_every_edge_is_one(edge: adversary.Edge):
    check(edge.base)
    with pytest.raises(Refused):
        check(edge.crossed(Twice()))


def check(wish: adversary.Wish) -> None:
    if isinstance(wish, ScanSettings):
        check_scan(wish, STATE, Limits())
    else:
        check_action(wish, STATE, Limits())


async def test_a_scan_in_order_is_carried_out():
    controller = StrictController(Limits())
    microscope = await wire.microscope_on(controller)
    lines = [line.index async for line in microscope.scan(adversary.SCAN)]
    assert lines == list(range(adversary.SCAN.lines))
    assert not controller.offences


def test_the_same_seed_asks_for_the_same():
    def asked() -> list[str]:
        hostile = adversary.Adversary(np.random.default_rng(7), Limits(), 1e-6)
        return [repr(hostile.ask()) for _ in range(200)]

    assert asked() == asked()
    assert len(set(asked())) > 100


def test_pulses_depths_and_steps_are_added_up():
    standing = Standing(feedback=False, steps={MotorDirection.Z_MINUS: 20})
    most = Limits()
    for _ in range(int(most.max_pulses_per_hour)):
        assert not offended("Bias.Pulse", PULSE, standing)
    assert offended("Bias.Pulse", PULSE, standing)
    standing.now_s = 3601.0
    assert not offended("Bias.Pulse", PULSE, standing)

    start = {"wait": 1, "timeout_ms": 100}
    for _ in range(int(most.max_depth_per_spot_nm)):
        offended("TipShaper.PropsSet", DIP, standing)
        assert not offended("TipShaper.Start", start, standing)
    assert offended("TipShaper.Start", start, standing)
    standing.at_m = (20e-9, 0.0)
    assert not offended("TipShaper.Start", start, standing)

    standing.lateral = int(most.max_unchecked_steps) - 5
    standing.steps[MotorDirection.X_PLUS] = 5
    move = STEPS | {"direction": MotorDirection.X_PLUS}
    assert not offended("Motor.StartMove", move, standing)
    assert offended("Motor.StartMove", move, standing)
