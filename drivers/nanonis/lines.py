"""Which lines of a growing picture are complete: pure bookkeeping, without the controller.

The controller keeps a picture of the whole frame and overwrites it line by line. Whether it clears
the old one first is up to it, so a row is only believed once it is known to be new.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from drivers.scan import Image, ScanSettings


class LineCollector:
    """Finds the lines that have become complete since the last look, in the order of the scan."""

    def __init__(self, settings: ScanSettings, stale: tuple[Image, Image] | None) -> None:
        """Start with no line.

        Args:
            settings: the scan.
            stale: forward and backward picture as they were before it, if they had its shape.
        """
        self._settings = settings
        self._stale = stale
        self.done = 0

    @property
    def complete(self) -> bool:
        """Whether every line has come."""
        return self.done == self._settings.lines

    def take(self, forward: Image, backward: Image, *, whole: bool) -> Iterator[int]:
        """Indexes of the lines that are newly complete.

        Args:
            forward: picture as it is now, shape (lines, pixels), NaN where nothing was scanned.
            backward: likewise, on the way back.
            whole: the scan has come to its end, so every row is new.
        """
        while not self.complete and self._finished(self.done, forward, backward, whole=whole):
            self.done += 1
            yield self.done - 1

    def _finished(self, index: int, forward: Image, backward: Image, *, whole: bool) -> bool:
        row = self._settings.row_of(index)
        if not (np.isfinite(forward[row]).all() and np.isfinite(backward[row]).all()):
            return False
        if whole or self._stale is None:
            return True
        # The line ends at one end of its way back, whichever that is; a pixel may by chance be as
        # before, and then the beginning of the next line tells.
        ends = _changed(backward[row], self._stale[1][row])[[0, -1]]
        return bool(ends.all()) or self._begun(index + 1, forward)

    def _begun(self, index: int, forward: Image) -> bool:
        if self._stale is None or index >= self._settings.lines:
            return False
        row = self._settings.row_of(index)
        return bool(_changed(forward[row], self._stale[0][row]).any())


def _changed(now: Image, before: Image) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    changed: np.ndarray[tuple[int], np.dtype[np.bool_]] = (now != before) & ~(
        np.isnan(now) & np.isnan(before)
    )
    return changed
