"""What may stand in a request, judged from its bytes alone: values against the ceilings.

Most fields are of single precision, so a limit is what it becomes in that: rounding keeps the
order, and a value inside stays inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivers.envelope import NM, PA, Limits
from drivers.nanonis.codes import MotorDirection, PulseHold, PulseReference, SetSwitch, Switch
from drivers.scan import Frame

#: Requests that change nothing that is limited.
FREE = frozenset(
    {
        "AutoApproach.OnOffSet",
        "AutoApproach.Open",
        "FolMe.Stop",
        "Motor.StepCounterGet",
        "Motor.StopMove",
        "Scan.Action",
        "ZCtrl.SwitchOffDelaySet",
        "ZCtrl.Withdraw",
    }
)
#: Conversions from metres to the units of the limits cost the last digits of a double.
_DIGITS = 1 + 1e-12
_HOUR_S = 3600.0
#: Well within what the envelope takes for one spot, so that its edge does not matter.
_SPOT_M = 14e-9


@dataclass(slots=True)
class Standing:
    """How the controller stands when a request comes.

    Attributes:
        bias_v: bias (V).
        feedback: whether it is on.
        z_m: height (m).
        range_m: piezo range along x and y (m).
        lines: of the next scan.
        steps: coarse steps since the action began, by direction.
        now_s: time (s).
        at_m: where the tip is along x and y (m).
        depth_m: how deep the next indentation goes (m).
        pulses: when there were any (s).
        dips: where there were indentations, and how deep (m); a coarse move leaves them behind.
        lateral: coarse steps along the surface since the last approach.
    """

    bias_v: float = 0.5
    feedback: bool = True
    z_m: float = 0.0
    range_m: float = 1e-6
    lines: int = 1
    steps: dict[MotorDirection, int] = field(default_factory=dict)
    now_s: float = 0.0
    at_m: tuple[float, float] = (0.0, 0.0)
    depth_m: float = 0.0
    pulses: list[float] = field(default_factory=list)
    dips: list[tuple[float, float, float]] = field(default_factory=list)
    lateral: int = 0


Values = Mapping[str, Any]
Judge = Callable[[Values, Standing, Limits], Iterator[str]]


def offences(name: str, values: Values, standing: Standing, limits: Limits) -> list[str]:
    """What is out of bounds in the request ``name``; nothing if all is well."""
    found = [
        f"{name}: {key} is {value}"
        for key, value in values.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
    judge = _JUDGES.get(name)
    if judge is not None:
        found += [f"{name}: {text}" for text in judge(values, standing, limits)]
    elif name not in FREE and not name.endswith(("Get", "Grab")):
        found.append(f"{name} was never expected")
    return found


def _bounds(what: str, value: float, low: float, high: float) -> Iterator[str]:
    """Complain unless ``value`` lies between the limits, as single or double precision has them."""
    least = min(low / _DIGITS, float(np.float32(low / _DIGITS)))
    most = _highest(high)
    # Written so that what is no number is out of bounds.
    if not least <= value <= most:
        yield f"{what} {value:g} is not within {low:g} to {high:g}"


def _highest(high: float) -> float:
    return max(high * _DIGITS, float(np.float32(high * _DIGITS)))


def _positive(what: str, value: float, high: float = math.inf) -> Iterator[str]:
    if not 0 < value <= _highest(high):
        yield f"{what} {value:g} is not above 0 and up to {high:g}"


def _bias(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    least = limits.min_bias_v if standing.feedback else 0.0
    yield from _bounds("bias (V)", abs(values["bias_v"]), least, limits.max_bias_v)


def _setpoint(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    low, high = limits.min_setpoint_pa * PA, limits.max_setpoint_pa * PA
    yield from _bounds("setpoint (A)", values["setpoint_a"], low, high)


def _pulse(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    relative = values["reference"] is PulseReference.RELATIVE
    peak_v = values["bias_v"] + (standing.bias_v if relative else 0.0)
    standing.pulses.append(standing.now_s)
    of_late = sum(at_s > standing.now_s - _HOUR_S for at_s in standing.pulses)
    yield from _bounds("pulses within an hour", of_late, 0, limits.max_pulses_per_hour)
    yield from _bounds("peak (V)", abs(peak_v), 0.0, limits.max_pulse_v)
    yield from _positive("width (s)", values["width_s"], limits.max_pulse_s)
    if values["hold"] is PulseHold.KEEP or values["reference"] is PulseReference.KEEP:
        yield "what the controller had last decides"
    if values["hold"] is PulseHold.RELEASE:
        yield from _bounds("peak under feedback (V)", abs(peak_v), limits.min_bias_v, math.inf)
        if peak_v * standing.bias_v <= 0:
            yield f"the bias passes zero under feedback, from {standing.bias_v:g} to {peak_v:g} V"


def _dip(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    depth_m, lift_m = -values["tip_lift_m"], values["lift_height_m"]
    standing.depth_m = depth_m
    yield from _bounds("depth (m)", depth_m, 0.0, limits.max_depth_nm * NM)
    yield from _bounds("lift (m)", lift_m, depth_m, limits.max_lift_nm * NM)
    for key in ("bias_v", "bias_lift_v"):
        yield from _bounds("contact bias (V)", abs(values[key]), 0.0, limits.max_contact_bias_v)
    yield from _bounds("dwell (s)", values["bias_settling_s"], 0.0, limits.max_dwell_s)
    yield from _positive("averaging (s)", values["switch_off_delay_s"], limits.max_wait_s)
    for length_m, key in ((depth_m, "lift_time_1_s"), (lift_m, "lift_time_2_s")):
        yield from _positive(f"{key}", values[key], limits.max_wait_s)
        # Both length and time have been rounded.
        fastest = limits.max_ramp_nm_per_s * NM * (1 + 1e-6)
        yield from _bounds("ramp (m/s)", length_m / max(values[key], 1e-300), 0.0, fastest)
    if SetSwitch.KEEP in (values["change_bias"], values["restore_feedback"]):
        yield "what the controller had last decides"


def _start(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    x_m, y_m = standing.at_m
    standing.dips.append((x_m, y_m, standing.depth_m))
    spent_m = sum(
        depth_m for at_x_m, at_y_m, depth_m in standing.dips
        if math.hypot(at_x_m - x_m, at_y_m - y_m) <= _SPOT_M
    )  # fmt: skip
    # Every depth has been rounded.
    most_m = limits.max_depth_per_spot_nm * NM * (1 + 1e-6)
    yield from _bounds("depth on one spot (m)", spent_m, 0.0, most_m)


def _z(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    highest = standing.z_m + limits.max_pulse_lift_nm * NM
    yield from _bounds("z (m), never towards the sample,", values["z_m"], standing.z_m, highest)


def _place(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    for key in ("x_m", "y_m"):
        yield from _bounds(key, abs(values[key]), 0.0, standing.range_m / 2)


def _speed(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    fastest = limits.max_speed_nm_per_s * NM
    yield from _positive("speed (m/s)", values["speed_m_per_s"], fastest)


def _scan_speed(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    fastest = limits.max_speed_nm_per_s * NM
    for key in ("forward_m_per_s", "backward_m_per_s"):
        yield from _positive(key, values[key], fastest)
    for key in ("forward_s", "backward_s", "ratio"):
        yield from _positive(key, values[key])
    # Both times have been rounded.
    lasts_s = standing.lines * (values["forward_s"] + values["backward_s"])
    yield from _bounds("time of the scan (s)", lasts_s, 0.0, limits.max_scan_s * (1 + 1e-6))


def _buffer(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    yield from _bounds("pixels", values["pixels"], 1, limits.max_scan_pixels)
    yield from _bounds("lines", values["lines"], 1, limits.max_scan_lines)
    standing.lines = values["lines"]


def _repeats(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    if SetSwitch.ON in (values["continuous"], values["bouncy"]):
        yield "a scan that begins again by itself"


def _frame(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    yield from _positive("width (m)", values["width_m"])
    yield from _positive("height (m)", values["height_m"])
    corners = Frame.model_construct(**values)
    half_w, half_h = values["width_m"] / 2, values["height_m"] / 2
    # Centre, size and angle have all been rounded.
    reach_m = standing.range_m / 2 * (1 + 1e-6)
    for u_m, v_m in ((half_w, half_h), (half_w, -half_h), (-half_w, half_h), (-half_w, -half_h)):
        for value in corners.to_sample(u_m, v_m):
            yield from _bounds("corner (m)", abs(value), 0.0, reach_m)


def _gain(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    highest_p_m = limits.max_p_gain_pm * 1e-12
    shortest_s = limits.min_time_constant_us * 1e-6
    yield from _positive("P gain (m)", values["p_gain_m"], highest_p_m)
    yield from _bounds("time constant (s)", values["time_constant_s"], shortest_s, math.inf)
    yield from _bounds("I gain (m/s)", values["i_gain_m_per_s"], 0.0, highest_p_m / shortest_s)


def _on_off(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    if values["status"] is Switch.ON:
        low = limits.min_bias_v
        yield from _bounds("bias (V) as the feedback closes", abs(standing.bias_v), low, math.inf)


def _motor(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    """``standing`` has counted these steps already; Z- is away from the sample."""
    direction, steps = values["direction"], standing.steps
    if direction is MotorDirection.Z_PLUS:
        yield "steps towards the sample"
    elif direction is MotorDirection.Z_MINUS:
        yield from _bounds("retract", steps[direction], 1, limits.max_approach_steps)
    else:
        standing.dips.clear()
        standing.lateral += values["steps"]
        yield from _bounds("steps unchecked", standing.lateral, 1, limits.max_unchecked_steps)
        yield from _bounds("sideways", steps[direction], 1, limits.max_coarse_steps)
        away = steps.get(MotorDirection.Z_MINUS, 0)
        yield from _bounds("retracted before", away, limits.min_retract_steps, math.inf)
    if standing.feedback:
        yield "the feedback is on"


def _tip_lift(values: Values, standing: Standing, limits: Limits) -> Iterator[str]:
    yield from _bounds("lift (m)", values["lift_m"], 0.0, limits.max_pulse_lift_nm * NM)


_JUDGES: dict[str, Judge] = {
    "Bias.Pulse": _pulse,
    "Bias.Set": _bias,
    "FolMe.SpeedSet": _speed,
    "FolMe.XYPosSet": _place,
    "Motor.StartMove": _motor,
    "Scan.BufferSet": _buffer,
    "Scan.FrameSet": _frame,
    "Scan.PropsSet": _repeats,
    "Scan.SpeedSet": _scan_speed,
    "TipShaper.PropsSet": _dip,
    "TipShaper.Start": _start,
    "ZCtrl.GainSet": _gain,
    "ZCtrl.OnOffSet": _on_off,
    "ZCtrl.SetpntSet": _setpoint,
    "ZCtrl.TipLiftSet": _tip_lift,
    "ZCtrl.ZPosSet": _z,
}
