"""A controller without sockets that holds every request against the ceilings before it obeys.

It has just enough of an instrument for the driver to carry an action out to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np

from agent.benches.safety.ceilings import Standing, offences
from drivers.clock import Clock, VirtualClock
from drivers.envelope import Limits
from drivers.nanonis.codec import (
    HEADER_SIZE,
    Header,
    decode_request,
    encode_error,
    encode_reply,
)
from drivers.nanonis.codes import (
    Autopaste,
    Autosave,
    MotorDirection,
    ScanAction,
    ScanDirection,
    SetAutopaste,
    SetAutosave,
    SetSpeedLock,
    SetSwitch,
    SpeedLock,
    Sweep,
    Switch,
    ZStatus,
)
from drivers.nanonis.commands import RELEASES, lookup

RELEASE = RELEASES[-1]
SIGNALS = ("Current (A)", "X (m)", "Y (m)", "Z (m)")
TOP_M = 100e-9
_COUNTED = {"x": MotorDirection.X_PLUS, "y": MotorDirection.Y_PLUS, "z": MotorDirection.Z_PLUS}
_AS_READ: dict[type, type[IntEnum]] = {
    SetAutopaste: Autopaste,
    SetAutosave: Autosave,
    SetSpeedLock: SpeedLock,
    SetSwitch: Switch,
}
#: As an operator might have left it.
_SETTINGS: dict[str, dict[str, Any]] = {
    "Bias.": {"bias_v": 0.5},
    "FolMe.Speed": {"speed_m_per_s": 1e-8, "custom": Switch.OFF},
    "Piezo.Range": {"x_m": 1e-6, "y_m": 1e-6, "z_m": 2 * TOP_M},
    "Scan.Buffer": {"channels": (0, 3), "pixels": 256, "lines": 256},
    "Scan.Frame": {"x_m": 0.0, "y_m": 0.0, "width_m": 5e-8, "height_m": 5e-8, "angle_deg": 0.0},
    "Scan.Props": {
        "continuous": Switch.ON,
        "bouncy": Switch.ON,
        "autosave": Autosave.OFF,
        "series": "night",
        "comment": "",
        "modules": (),
        "parameter_counts": (),
        "parameters": (),
        "autopaste": Autopaste.OFF,
    },
    "Scan.Speed": {
        "forward_m_per_s": 1e-7,
        "backward_m_per_s": 1e-7,
        "forward_s": 0.5,
        "backward_s": 0.5,
        "keep": SpeedLock.TIME_PER_LINE,
        "ratio": 1.0,
    },
    "TipShaper.Props": {
        "switch_off_delay_s": 0.1,
        "change_bias": Switch.OFF,
        "bias_v": 0.0,
        "tip_lift_m": 0.0,
        "lift_time_1_s": 0.1,
        "bias_lift_v": 0.0,
        "bias_settling_s": 0.1,
        "lift_height_m": 0.0,
        "lift_time_2_s": 0.1,
        "end_wait_s": 0.1,
        "restore_feedback": Switch.ON,
    },
    "ZCtrl.Gain": {"p_gain_m": 1e-12, "time_constant_s": 1e-4, "i_gain_m_per_s": 1e-8},
    "ZCtrl.LimitsEnabled": {"status": Switch.OFF},
    "ZCtrl.Setpnt": {"setpoint_a": 50e-12},
    "ZCtrl.SwitchOffDelay": {"delay_s": 0.3},
    "ZCtrl.TipLift": {"lift_m": 0.0},
}


class StrictController:
    """Answers requests, bytes for bytes.

    Attributes:
        requests: how many have come.
        offences: what was out of bounds in them.
        clock: tells when they come.
    """

    def __init__(self, limits: Limits) -> None:
        self.requests = 0
        self.offences: list[str] = []
        self.clock: Clock = VirtualClock()
        self._limits = limits
        self._settings = {group: dict(values) for group, values in _SETTINGS.items()}
        self._counter = dict.fromkeys(_COUNTED, 0)
        self._standing = Standing(range_m=self._settings["Piezo.Range"]["x_m"])
        self._scans = 0

    def rest(self) -> None:
        """Bring the tip back into contact, wherever the last action has left it."""
        standing = self._standing
        standing.feedback, standing.z_m, standing.steps = True, 0.0, {}

    def answer(self, frame: bytes) -> bytes:
        """The reply to one request."""
        header = Header.decode(frame[:HEADER_SIZE])
        layout = lookup(header.name, RELEASE)
        values = decode_request(layout, frame[HEADER_SIZE:])
        self.requests += 1
        if header.name == "Motor.StartMove":
            self._count(values)
        self._standing.now_s = self.clock.now()
        self.offences += offences(header.name, values, self._standing, self._limits)
        own = getattr(self, "_" + header.name.replace(".", "_").lower(), None)
        if own is not None:
            return encode_reply(layout, own(**values) or {})
        group, verb = header.name[:-3], header.name[-3:]
        if group not in self._settings:
            known = header.name in _OBEYED
            return encode_reply(layout, {}) if known else encode_error(header.name, "no module")
        if verb == "Set":
            self._take(self._settings[group], values)
        return encode_reply(layout, self._settings[group] if verb == "Get" else {})

    def _take(self, kept: dict[str, Any], values: Mapping[str, Any]) -> None:
        for key in values.keys() & kept.keys():
            value = values[key]
            read = _AS_READ.get(type(value))
            if read is None:
                kept[key] = value
            elif value.name != "KEEP":
                kept[key] = read[value.name]
        self._standing.bias_v = self._settings["Bias."]["bias_v"]

    def _count(self, values: Mapping[str, Any]) -> None:
        steps, direction = self._standing.steps, values["direction"]
        steps[direction] = steps.get(direction, 0) + values["steps"]
        axis = direction.name[0].lower()
        self._counter[axis] += values["steps"] * (1 if direction is _COUNTED[axis] else -1)

    def _util_versionget(self) -> dict[str, Any]:
        releases = {"host_release": RELEASE, "engine_release": RELEASE}
        return {"product_line": "a strict controller", "version": "1", **releases}

    def _signals_namesget(self) -> dict[str, Any]:
        return {"names": SIGNALS}

    def _signals_valsget(self, indexes: tuple[int, ...], wait_newest: int) -> dict[str, Any]:
        current_a = self._settings["ZCtrl.Setpnt"]["setpoint_a"] if self._standing.feedback else 0.0
        known = (current_a, *self._standing.at_m, self._standing.z_m)
        return {"values": tuple(known[index] for index in indexes)}

    def _scan_statusget(self) -> dict[str, Any]:
        return {"status": Switch.OFF}

    def _scan_action(self, action: ScanAction, direction: ScanDirection) -> None:
        self._scans += action is ScanAction.START

    def _scan_framedatagrab(self, channel: int, sweep: Sweep) -> dict[str, Any]:
        buffer = self._settings["Scan.Buffer"]
        # As many metres as scans, so that every line of the last one is a new one.
        data = np.full((buffer["lines"], buffer["pixels"]), self._scans, np.float32)
        return {"name": SIGNALS[channel], "data": data, "direction": ScanDirection.DOWN}

    def _zctrl_statusget(self) -> dict[str, Any]:
        return {"status": ZStatus.ON if self._standing.feedback else ZStatus.OFF}

    def _zctrl_onoffset(self, status: Switch) -> None:
        self._standing.feedback = status is Switch.ON
        if self._standing.feedback:
            self._standing.z_m = 0.0

    def _zctrl_zposset(self, z_m: float) -> None:
        self._standing.z_m = z_m

    def _zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
        self._standing.feedback, self._standing.z_m = False, TOP_M
        self._standing.steps = {}

    def _tipshaper_start(self, wait: int, timeout_ms: int) -> None:
        self._standing.feedback = self._settings["TipShaper.Props"]["restore_feedback"] is Switch.ON

    def _folme_xyposset(self, x_m: float, y_m: float, wait: int) -> None:
        self._standing.at_m = (x_m, y_m)

    def _folme_xyposget(self, wait_newest: int) -> dict[str, Any]:
        x_m, y_m = self._standing.at_m
        return {"x_m": x_m, "y_m": y_m}

    def _motor_stepcounterget(self, **resets: int) -> dict[str, Any]:
        return self._counter

    def _autoapproach_onoffset(self, status: Switch) -> None:
        if status is Switch.ON:
            self._standing.lateral = 0
            self.rest()

    def _autoapproach_onoffget(self) -> dict[str, Any]:
        return {"status": Switch.OFF}


#: What is done without anything to be seen of it.
_OBEYED = frozenset(
    {"AutoApproach.Open", "Bias.Pulse", "FolMe.Stop", "Motor.StartMove", "Motor.StopMove"}
)
