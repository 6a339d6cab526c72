"""Where in a region of the sample an episode stands: the frame, its clear spots, what is used."""

from __future__ import annotations

import numpy as np

from drivers.sample_map import CELL_M, SampleMap, Site
from drivers.scan import ScanSettings
from sim.environments.catalogue import NM, PM
from sim.environments.ground import clearest, patch_points
from sim.scans.kernels import Doubles, Floats


class Place:
    """One frame after the other of a region that was reached by a coarse move.

    A spot counts as clear only if the disc that an action spoils lies inside the frame as a whole,
    so that each frame has a book of its own and neighbours stay clean.

    Args:
        frames: the frames, in the order in which they are seen.
        flat_pm: relief below which ground counts as flat (pm).

    Attributes:
        site: the clearest spot in the last scan, or None.
    """

    def __init__(self, frames: tuple[ScanSettings, ...], flat_pm: float) -> None:
        self._frames = frames
        self._flat_nm = flat_pm * PM / NM
        self._index = 0
        self.site: Site | None = None
        self._touched: Doubles
        self._open()

    @property
    def settings(self) -> ScanSettings:
        """The scan of the present frame."""
        return self._frames[self._index]

    @property
    def left(self) -> float:
        """Share of the region's frames that are still to come, 0..1."""
        return 1 - (self._index + 1) / len(self._frames)

    def next_frame(self) -> None:
        """Go on to a frame that was neither seen nor touched."""
        self._index += 1
        self._open()

    def touch(self, diameter_m: float) -> None:
        """Note that a disc around the site is spoiled."""
        if self.site is None:
            return
        x, y = self._inside(self.site)
        self._book.touch(x, y, diameter_m)
        frame = self.settings.frame
        pitch = frame.width_m / self.settings.pixels
        column = (x + frame.width_m / 2) / pitch - 0.5
        row = (frame.height_m / 2 - y) / pitch - 0.5
        # The book is kept in cells: one cell more around the disc and it agrees that it is clear.
        radius = (diameter_m / 2 + CELL_M) / pitch
        self._touched = np.concatenate([self._touched, [[column, row, radius]]])

    def look(self, heights_nm: Floats) -> None:
        """Find the clearest spot in a scan of the present frame, (lines, 2, pixels)."""
        frame = self.settings.frame
        pitch = frame.width_m / NM / self.settings.pixels
        patch = patch_points(pitch)
        row, column, clear = clearest(heights_nm, pitch, patch, self._flat_nm, self._touched)
        x = frame.x_m + (column + 0.5) * pitch * NM - frame.width_m / 2
        y = frame.y_m + frame.height_m / 2 - (row + 0.5) * pitch * NM
        self.site = Site(x, y, clear * NM) if clear else None

    def is_clear(self, diameter_m: float) -> bool:
        """Whether an action that spoils a disc of ``diameter_m`` may happen at the site."""
        if self.site is None or self.site.clear_m < diameter_m:
            return False
        return not self._book.is_touched(*self._inside(self.site), diameter_m)

    def _open(self) -> None:
        frame = self.settings.frame
        self._book = SampleMap(frame.width_m, frame.height_m)
        self._touched = np.empty((0, 3))
        self.site = None

    def _inside(self, site: Site) -> tuple[float, float]:
        frame = self.settings.frame
        return site.x_m - frame.x_m, site.y_m - frame.y_m
