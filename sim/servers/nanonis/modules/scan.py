"""The scan: where, how fast, what is recorded, and what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drivers import Frame, ScanSettings, TunnellingPoint
from drivers.complaints import complaint
from drivers.errors import FileError
from drivers.nanonis.codes import Autosave, ScanAction, ScanDirection, SetAutosave, Switch
from drivers.scan import Direction
from sim.servers.nanonis.handlers import NOTHING, Refusal, Values, command, require
from sim.servers.nanonis.instrument import Instrument
from sim.servers.nanonis.modules.signals import CURRENT, NAMES, Z
from sim.servers.nanonis.picture import Picture
from sim.servers.nanonis.saving import Series
from sim.servers.nanonis.scanning import LineEnd, Movement, Scanning
from sim.servers.nanonis.settings import Settings
from sim.servers.nanonis.speed import Speed

_log = logging.getLogger(__name__)

_PROPS = "Scan.Props"
#: Controllers make the number of pixels a multiple of this.
_BLOCK = 16
_MOST_LINES = 1 << 14
_MOST_VALUES = 1 << 24
#: Sides of a frame (m); smaller ones than an atom mean a slip of the unit.
_SIDES_M = (1e-12, 1e-2)
_FRAME = Frame(x_m=0.0, y_m=0.0, width_m=30e-9, height_m=30e-9)


class ScanModule:
    """The module Scan.

    Args:
        instrument: what scans.
        settings: where its properties are kept.
        session_path: says in which folder scans are saved.
    """

    def __init__(
        self, instrument: Instrument, settings: Settings, session_path: Callable[[], Path]
    ) -> None:
        self._instrument = instrument
        self._settings = settings
        self._series = Series(session_path)
        self._frame = _FRAME
        self._channels: tuple[int, ...] = (CURRENT, Z)
        self._pixels, self._lines = 128, 128
        self._speed = Speed()
        self._scanning = Scanning(instrument, self._picture, self._autosave, self._following)

    def stop(self) -> None:
        """End what goes on by itself."""
        self._scanning.stop()

    def pause(self) -> None:
        """Halt the scan."""
        self._scanning.pause()

    def speed_m_per_s(self) -> float:
        """Speed of the forward scan."""
        return self._speed.forward_m_per_s(self._frame.width_m)

    @command("Scan.Action")
    async def action(self, values: Values) -> Values:
        """Start, stop, pause or resume."""
        match values["action"]:
            case ScanAction.START:
                up = values["direction"] == ScanDirection.UP
                self._scanning.start("up" if up else "down")
            case ScanAction.STOP:
                self._scanning.stop()
            case ScanAction.PAUSE | ScanAction.FREEZE:
                self._scanning.pause()
            case ScanAction.RESUME | ScanAction.UNFREEZE:
                self._scanning.resume()
            case ScanAction.CENTRE:
                x_m, y_m, speed = self._frame.x_m, self._frame.y_m, self.speed_m_per_s()
                self._instrument.act(lambda world: world.move(x_m, y_m, speed))
        return NOTHING

    @command("Scan.StatusGet")
    async def status(self, _: Values) -> Values:
        """Whether the tip scans."""
        return {"status": Switch.ON if self._scanning.running else Switch.OFF}

    @command("Scan.WaitEndOfScan")
    async def wait_frame(self, values: Values) -> Values:
        """Wait until the frame is complete or stopped, and say where it was saved."""
        if not self._scanning.active:
            # On a fast clock a scan may be over before its client asks; that must not hang.
            return {"timed_out": 0, "path": self._scanning.path}
        timeout_s = self._instrument.wall_s(values["timeout_ms"])
        path = await self._scanning.frame_ended.next(timeout_s)
        return {"timed_out": int(path is None), "path": path or ""}

    @command("Scan.WaitEndOfLine")
    async def wait_line(self, values: Values) -> Values:
        """Wait until the tip has ended a forward or a backward line."""
        end: LineEnd | None = None
        if self._scanning.active:
            timeout_s = self._instrument.wall_s(values["timeout_ms"])
            end = await self._scanning.line_ended.next(timeout_s)
        line, movement = end or LineEnd(-1, Movement.TO_START)
        return {"timed_out": int(end is None), "line": line, "movement": movement, "pass_number": 1}

    @command("Scan.FrameSet")
    async def set_frame(self, values: Values) -> Values:
        """Choose where the next scan lies."""
        require("width of the frame", values["width_m"], *_SIDES_M)
        require("height of the frame", values["height_m"], *_SIDES_M)
        frame = Frame(**values)
        range_m = self._instrument.world.range_m
        for u in (-frame.width_m / 2, frame.width_m / 2):
            for v in (-frame.height_m / 2, frame.height_m / 2):
                x_m, y_m = frame.to_sample(u, v)
                if abs(x_m) > range_m[0] / 2 or abs(y_m) > range_m[1] / 2:
                    raise Refusal("The scan frame is outside the range of the scanner.")
        # The speed may refuse the new width, so it is asked before anything changes.
        self._speed.resize(self._frame.width_m, frame.width_m)
        self._frame = frame
        return NOTHING

    @command("Scan.FrameGet")
    async def frame(self, _: Values) -> Values:
        """Where the next scan lies."""
        return self._frame.model_dump()

    @command("Scan.BufferSet")
    async def set_buffer(self, values: Values) -> Values:
        """Choose what is recorded; without a number of lines the picture keeps its shape."""
        channels, pixels, lines = values["channels"], values["pixels"], values["lines"]
        if any(not 0 <= channel < len(NAMES) for channel in channels):
            raise Refusal("A channel index is out of range.")
        pixels = max(round(pixels / _BLOCK), 1) * _BLOCK
        lines = lines or max(round(pixels * self._lines / self._pixels), 1)
        require("number of lines", lines, 1, _MOST_LINES)
        require("number of values", max(len(channels), 1) * pixels * lines, 1, _MOST_VALUES)
        self._channels, self._pixels, self._lines = tuple(dict.fromkeys(channels)), pixels, lines
        # A scan that runs keeps its picture; its clients read it by the shape it began with.
        if not self._scanning.active:
            self._scanning.picture = self._picture(self._scanning.picture.settings.direction)
        return NOTHING

    @command("Scan.BufferGet")
    async def buffer(self, _: Values) -> Values:
        """What is recorded."""
        return {"channels": self._channels, "pixels": self._pixels, "lines": self._lines}

    @command("Scan.PropsGet")
    async def props(self, _: Values) -> Values:
        """Properties; of the modules whose parameters are saved, none has any."""
        kept = self._settings.read(_PROPS)
        return {**kept, "parameter_counts": (0,) * len(kept.get("modules", ()))}

    @command("Scan.SpeedSet")
    async def set_speed(self, values: Values) -> Values:
        """Set the speed."""
        self._speed.set(values, self._frame.width_m)
        return NOTHING

    @command("Scan.SpeedGet")
    async def speed(self, _: Values) -> Values:
        """The speed."""
        return self._speed.values(self._frame.width_m)

    @command("Scan.FrameDataGrab")
    async def grab(self, values: Values) -> Values:
        """The data of a channel as far as they are."""
        picture = self._scanning.picture
        if values["channel"] not in picture.channels:
            raise Refusal("The channel is not recorded in the scan.")
        up = picture.settings.direction == "up"
        return {
            "name": NAMES[values["channel"]],
            "data": picture.frame(values["channel"], values["sweep"]),
            "direction": ScanDirection.UP if up else ScanDirection.DOWN,
        }

    @command("Scan.Save")
    async def save(self, _: Values) -> Values:
        """Save what there is."""
        try:
            self._save(self._scanning.picture)
        except FileError as error:
            raise Refusal(str(error)) from None
        return {"timed_out": 0}

    @command("Scan.BackgroundPaste")
    async def paste(self, _: Values) -> Values:
        """Paste the picture into the background of the screen, which is not there."""
        return {"timed_out": 0}

    @command("Scan.BackgroundDelete")
    async def unpaste(self, _: Values) -> Values:
        """Delete pasted pictures."""
        return {"timed_out": 0}

    def _picture(self, direction: Direction) -> Picture:
        world = self._instrument.world
        forward_s, backward_s = self._speed.times_s
        try:
            settings = ScanSettings(
                frame=self._frame,
                pixels=self._pixels,
                lines=self._lines,
                forward_s=forward_s,
                backward_s=backward_s,
                at=TunnellingPoint(bias_v=world.bias_v, setpoint_a=world.setpoint_a),
                direction=direction,
            )
        except ValidationError as error:
            raise Refusal(f"The scan cannot start: {complaint(error)}") from None
        return Picture(settings, self._channels)

    def _following(self, direction: Direction) -> Direction | None:
        props = self._settings.read(_PROPS)
        if props["continuous"] != Switch.ON:
            return None
        if props["bouncy"] != Switch.ON:
            return direction
        return "down" if direction == "up" else "up"

    def _autosave(self, picture: Picture) -> str:
        mode = self._settings.read(_PROPS)["autosave"]
        if mode == Autosave.OFF:
            return ""
        if mode == Autosave.NEXT:
            self._settings.write(_PROPS, {"autosave": SetAutosave.OFF})
        try:
            return self._save(picture)
        except FileError as error:
            # The scan itself is sound; an empty path tells the client that there is no file.
            _log.warning("a scan was not saved: %s", error)
            return ""

    def _save(self, picture: Picture) -> str:
        props: dict[str, Any] = dict(self._settings.read(_PROPS))
        scan = replace(picture.scan, comment=props["comment"])
        return self._series.save(scan, props["series"], self._instrument.now())
