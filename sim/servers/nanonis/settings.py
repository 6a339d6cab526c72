"""Settings that the controller keeps and gives back, as written by ``...Set`` commands."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import partial
from typing import Any

from drivers.errors import ProtocolError
from drivers.nanonis import codes
from drivers.nanonis.wire import TYPES, Field
from sim.servers.nanonis.extra import EXTRA_SETTINGS, TAKEN, layout_of
from sim.servers.nanonis.handlers import NOTHING, Handler, Values

_READ_CODES: dict[type[IntEnum], type[IntEnum]] = {written: read for read, written in codes.PAIRS}

#: Settings by the common part of their two commands, with the values a controller starts with.
DEFAULTS: dict[str, dict[str, Any]] = {
    "Bias.Calibr": {"calibration": 1.0},
    "Bias.Range": {"ranges": ("10V",)},
    "BiasSpectr.Chs": {"channels": (0,), "names": ("Current (A)",)},
    "BiasSpectr.Limits": {"start_v": -1.0, "end_v": 1.0},
    "BiasSpectr.MLSMode": {"mode": "Linear"},
    # Without autosave: a client reads both flags as one number and fails on a large one.
    "BiasSpectr.Props": {
        "sweeps": 1,
        "points": 64,
        "parameters": ("Sweep Start", "Sweep End"),
    },
    "BiasSpectr.Timing": {
        "average_s": 0.05,
        "first_settling_s": 5e-3,
        "slew_v_per_s": 10.0,
        "settling_s": 2e-4,
        "integration_s": 1e-3,
        "last_settling_s": 5e-3,
        "z_control_s": 0.05,
    },
    "Current.Calibr": {"calibration": 1e-9},
    "FolMe.Oversampl": {"oversampling": 10, "rate_hz": 1000.0},
    "FolMe.PSExp": {"experiments": ("Bias Spectroscopy", "Z Spectroscopy")},
    "FolMe.PSOnOff": {},
    "FolMe.PSProps": {},
    "FolMe.Speed": {"speed_m_per_s": 100e-9},
    "Motor.FreqAmp": {"frequency_hz": 1000.0, "amplitude_v": 100.0},
    "Osci2T.Timebase": {"timebases_s": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)},
    "Piezo.DriftComp": {"saturation_percent": 10.0},
    "Piezo.Sens": {"x_m_per_v": 5e-9, "y_m_per_v": 5e-9, "z_m_per_v": 1e-9},
    "Piezo.Tilt": {},
    "Piezo.XYZLimits": {
        f"{axis}_{end}_v": volts
        for axis in "xyz"
        for end, volts in (("low", -10.0), ("high", 10.0))
    },
    "SafeTip.OnOff": {},
    "SafeTip.Props": {"threshold": 5e-9},
    "Scan.Props": {"autosave": codes.Autosave.ALL, "series": "scan"},
    "TipRec.BufferSize": {"size": 1024},
    "TipShaper.Props": {
        "switch_off_delay_s": 0.1,
        "bias_v": 0.1,
        "tip_lift_m": -1e-9,
        "lift_time_1_s": 0.1,
        "bias_lift_v": 0.02,
        "bias_settling_s": 0.1,
        "lift_height_m": 5e-9,
        "lift_time_2_s": 0.1,
        "end_wait_s": 0.1,
        "restore_feedback": codes.Switch.ON,
    },
    "Util.AcqPeriod": {"period_s": 0.02},
    "Util.RTOversampl": {"oversampling": 10},
    "ZCtrl.HomeProps": {"mode": codes.Home.RELATIVE, "home_m": 50e-9},
    "ZCtrl.LimitsEnabled": {},
    "ZCtrl.SwitchOffDelay": {"delay_s": 0.05},
    "ZCtrl.TipLift": {},
    "ZCtrl.WithdrawRate": {"rate_m_per_s": 1e-6},
}


class Settings:
    """The settings of one controller.

    Commands that are merely taken (they draw marks or lock the screen) are served here too.
    """

    def __init__(self, release: int) -> None:
        self._release = release
        self._kept: dict[tuple[object, ...], dict[str, Any]] = {}

    def handlers(self) -> dict[str, Handler]:
        """A pair of commands for every setting."""
        handlers: dict[str, Handler] = dict.fromkeys(TAKEN, _take)
        for base in {*DEFAULTS, *EXTRA_SETTINGS}:
            handlers[f"{base}Set"] = partial(self._set, base)
            handlers[f"{base}Get"] = partial(self._get, base)
        return handlers

    def read(self, base: str, *key: object) -> Mapping[str, Any]:
        """The current values of setting ``base``; ``key`` tells several of a kind apart."""
        # What was never written is not kept, so that reading costs no memory.
        return self._kept.get((base, *key)) or self._initial(base)

    def write(self, base: str, values: Values, *key: object) -> None:
        """Change setting ``base``; a code that means "no change" leaves its value alone."""
        entry = self._kept.setdefault((base, *key), self._initial(base))
        for name, value in values.items():
            kind = _READ_CODES.get(type(value))
            if kind is None:
                entry[name] = value
            elif value.name in kind.__members__:
                entry[name] = kind[value.name]

    def _initial(self, base: str) -> dict[str, Any]:
        fields = layout_of(f"{base}Get", self._release).reply.fields
        return {field.name: _nothing(field) for field in fields} | DEFAULTS.get(base, {})

    async def _set(self, base: str, values: Values) -> Values:
        keys = self._keys(base)
        key = (values[name] for name in keys)
        self.write(base, {n: v for n, v in values.items() if n not in keys}, *key)
        return NOTHING

    async def _get(self, base: str, values: Values) -> Values:
        return self.read(base, *values.values())

    def _keys(self, base: str) -> tuple[str, ...]:
        try:
            fields = layout_of(f"{base}Get", self._release).request.fields
        except ProtocolError:
            return ()
        return tuple(field.name for field in fields)


def _nothing(field: Field) -> object:
    empty = TYPES[field.kind].empty
    return field.codes(empty) if field.codes else empty


async def _take(_: Values) -> Values:
    return NOTHING
