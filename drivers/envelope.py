"""The hard limits around every instrument: refuse, never clamp.

The ``check_`` functions are pure. ``enveloped.py`` applies them to any driver, and
``open_microscope`` hands out no driver without them, in training too. Built-in ceilings cannot be
raised: configuration can only narrow them. No subclass of what is known passes: it could say of
itself what it does not do.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivers.actions import (
    Action,
    Approach,
    CoarseMove,
    Indentation,
    MoveTo,
    Pulse,
    TunnellingPoint,
    Wait,
)
from drivers.complaints import complaint
from drivers.errors import ConfigError, Refused
from drivers.ledger import Ledger, lateral_steps
from drivers.microscope import (
    MicroscopeState,
)
from drivers.scan import Frame, ScanSettings
from drivers.spectrum import SpectrumSettings

NM = 1e-9
PA = 1e-12

_KINDS = get_args(get_args(Action)[0])
_LARGEST = float(np.finfo(np.float32).max)

Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Limits(BaseModel):
    """Ceilings and floors, in the units people read; the defaults are the widest allowed.

    A field named ``max_...`` may only be lowered, ``min_...`` only be raised. Three are on what
    comes together: pulses in any hour of instrument time, depths of indentations on one spot, and
    coarse steps along the surface without an approach that shows that there still is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_pulse_v: Limit = 10.0
    max_pulse_s: Limit = 1.0
    max_pulse_lift_nm: Limit = 5.0
    max_pulses_per_hour: Limit = 600
    max_depth_nm: Limit = 10.0
    max_depth_per_spot_nm: Limit = 40.0
    max_contact_bias_v: Limit = 0.5
    max_dwell_s: Limit = 10.0
    max_lift_nm: Limit = 50.0
    max_ramp_nm_per_s: Limit = 500.0
    max_bias_v: Limit = 5.0
    min_bias_v: Limit = 0.002
    max_sweep_s: Limit = 1_800.0
    max_setpoint_pa: Limit = 20_000.0
    min_setpoint_pa: Limit = 1.0
    max_speed_nm_per_s: Limit = 2_000.0
    max_scan_pixels: Limit = 4_096
    max_scan_lines: Limit = 4_096
    max_scan_s: Limit = 43_200.0
    max_coarse_steps: Limit = 200
    max_unchecked_steps: Limit = 800
    min_retract_steps: Limit = 20
    max_approach_steps: Limit = 5_000
    max_approach_s: Limit = 3_600.0
    max_wait_s: Limit = 7_200.0
    max_p_gain_pm: Limit = 1_000.0
    min_time_constant_us: Limit = 5.0

    def narrowed(self, **changes: float) -> Limits:
        """These limits with ``changes`` applied.

        Raises:
            ConfigError: an unknown name, a value that is no number, or one wider than it was.
        """
        for name, value in changes.items():
            if name not in type(self).model_fields:
                known = ", ".join(type(self).model_fields)
                raise ConfigError(f"unknown limit {name!r}; known limits are {known}")
            old = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ConfigError(
                    f"limit {name} must be a finite number of at least 0, got {value}"
                )
            if (value > old) if name.startswith("max_") else (value < old):
                raise ConfigError(
                    f"limit {name} = {value:g} is wider than the ceiling {old:g}; "
                    "limits can only be narrowed"
                )
        return self.model_copy(update=changes)

    def narrowest(self, other: Limits) -> Limits:
        """The narrower of both, limit by limit."""
        tighter = {
            name: (min if name.startswith("max_") else max)(value, getattr(other, name))
            for name, value in self
        }
        return self.model_copy(update=tighter)


class _Checker:
    """Collects the comparisons; each names the limit it belongs to."""

    def __init__(self, limits: Limits, what: str) -> None:
        self.limits = limits
        self.what = what

    def within(self, limit: str, value: float, text: str) -> None:
        bound = getattr(self.limits, limit)
        bad = value > bound if limit.startswith("max_") else value < bound
        if not math.isfinite(value) or bad:
            side = "above" if limit.startswith("max_") else "below"
            raise Refused(
                limit, f"{self.what} refused: {text} {value:g} is {side} {limit} {bound:g}"
            )

    def reach(self, x_m: float, y_m: float, state: MicroscopeState) -> None:
        for axis, value, full in (("x", x_m, state.range_m[0]), ("y", y_m, state.range_m[1])):
            if not math.isfinite(value) or abs(value) > full / 2:
                raise Refused(
                    "piezo_range",
                    f"{self.what} refused: {axis} {value / NM:.1f} nm is outside the piezo range "
                    f"of {full / NM:.0f} nm",
                )

    def tunnelling(self, at: TunnellingPoint) -> None:
        self.within("max_bias_v", abs(at.bias_v), "bias (V)")
        self.within("min_bias_v", abs(at.bias_v), "bias under feedback (V)")
        self.within("max_setpoint_pa", at.setpoint_a / PA, "setpoint (pA)")
        self.within("min_setpoint_pa", at.setpoint_a / PA, "setpoint (pA)")


