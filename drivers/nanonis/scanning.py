"""Scans: set up with read-backs, followed line by line, stopped when nobody listens any more."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import numpy as np

from drivers.errors import (
    CommandFailed,
    ConnectionFailed,
    ConnectionLost,
    InstrumentError,
    SettingsChanged,
)
from drivers.nanonis.codes import (
    ScanAction,
    ScanDirection,
    SetAutopaste,
    SetAutosave,
    SetSpeedLock,
    SetSwitch,
    Sweep,
    Switch,
)
from drivers.nanonis.lines import LineCollector
from drivers.nanonis.readiness import expect_ready
from drivers.nanonis.rig import Rig
from drivers.nanonis.session import X, Y, Z
from drivers.scan import Image, ScanLine, ScanSettings

# Controllers round the time of a line to a whole number of samples.
_SPEED_TOLERANCE = 0.02
# A scan that ends earlier than this part of its time was stopped by somebody.
_WHOLE_FRACTION = 0.9
_START_S = 5.0
_STOP_S = 10.0
_POLL_S = 0.1
_LOOK_S = 1.0
_STALL_LINES = 5
_STALL_S = 10.0


async def scan_lines(rig: Rig, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
    """Take a scan, yielding each line once it is complete both ways.

    Raises:
        InstrumentError: a scan runs already, the controller did not take the settings over, or the
            scan ended or stalled before its last line.
        ContactLost: the tip is not in contact.
        SettingsChanged: somebody else has changed what this or an earlier scan had set; what runs
            then is not stopped.
    """
    await expect_ready(rig)
    await _set_up(rig, settings)
    run = _Run(rig, settings)
    await run.prepare()
    async with _running(rig, run):
        while not run.complete:
            for line in await run.next_lines():
                yield line


@asynccontextmanager
async def _running(rig: Rig, run: _Run) -> AsyncGenerator[None]:
    try:
        await run.start()
        yield
    except SettingsChanged:
        # Whatever runs now is theirs who changed it: to stop it would undo their work.
        raise
    except InstrumentError as error:
        # What went wrong first is told, not that stopping then goes wrong as well.
        with suppress(InstrumentError):
            await run.stop()
        if isinstance(error, ConnectionFailed | ConnectionLost):
            raise ConnectionLost(
                f"the connection to {rig.session.host}:{rig.session.port} broke during the scan "
                f"after {run.done} lines: {error}"
            ) from error
        raise
    except BaseException:
        await run.stop()
        raise
    await run.stop()


async def _set_up(rig: Rig, settings: ScanSettings) -> None:
    frame = settings.frame
    await _set_props(rig)
    # Only z is recorded: what is not asked for is not transferred either.
    await rig.settings.borrow(
        "Scan.Buffer",
        channels=(rig.session.index(Z),),
        pixels=settings.pixels,
        lines=settings.lines,
    )
    await rig.settings.borrow(
        "Scan.Frame",
        x_m=frame.x_m,
        y_m=frame.y_m,
        width_m=frame.width_m,
        height_m=frame.height_m,
        angle_deg=frame.angle_deg,
    )
    # After the frame, because a frame of another width may change the time of a line.
    await rig.settings.borrow(
        "Scan.Speed",
        rel_tol=_SPEED_TOLERANCE,
        forward_m_per_s=frame.width_m / settings.forward_s,
        backward_m_per_s=frame.width_m / settings.backward_s,
        forward_s=settings.forward_s,
        backward_s=settings.backward_s,
        keep=SetSpeedLock.TIME_PER_LINE,
        ratio=settings.forward_s / settings.backward_s,
    )
    await rig.settings.note()
    await rig.point.engage(settings.at)


async def _set_props(rig: Rig) -> None:
    props = await rig.settings.get("Scan.Props")
    if props["continuous"] is Switch.OFF and props["bouncy"] is Switch.OFF:
        return
    # This command has no "no change" for its texts, so they are written as they were read.
    values = {
        "continuous": SetSwitch.OFF,
        "bouncy": SetSwitch.OFF,
        "autosave": SetAutosave.KEEP,  # saving scans is the operator's choice
        "series": props["series"],
        "comment": props["comment"],
        "modules": props.get("modules", ()),
        "autopaste": SetAutopaste.KEEP,
    }
    known = rig.session.arguments("Scan.PropsSet")
    await rig.settings.borrow("Scan.Props", **{name: values[name] for name in known})


class _Run:
    """One scan while it runs."""

    def __init__(self, rig: Rig, settings: ScanSettings) -> None:
        self._session = rig.session
        self._settings = settings
        self._collector = LineCollector(settings, None)
        self._way_s = 0.0
        self._started_s = 0.0
        self._progress_s = 0.0
        self._seen_running = False
        self._over = False

    async def prepare(self) -> None:
        """Look at what the controller still has of the last scan, and at how far the tip is."""
        shape = (self._settings.lines, self._settings.pixels)
        try:
            stale = (await self._grab(Sweep.FORWARD), await self._grab(Sweep.BACKWARD))
        except CommandFailed:
            stale = None  # nothing was scanned yet
        if stale is not None and stale[0].shape == stale[1].shape == shape:
            self._collector = LineCollector(self._settings, stale)
        frame = self._settings.frame
        x_m, y_m = await self._session.signals(X, Y)
        way_m = math.hypot(frame.x_m - x_m, frame.y_m - y_m)
        way_m += math.hypot(frame.width_m, frame.height_m) / 2
        slowest_s = max(self._settings.forward_s, self._settings.backward_s)
        self._way_s = way_m / frame.width_m * slowest_s

    async def start(self) -> None:
        """Start the scan."""
        direction = ScanDirection[self._settings.direction.upper()]
        await self._session.call("Scan.Action", action=ScanAction.START, direction=direction)
        self._started_s = self._session.clock.now()
        # Before the first line the tip first has to get to the frame.
        self._progress_s = self._started_s + self._way_s + self._settings.line_s

    @property
    def done(self) -> int:
        """How many lines have come."""
        return self._collector.done

    @property
    def complete(self) -> bool:
        """Whether every line has come."""
        return self._collector.complete

    async def next_lines(self) -> list[ScanLine]:
        """Wait for about a line, a second at most, and return the new ones, perhaps none."""
        await self._session.pause(min(self._settings.line_s, _LOOK_S))
        # The status comes first: pictures taken after the end are the last ones.
        ended = await self._ended()
        forward = await self._picture(Sweep.FORWARD)
        backward = await self._picture(Sweep.BACKWARD)
        now_s = self._session.clock.now()
        indexes = list(self._collector.take(forward, backward, whole=ended and self._is_due()))
        self._over = ended
        if indexes:
            self._progress_s = max(self._progress_s, now_s)
        else:
            self._check_progress(now_s)
        return [self._line(index, forward, backward, now_s) for index in indexes]

    async def stop(self) -> None:
        """Stop the scan, unless it has come to its end."""
        if self._over:
            return
        if not self.complete or not await self._stops_within(self._settings.line_s):
            await self._session.call(
                "Scan.Action", action=ScanAction.STOP, direction=ScanDirection.DOWN
            )
            if not await self._stops_within(_STOP_S):
                raise InstrumentError("the scan was told to stop and still runs")

    def _line(self, index: int, forward: Image, backward: Image, now_s: float) -> ScanLine:
        row = self._settings.row_of(index)
        return ScanLine(
            index,
            row,
            forward[row].astype(np.float32),
            backward[row].astype(np.float32),
            now_s,
        )

    async def _stops_within(self, seconds: float) -> bool:
        return await self._session.until(self._stopped, every_s=_POLL_S, within_s=seconds)

    def _check_progress(self, now_s: float) -> None:
        done, lines = self._collector.done, self._settings.lines
        if self._over:
            raise InstrumentError(
                f"the scan ended after {done} of {lines} lines; somebody stopped it, or the "
                "controller did"
            )
        stall_s = max(_STALL_S, _STALL_LINES * self._settings.line_s)
        if now_s - self._progress_s > self._session.patience(stall_s):
            raise InstrumentError(
                f"no line of the scan came for {stall_s:.0f} s after {done} of {lines} lines; "
                "look at the instrument"
            )

    async def _ended(self) -> bool:
        if not await self._stopped():
            self._seen_running = True
            return False
        # A controller may take a moment from the order to start until it reports a scan.
        waited_s = self._session.clock.now() - self._started_s
        return self._seen_running or self._is_due() or waited_s > self._session.patience(_START_S)

    async def _stopped(self) -> bool:
        return (await self._session.read("Scan.StatusGet"))["status"] is Switch.OFF

    def _is_due(self) -> bool:
        due_s = _WHOLE_FRACTION * self._settings.lines * self._settings.line_s
        return self._session.clock.now() - self._started_s >= due_s

    async def _picture(self, sweep: Sweep) -> Image:
        picture = await self._grab(sweep)
        shape = (self._settings.lines, self._settings.pixels)
        if picture.shape != shape:
            raise SettingsChanged(
                f"the controller's picture has shape {picture.shape} instead of {shape}; "
                "somebody has changed the scan's settings"
            )
        return picture

    async def _grab(self, sweep: Sweep) -> Image:
        reply = await self._session.read(
            "Scan.FrameDataGrab", channel=self._session.index(Z), sweep=sweep
        )
        picture: Image = reply["data"]
        flip = sweep is Sweep.BACKWARD and self._session.options.flip_backward
        return picture[:, ::-1] if flip else picture
