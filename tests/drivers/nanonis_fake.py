"""A small scripted Nanonis controller, with levers to make it fail, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any

import async_solipsism
import numpy as np

from drivers.actions import TunnellingPoint
from drivers.errors import ProtocolError
from drivers.nanonis import codec
from drivers.nanonis.codes import (
    Autosave,
    LoggerStatus,
    MotorDirection,
    ScanAction,
    ScanDirection,
    SpeedLock,
    Switch,
    ZStatus,
)
from drivers.nanonis.commands import lookup
from drivers.nanonis.logger import LogFrame
from drivers.nanonis.microscope import NanonisMicroscope, open_nanonis
from drivers.registry import Address
from drivers.scan import Frame, ScanLine, ScanSettings

PORT = 6501
SIGNALS = ("Current (A)", "Bias (V)", "X (m)", "Y (m)", "Z (m)")
CURRENT, Z = 0, 4
TOP_M = 100e-9

AT = TunnellingPoint(bias_v=1.0, setpoint_a=100e-12)
SCAN = ScanSettings(
    frame=Frame(x_m=5e-9, y_m=0.0, width_m=20e-9, height_m=20e-9),
    pixels=16,
    lines=6,
    forward_s=0.2,
    backward_s=0.2,
    at=AT,
)


def as_read(value: Any, old: Any) -> Any:
    """What a value that is written reads as afterwards."""
    if not isinstance(value, IntEnum):
        return value
    return old if value.name == "KEEP" else type(old)[value.name]


class Controller:
    """As much of a controller as the driver needs, with levers to make it fail."""

    def __init__(self) -> None:
        self.log: list[tuple[int, str, dict[str, Any]]] = []
        self.refuse: set[str] = set()
        self.mute: set[str] = set()
        self.version = ("Nanonis V5", "V5.4", 13742)
        self.withdraw_works = True
        self.motor_slips = 0
        self.steps_to_contact = 3
        self.stuck_status: ZStatus | None = None
        self.scan_stops_after: int | None = None
        self.logger: asyncio.StreamWriter | None = None
        self.z_m, self.current_a, self.x_m, self.y_m = 0.0, 100e-12, 0.0, 0.0
        self.status = ZStatus.ON
        self.counter = {"x": 0, "y": 0, "z": 0}
        self.approaching = False
        self.scan_task: asyncio.Task[None] | None = None
        self.pictures = np.zeros((2, 6, 16), np.float32)
        self.store: dict[str, dict[str, Any]] = {
            "Bias.": {"bias_v": 0.5},
            "ZCtrl.Setpnt": {"setpoint_a": 50e-12},
            "ZCtrl.TipLift": {"lift_m": -1e-9},
            "ZCtrl.SwitchOffDelay": {"delay_s": 0.3},
            "ZCtrl.Gain": {"p_gain_m": 1e-12, "time_constant_s": 1e-4, "i_gain_m_per_s": 1e-8},
            "ZCtrl.LimitsEnabled": {"status": Switch.OFF},
            "Piezo.Range": {"x_m": 1e-6, "y_m": 1e-6, "z_m": 2 * TOP_M},
            "SafeTip.OnOff": {"status": Switch.OFF},
            "SafeTip.Props": {
                "auto_recovery": Switch.OFF,
                "auto_pause_scan": Switch.ON,
                "threshold": 1e-9,
            },
            "FolMe.Speed": {"speed_m_per_s": 1e-8, "custom": Switch.OFF},
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
            "Scan.Props": {
                "continuous": Switch.ON,
                "bouncy": Switch.ON,
                "autosave": Autosave.ALL,
                "series": "night",
                "comment": "",
            },
            "Scan.Buffer": {"channels": (0, 4), "pixels": 256, "lines": 256},
            "Scan.Frame": {
                "x_m": 0.0,
                "y_m": 0.0,
                "width_m": 1e-7,
                "height_m": 1e-7,
                "angle_deg": 0.0,
            },
            "Scan.Speed": {
                "forward_m_per_s": 1e-7,
                "backward_m_per_s": 1e-7,
                "forward_s": 1.0,
                "backward_s": 1.0,
                "keep": SpeedLock.LINEAR_SPEED,
                "ratio": 1.0,
            },
        }

    def names(self) -> list[str]:
        """The commands that do something, in order."""
        return [name for _, name, _ in self.log if not name.endswith(("Get", "Grab"))]

    def values(self, name: str) -> list[dict[str, Any]]:
        return [values for _, found, values in self.log if found == name]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1] - PORT
        try:
            while True:
                header = codec.Header.decode(await reader.readexactly(codec.HEADER_SIZE))
                body = await reader.readexactly(header.size)
                writer.write(await self.answer(port, header.name, body))
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.logger = writer
        await reader.read()
        writer.close()

    async def answer(self, port: int, name: str, body: bytes) -> bytes:
        try:
            layout = lookup(name, self.version[2])
        except ProtocolError:
            return codec.encode_error(name, "unknown command")
        values = codec.decode_request(layout, body)
        self.log.append((port, name, values))
        if name in self.mute:
            await asyncio.sleep(10_000)
        if name in self.refuse:
            return codec.encode_error(name, "refused on purpose", layout.reply)
        special = getattr(self, "do_" + name.replace(".", "_").lower(), None)
        found = await special(**values) if special else self.plain(name, values)
        return codec.encode_reply(layout, found or {})

    def plain(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        group, verb = name[:-3], name[-3:]
        if verb == "Get" and group in self.store:
            return self.store[group]
        if verb == "Set" and group in self.store:
            old = self.store[group]
            for key in values.keys() & old.keys():
                old[key] = as_read(values[key], old[key])
        return {}

    async def do_util_versionget(self) -> dict[str, Any]:
        product, version, release = self.version
        return {
            "product_line": product,
            "version": version,
            "host_release": release,
            "engine_release": release,
        }

    async def do_signals_namesget(self) -> dict[str, Any]:
        return {"names": SIGNALS}

    async def do_signals_valsget(self, indexes: tuple, wait_newest: int) -> dict[str, Any]:
        await asyncio.sleep(0.02)
        bias_v = self.store["Bias."]["bias_v"]
        known = (self.current_a, bias_v, self.x_m, self.y_m, self.z_m)
        return {"values": tuple(known[i] for i in indexes)}

    async def do_zctrl_statusget(self) -> dict[str, Any]:
        return {"status": self.stuck_status or self.status}

    async def do_zctrl_onoffset(self, status: Switch) -> None:
        self.status = ZStatus.ON if status else ZStatus.OFF
        if status:
            self.z_m = min(self.z_m, 0.0)

    async def do_zctrl_zposset(self, z_m: float) -> None:
        self.z_m = z_m

    async def do_zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
        self.status = ZStatus.OFF
        if self.withdraw_works:
            self.z_m, self.current_a = TOP_M, 0.0

    async def do_bias_pulse(self, **values: Any) -> None:
        await asyncio.sleep(values["width_s"])
        self.z_m += 0.2e-9

    async def do_tipshaper_start(self, wait: int, timeout_ms: int) -> None:
        await asyncio.sleep(0.5)
        if self.logger is not None:
            frames = [LogFrame(0, 4, 20.0, (0.0, 4.0))]
            frames += [LogFrame(i, 4, 20.0, (i * 1e-12, -i * 1e-12)) for i in range(1, 101)]
            self.logger.write(b"".join(frame.encode() for frame in frames))
        self.z_m += 0.3e-9
        if self.store["TipShaper.Props"]["restore_feedback"] is Switch.OFF:
            self.status = ZStatus.OFF

    async def do_folme_xyposset(self, x_m: float, y_m: float, wait: int) -> None:
        await asyncio.sleep(1)
        self.x_m, self.y_m = x_m, y_m

    async def do_folme_xyposget(self, wait_newest: int) -> dict[str, Any]:
        return {"x_m": self.x_m, "y_m": self.y_m}

    async def do_motor_startmove(
        self, direction: MotorDirection, steps: int, group: int, wait: int
    ) -> None:
        await asyncio.sleep(0.01 * steps)
        sign = 1 if direction.name.endswith("PLUS") else -1
        self.counter[direction.name[0].lower()] += sign * (steps - self.motor_slips)

    async def do_motor_stepcounterget(self, **resets: int) -> dict[str, Any]:
        return dict(self.counter)

    async def do_autoapproach_onoffset(self, status: Switch) -> None:
        self.approaching = status is Switch.ON

    async def do_autoapproach_onoffget(self) -> dict[str, Any]:
        if self.approaching:
            self.counter["z"] -= 1
            self.steps_to_contact -= 1
            if self.steps_to_contact == 0:
                self.approaching, self.status = False, ZStatus.ON
                self.z_m, self.current_a = 0.0, self.store["ZCtrl.Setpnt"]["setpoint_a"]
        return {"status": Switch(self.approaching)}

    async def do_tcplog_statusget(self) -> dict[str, Any]:
        return {"status": LoggerStatus.IDLE}

    async def do_scan_statusget(self) -> dict[str, Any]:
        return {"status": Switch(self.scan_task is not None and not self.scan_task.done())}

    async def do_scan_action(self, action: ScanAction, direction: ScanDirection) -> None:
        if self.scan_task is not None:
            self.scan_task.cancel()
        if action is ScanAction.START:
            self.scan_task = asyncio.create_task(self.scan(direction))

    async def scan(self, direction: ScanDirection) -> None:
        speed, buffer = self.store["Scan.Speed"], self.store["Scan.Buffer"]
        rows = range(buffer["lines"])
        for done, row in enumerate(rows if direction is ScanDirection.DOWN else rows[::-1]):
            if done == self.scan_stops_after:
                return
            for sweep, seconds in ((1, speed["forward_s"]), (0, speed["backward_s"])):
                await asyncio.sleep(seconds)
                self.pictures[sweep, row] = 10 * sweep + row + 1 + np.arange(16) / 16

    async def do_scan_framedatagrab(self, channel: int, sweep: int) -> dict[str, Any]:
        return {"name": "Z (m)", "data": self.pictures[sweep], "direction": ScanDirection.DOWN}


Test = Callable[[NanonisMicroscope, Controller], Awaitable[None]]


async def whole_scan(microscope: NanonisMicroscope, settings: ScanSettings) -> list[ScanLine]:
    """Every line of a scan."""
    return [line async for line in microscope.scan(settings)]


def meet(
    test: Test,
    controller: Controller | None = None,
    *,
    query: str = "",
    log_port: int | None = None,
) -> None:
    """Run ``test(microscope, controller)`` in virtual time, then close the microscope."""
    fake = controller or Controller()

    async def main() -> None:
        listeners = [
            await asyncio.start_server(fake.serve, "127.0.0.1", PORT + i) for i in range(3)
        ]
        if log_port is not None:
            listeners.append(await asyncio.start_server(fake.stream, "127.0.0.1", log_port))
        try:
            address = Address.parse(f"nanonis://127.0.0.1:{PORT}?{query}")
            microscope = await open_nanonis(address)
            try:
                await test(microscope, fake)
            finally:
                fake.mute.clear()
                fake.refuse.clear()
                await microscope.close()
        finally:
            for listener in listeners:
                listener.close()
            if fake.scan_task is not None:
                fake.scan_task.cancel()
            await asyncio.sleep(20_000)  # lets answers that were held back come

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        runner.run(main())