def check_action(action: Action, state: MicroscopeState, limits: Limits) -> None:
    """Let ``action`` pass or refuse it; pure.

    Raises:
        Refused: with the name of the limit, the value and the bound.
    """
    if type(action) not in _KINDS:
        raise Refused("kind", f"refused: {action!r} is not a known kind of action")
    _check_sound(action, action.kind)
    check = _Checker(limits, action.kind)
    match action:
        case Pulse():
            _check_pulse(check, action)
        case Indentation():
            _check_indentation(check, action)
        case MoveTo():
            check.reach(action.x_m, action.y_m, state)
            check.within("max_speed_nm_per_s", action.speed_m_per_s / NM, "speed (nm/s)")
            way_m = math.hypot(action.x_m - state.x_m, action.y_m - state.y_m)
            check.within("max_wait_s", way_m / action.speed_m_per_s, "time on the way (s)")
        case CoarseMove():
            steps = max(abs(action.x_steps), abs(action.y_steps))
            check.within("max_coarse_steps", steps, "lateral steps")
            check.within("max_unchecked_steps", lateral_steps(action), "lateral steps together")
            check.within("min_retract_steps", action.retract_steps, "retract steps")
            # From farther away no approach would come back.
            check.within("max_approach_steps", action.retract_steps, "retract steps")
        case Approach():
            check.tunnelling(action.at)
            check.within("max_approach_steps", action.max_steps, "steps")
            check.within("max_approach_s", action.timeout_s, "time-out (s)")
            check.within("max_approach_s", action.settle_timeout_s, "settling time-out (s)")
        case Wait():
            check.within("max_wait_s", action.seconds, "wait (s)")
        case _:
            # Only RetuneFeedback is left, as the types show: no kind passes without a check.
            check.within("max_p_gain_pm", action.p_gain_m / 1e-12, "P gain (pm)")
            time_constant_us = action.time_constant_s / 1e-6
            check.within("min_time_constant_us", time_constant_us, "time constant (us)")


def _check_pulse(check: _Checker, pulse: Pulse) -> None:
    check.tunnelling(pulse.at)
    check.within("max_pulses_per_hour", 1, "pulses in an hour")
    check.within("max_pulse_v", abs(pulse.peak_bias_v), "pulse height (V)")
    check.within("max_pulse_s", pulse.width_s, "pulse width (s)")
    check.within("max_pulse_lift_nm", abs(pulse.z_offset_m) / NM, "z offset (nm)")
    if pulse.z_offset_m < 0:
        raise Refused(
            "pulse_z_offset", "pulse refused: a z offset towards the sample is an indentation"
        )
    if pulse.feedback == "on":
        _check_pulse_under_feedback(check, pulse)


def _check_pulse_under_feedback(check: _Checker, pulse: Pulse) -> None:
    if pulse.z_offset_m:
        raise Refused("pulse_feedback", "pulse refused: a z offset needs feedback='held'")
    check.within("min_bias_v", abs(pulse.peak_bias_v), "bias under feedback (V)")
    if pulse.peak_bias_v * pulse.at.bias_v < 0:
        raise Refused(
            "pulse_feedback",
            f"pulse refused: from {pulse.at.bias_v:g} V to {pulse.peak_bias_v:g} V the bias passes "
            "zero, where feedback drives the tip into the sample; use feedback='held'",
        )


