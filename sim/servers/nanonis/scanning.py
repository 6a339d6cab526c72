"""The scan that goes on in the background, line after line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Generator, Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from drivers.errors import CommandFailed, ContactLost
from drivers.nanonis.codes import Sweep
from drivers.scan import Direction, ScanLine, ScanSettings
from sim.servers.nanonis.instrument import Activity, Instrument
from sim.servers.nanonis.picture import Picture
from sim.servers.nanonis.waiting import Happening

_log = logging.getLogger(__name__)


class Movement(IntEnum):
    """What the tip has just done during a scan."""

    FORWARD = 0
    BACKWARD = 1
    TO_CENTRE = 2
    TO_START = 3


class LineEnd(NamedTuple):
    """The end of a movement: number of the line, from 1 on (-1 for none), and its kind."""

    line: int
    movement: Movement


class Scanning:
    """One scan at a time.

    Args:
        instrument: what scans.
        begin: makes the picture for the next frame in the given direction.
        finish: saves a complete picture and returns the file's path, empty if it is not saved.
        follow_up: direction of the frame after one that ran in the given direction; None ends.

    Attributes:
        picture: the latest frame.
        path: the file of the latest frame that was completed; empty if it was stopped or not saved.
        line_ended: tells the ends of lines.
        frame_ended: tells the paths of frames.
    """

    def __init__(
        self,
        instrument: Instrument,
        begin: Callable[[Direction], Picture],
        finish: Callable[[Picture], str],
        follow_up: Callable[[Direction], Direction | None],
    ) -> None:
        self._instrument = instrument
        self._begin = begin
        self._finish = finish
        self._follow_up = follow_up
        self._activity = Activity()
        self._going = asyncio.Event()
        self.picture = begin("up")
        self.path = ""
        self.line_ended: Happening[LineEnd] = Happening()
        self.frame_ended: Happening[str] = Happening()

    @property
    def active(self) -> bool:
        """Whether a scan has begun and not ended; it may be paused."""
        return self._activity.running

    @property
    def running(self) -> bool:
        """Whether the tip scans."""
        return self.active and self._going.is_set()

    def start(self, direction: Direction) -> None:
        """Begin a scan; one that runs is given up."""
        self.path = ""
        self._going.set()
        self.picture = self._begin(direction)
        self._activity.start(self._run(direction))

    def stop(self) -> None:
        """End the scan."""
        self._activity.stop()
        # An empty path is how clients are told that the scan did not come to its end.
        self.path = ""
        self.line_ended.tell(LineEnd(-1, Movement.TO_CENTRE))
        self.frame_ended.tell("")

    def pause(self) -> None:
        """Halt after the present line."""
        self._going.clear()

    def resume(self) -> None:
        """Go on after a pause."""
        self._going.set()

    async def _run(self, direction: Direction) -> None:
        following: Direction | None = direction
        while following is not None:
            # Controllers report a movement without a line before the first one.
            self.line_ended.tell(LineEnd(-1, Movement.TO_START))
            await self._take(self.picture)
            self.path = self._finish(self.picture)
            self.frame_ended.tell(self.path)
            following = self._follow_up(following)
            if following is not None:
                self.picture = self._begin(following)

    async def _take(self, picture: Picture) -> None:
        # Closing the lines tells the world that the scan is over, however it ended.
        with contextlib.closing(self._lines(picture.settings)) as lines:
            complete = False
            while not complete:
                await self._going.wait()
                with self._instrument.driven():
                    complete = await self._take_lines(lines, picture)

    async def _take_lines(self, lines: Iterator[ScanLine], picture: Picture) -> bool:
        """Scan until the scan is paused; whether that was the last line."""
        while self._going.is_set():
            line = self._instrument.act(lambda _: next(lines, None))
            if line is None:
                return True
            await self._record(line, picture)
        return False

    async def _record(self, line: ScanLine, picture: Picture) -> None:
        world = self._instrument.world
        await self._instrument.until(line.time_s - picture.settings.backward_s)
        picture.fill(line, Sweep.FORWARD, world)
        self.line_ended.tell(LineEnd(line.index + 1, Movement.FORWARD))
        await self._instrument.until(line.time_s)
        picture.fill(line, Sweep.BACKWARD, world)
        self.line_ended.tell(LineEnd(line.index + 1, Movement.BACKWARD))

    def _lines(self, settings: ScanSettings) -> Generator[ScanLine]:
        done = 0
        try:
            for line in self._instrument.world.lines(settings):
                done = line.index + 1
                yield line
        except (ContactLost, CommandFailed) as error:
            # A controller scans on without feedback; the height it records then stands still.
            _log.info("scanning without feedback: %s", error)
        for index in range(done, settings.lines):
            yield self._still_line(settings, index)

    def _still_line(self, settings: ScanSettings, index: int) -> ScanLine:
        world = self._instrument.world
        world.advance(settings.line_s)
        z = np.full(settings.pixels, world.z_m, np.float32)
        return ScanLine(index, settings.row_of(index), z, z, world.time_s)
