"""From a scan line to what the network reads of it, from that line and those before it alone.

Every line is resampled to ``POINTS`` points. Tilt and scale come from the lines so far, so that a
line looks the same while the scan runs and after its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from drivers.scan import Image, Scan
from policies.scorer.resampling import shares
from policies.scorer.units import UNIT_M, USUAL_PITCH_M

POINTS = 96
#: Forward and backward heights, what changed since the line before, and by how much it jumped.
CHANNELS = 4
NUMBERS = 4
#: Rows that the network reads of one scan, at most; a longer scan is read several lines at a time.
MOST_ROWS = 96
FAINT = 1e-3


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of a scan before its first line.

    Attributes:
        pixels: points per line.
        lines: number of lines wanted.
        width_m: length of a line (m), or None.
        scale_known: whether heights are in metres.
    """

    pixels: int
    lines: int
    width_m: float | None
    scale_known: bool

    @classmethod
    def of(cls, scan: Scan) -> Setting:
        """The setting of a scan that is there already."""
        lines, pixels = scan.forward.shape
        if scan.frame is None:
            # Pixels are square, and what is missing of a square was not scanned.
            return cls(pixels, max(lines, pixels), None, scan.scale_known)
        return cls(pixels, lines, scan.frame.width_m, scan.scale_known)

    @property
    def lines_per_row(self) -> int:
        """How many lines are read together."""
        return math.ceil(self.lines / MOST_ROWS)


@dataclass(frozen=True, slots=True)
class Rows:
    """What the network reads of some lines, each row of one line or of a few read together.

    Attributes:
        pictures: shape (CHANNELS, rows, POINTS).
        numbers: log length and log relief so far, with a flag for each; shape (rows, NUMBERS).
    """

    pictures: NDArray[np.float32]
    numbers: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.numbers)

    def padded(self, count: int) -> Rows:
        """The same with rows of zeros behind, ``count`` in all."""
        behind = count - len(self)
        pictures = np.pad(self.pictures, ((0, 0), (0, behind), (0, 0)))
        return Rows(pictures, np.pad(self.numbers, ((0, behind), (0, 0))))


class LineReader:
    """Turns lines into rows, in the order in which they are scanned.

    It makes no difference whether lines are read one by one or many at once.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        # The usual scan has as many points as the network wants.
        self._resample = None if setting.pixels == POINTS else shares(setting.pixels, POINTS)
        self._pending = np.empty((2, 0, setting.pixels))
        self._before: NDArray[np.float64] | None = None
        self._tilt_sum = self._spread_sum = 0.0
        self._read = 0
        self._known = self._numbers_known()

    def read(self, forward: Image, backward: Image | None) -> Rows:
        """Read complete lines, shape (lines, pixels); what is left of a row waits for more."""
        waited, pixels = self._pending.shape[1], self._setting.pixels
        lines = np.empty((2, waited + len(forward), pixels))
        lines[:, :waited] = self._pending
        lines[0, waited:] = forward
        lines[1, waited:] = forward if backward is None else backward
        together = self._setting.lines_per_row
        whole = lines.shape[1] - lines.shape[1] % together
        self._pending = lines[:, whole:]
        rows = lines[:, :whole]
        if together > 1:
            rows = rows.reshape(2, -1, together, pixels).sum(axis=2) / together
        return self._rows(self._resampled(rows))

    def _resampled(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._resample is None:
            return rows
        pixels = torch.from_numpy(rows.reshape(-1, self._setting.pixels))
        return (pixels @ self._resample).numpy().reshape(2, -1, POINTS)

    def _rows(self, ways: NDArray[np.float64]) -> Rows:
        # Few operations on all at once: lines come one by one, and each operation takes as long for
        # one as for many.
        forward = ways[0]
        count = np.arange(self._read + 1, self._read + 1 + len(forward))
        tilt_sums = self._tilt_sum + (forward @ _TILT).cumsum()
        seen = np.empty((CHANNELS, *forward.shape))
        seen[:2] = ways - (tilt_sums / count)[:, None] * _X
        seen[2, :1] = 0.0 if self._before is None else forward[:1] - self._before
        seen[2, 1:] = forward[1:] - forward[:-1]
        ordered = np.sort(seen[:3])
        middle = _quantile(ordered, 0.5)
        low, high = _quantile(ordered[0], 0.05), _quantile(ordered[0], 0.95)
        # The mean over the lines so far: one odd line must not change the scale of all.
        spread_sums = self._spread_sum + (high - low).cumsum() / 2
        spread = spread_sums / count
        if len(forward):
            self._before, self._read = forward[-1], self._read + len(forward)
            self._tilt_sum, self._spread_sum = float(tilt_sums[-1]), float(spread_sums[-1])
        seen[:3] -= middle[:, :, None]
        seen[3] = middle[2, :, None]
        seen[2:] *= 2
        seen /= UNIT_M if self._setting.scale_known else np.maximum(spread, 1e-30)[:, None]
        return Rows(np.arcsinh(seen).astype(np.float32), self._numbers(spread))

    def _numbers(self, spread: NDArray[np.float64]) -> NDArray[np.float32]:
        numbers = np.empty((len(spread), NUMBERS), np.float32)
        numbers[:] = self._known
        if self._setting.scale_known:
            numbers[:, 2] = np.log(spread / UNIT_M + FAINT)
        return numbers

    def _numbers_known(self) -> tuple[float, float, float, float]:
        """The numbers as far as they are the same for every row; the relief is zero."""
        width_m = self._setting.width_m
        length = 0.0 if width_m is None else math.log(width_m / POINTS / USUAL_PITCH_M)
        return length, float(width_m is not None), 0.0, float(self._setting.scale_known)


def _quantile(ordered: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Quantile along the last axis of sorted values, between two of them where it lies there.

    Sorting these short rows once takes a fraction of the time of numpy's medians and percentiles.
    """
    at = share * (ordered.shape[-1] - 1)
    below = int(at)
    lower, upper = ordered[..., below], ordered[..., math.ceil(at)]
    between: NDArray[np.float64] = lower + (at - below) * (upper - lower)
    return between


def read_rows(scan: Scan) -> Rows:
    """Read the complete lines of a scan in the order in which they were scanned."""
    order = slice(None, None, -1 if scan.direction == "up" else 1)
    done = np.isfinite(scan.forward[order]).all(axis=1)
    backward = None if scan.backward is None else np.nan_to_num(scan.backward[order][done])
    return LineReader(Setting.of(scan)).read(scan.forward[order][done], backward)


_X = np.arange(POINTS) - (POINTS - 1) / 2
#: A line times this is its tilt, by least squares.
_TILT = _X / (_X @ _X)