def _check_indentation(check: _Checker, dip: Indentation) -> None:
    check.tunnelling(dip.at)
    check.within("max_depth_nm", dip.depth_m / NM, "depth (nm)")
    check.within("max_depth_per_spot_nm", dip.depth_m / NM, "depth on one spot (nm)")
    check.within("max_contact_bias_v", abs(dip.contact_bias_v), "contact bias (V)")
    check.within("max_dwell_s", dip.dwell_s, "dwell (s)")
    check.within("max_lift_nm", dip.lift_m / NM, "lift (nm)")
    fastest = max(dip.depth_m / dip.approach_time_s, dip.lift_m / dip.lift_time_s)
    check.within("max_ramp_nm_per_s", fastest / NM, "z ramp (nm/s)")
    lasts_s = dip.average_s + dip.approach_time_s + dip.dwell_s + dip.lift_time_s
    check.within("max_wait_s", lasts_s, "time from its beginning to its end (s)")
    if dip.lift_m < dip.depth_m:
        raise Refused("lift", "indentation refused: the lift must at least undo the depth")


def check_budget(
    action: Action, state: MicroscopeState, now_s: float, spent: Ledger, limits: Limits
) -> None:
    """Let an action pass that may come after what was ``spent`` before, or refuse it; pure.

    Raises:
        Refused: with the name of the limit, the value and the bound.
    """
    check = _Checker(limits, action.kind)
    match action:
        case Pulse():
            pulses = spent.pulses(now_s) + 1
            check.within("max_pulses_per_hour", pulses, "pulses within an hour, with this one,")
        case Indentation():
            depth_m = spent.depth_m(state.x_m, state.y_m) + action.depth_m
            check.within("max_depth_per_spot_nm", depth_m / NM, "depth on this spot so far (nm)")
        case CoarseMove():
            steps = spent.unchecked_steps + lateral_steps(action)
            check.within("max_unchecked_steps", steps, "lateral steps since the last approach")


def check_scan(settings: ScanSettings, state: MicroscopeState, limits: Limits) -> None:
    """Let a scan pass or refuse it; pure.

    Raises:
        Refused: with the name of the limit, the value and the bound.
    """
    if type(settings) is not ScanSettings:
        raise Refused("kind", f"refused: {settings!r} are no settings of a scan")
    _check_sound(settings, "scan")
    if type(settings.frame) is not Frame:
        raise Refused("kind", f"refused: {settings.frame!r} is no frame of a scan")
    check = _Checker(limits, "scan")
    check.tunnelling(settings.at)
    check.within("max_scan_pixels", settings.pixels, "pixels of a line")
    check.within("max_scan_lines", settings.lines, "lines")
    lasts_s = settings.lines * settings.line_s
    check.within("max_scan_s", lasts_s, "time of the whole scan (s)")
    check.within("max_speed_nm_per_s", settings.speed_m_per_s / NM, "speed (nm/s)")
    onwards = settings.frame.height_m / lasts_s
    check.within("max_speed_nm_per_s", onwards / NM, "speed from line to line (nm/s)")
    half_width, half_height = settings.frame.width_m / 2, settings.frame.height_m / 2
    for u in (-half_width, half_width):
        for v in (-half_height, half_height):
            check.reach(*settings.frame.to_sample(u, v), state)


def check_spectrum(settings: SpectrumSettings, limits: Limits) -> None:
    """Let a spectrum pass or refuse it; pure.

    Raises:
        Refused: with the name of the limit, the value and the bound.
    """
    if type(settings) is not SpectrumSettings:
        raise Refused("kind", f"refused: {settings!r} are no settings of a spectrum")
    _check_sound(settings, "spectrum")
    check = _Checker(limits, "spectrum")
    check.tunnelling(settings.at)
    # To the apex a sweep that goes as far as a pulse is one.
    for limit in ("max_bias_v", "max_pulse_v"):
        check.within(limit, settings.peak_v, "bias of the sweep, modulation included (V)")
    # Nothing holds the gap open against drift until the feedback closes again.
    check.within("max_sweep_s", settings.averaging_s, "time without feedback (s)")


def _check_sound(model: BaseModel, what: str) -> None:
    """Refuse what the model itself would not let in: one can be made without being checked.

    It must be sound in single precision, too: to most instruments a time of 1e-300 s is none.
    """
    try:
        type(model).model_validate(
            _in_single_precision(model.model_dump(warnings=False)), strict=True
        )
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise Refused(
            "sound", f"{what} refused: {field} is {problem['input']!r}; {complaint(error)}"
        ) from None


def _in_single_precision(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _single(value) for name, value in values.items()}


def _single(value: object) -> object:
    if isinstance(value, dict):
        return _in_single_precision(value)
    if isinstance(value, int | float) and abs(value) > _LARGEST:
        return math.inf if value > 0 else -math.inf
    return float(np.float32(value)) if isinstance(value, float) else value
