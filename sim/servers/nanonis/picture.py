"""The scan buffer: what a scan has recorded so far, channel by channel."""

from __future__ import annotations

import numpy as np

from drivers.nanonis.codes import Sweep
from drivers.scan import Image, Scan, ScanLine, ScanSettings
from sim.servers.nanonis.modules.signals import BIAS, CURRENT, X, Y, Z
from sim.world import World


class Picture:
    """The frames of one scan, row 0 at the top edge and NaN where nothing was recorded.

    Attributes:
        settings: how the scan is taken.
        channels: the signals that are recorded.
        scan: the topograph.
    """

    def __init__(self, settings: ScanSettings, channels: tuple[int, ...]) -> None:
        self.settings = settings
        self.channels = channels
        self.scan = Scan.blank(settings)
        shape = (2, settings.lines, settings.pixels)
        # Height is kept in the scan; the other signals are here, backward before forward.
        self._others = {c: np.full(shape, np.nan, np.float32) for c in channels if c != Z}

    def frame(self, channel: int, sweep: Sweep) -> Image:
        """One channel in one direction, shape (lines, pixels)."""
        if channel != Z:
            frame: Image = self._others[channel][sweep]
            return frame
        backward = self.scan.backward
        return self.scan.forward if sweep == Sweep.FORWARD or backward is None else backward

    def fill(self, line: ScanLine, sweep: Sweep, world: World) -> None:
        """Record one direction of a line."""
        heights = line.forward_m if sweep == Sweep.FORWARD else line.backward_m
        if heights is not None:
            self.frame(Z, sweep)[line.row] = heights
        for channel, frames in self._others.items():
            frames[sweep, line.row] = self._signal(channel, line.row, world)

    def _signal(self, channel: int, row: int, world: World) -> Image | float:
        if channel == CURRENT:
            # The world gives no current line by line; under feedback it is the setpoint and noise.
            readings = [world.read_current_a() for _ in range(self.settings.pixels)]
            return np.array(readings, np.float32)
        if channel == BIAS:
            return world.bias_v
        if channel in (X, Y):
            return self._position(row)[0 if channel == X else 1].astype(np.float32)
        return 0.0

    def _position(self, row: int) -> tuple[Image, Image]:
        frame, pixels = self.settings.frame, self.settings.pixels
        v = frame.height_m * (0.5 - (row + 0.5) / self.settings.lines)
        ends = [frame.to_sample(sign * frame.width_m / 2, v) for sign in (-1, 1)]
        share = np.linspace(0.0, 1.0, pixels, dtype=np.float32)
        (x0, y0), (x1, y1) = ends
        return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
