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
        self._resample = shares(setting.pixels, POINTS)
        self._pending = np.empty((0, 2, setting.pixels), np.float32)
        self._before: NDArray[np.float64] | None = None
        self._sum = np.zeros(POINTS)
        self._spread_sum = 0.0
        self._read = 0

    def read(self, forward: Image, backward: Image | None) -> Rows:
        """Read complete lines, shape (lines, pixels); what is left of a row waits for more."""
        ways = np.stack([forward, forward if backward is None else backward], axis=1)
        lines = np.concatenate([self._pending, ways])
        together = self._setting.lines_per_row
        whole = len(lines) - len(lines) % together
        self._pending = lines[whole:]
        rows = lines[:whole].reshape(-1, together, 2, self._setting.pixels)
        mean = rows.mean(axis=1, dtype=np.float64)
        return self._rows((torch.from_numpy(mean) @ self._resample).numpy())

    def _rows(self, ways: NDArray[np.float64]) -> Rows:
        count = self._read + 1 + np.arange(len(ways))[:, None]
        level = ways - _quantile(np.sort(ways, axis=2), 0.5)
        sums = self._sum + np.cumsum(level[:, 0], axis=0)
        flat = level - (sums / count @ _X / (_X @ _X))[:, None, None] * _X
        ordered = np.sort(flat, axis=2)
        flat -= _quantile(ordered, 0.5)
        before = ways[:1, 0] if self._before is None else self._before[None]
        change = np.diff(ways[:, 0], axis=0, prepend=before)
        jump = _quantile(np.sort(change, axis=1), 0.5)
        low, high = (_quantile(ordered[:, 0], share)[:, 0] for share in (0.05, 0.95))
        # The mean over the lines so far: one odd line must not change the scale of all.
        spreads = self._spread_sum + np.cumsum(high - low)[:, None] / 2
        spread = spreads / count
        if len(ways):
            self._before, self._sum = ways[-1, 0], sums[-1]
            self._spread_sum, self._read = float(spreads[-1, 0]), self._read + len(ways)
        unit = UNIT_M if self._setting.scale_known else np.maximum(spread, 1e-30)
        seen = [flat[:, 0], flat[:, 1], 2 * (change - jump), 2 * jump + np.zeros(POINTS)]
        pictures = np.arcsinh(np.stack([one / unit for one in seen]))
        return Rows(pictures.astype(np.float32), self._numbers(spread[:, 0]))

    def _numbers(self, spread: NDArray[np.float64]) -> NDArray[np.float32]:
        numbers = np.zeros((len(spread), NUMBERS), np.float32)
        if self._setting.width_m is not None:
            numbers[:, :2] = math.log(self._setting.width_m / POINTS / USUAL_PITCH_M), 1.0
        if self._setting.scale_known:
            numbers[:, 2], numbers[:, 3] = np.log(spread / UNIT_M + FAINT), 1.0
        return numbers


def _quantile(ordered: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Quantile along the last axis of sorted values, between two of them where it lies there.

    Sorting these short rows once takes a fraction of the time of numpy's medians and percentiles.
    """
    at = share * (ordered.shape[-1] - 1)
    below = int(at)
    lower, upper = ordered[..., below, None], ordered[..., math.ceil(at), None]
    between: NDArray[np.float64] = lower + (at - below) * (upper - lower)
    return between


def read_rows(scan: Scan) -> Rows:
    """Read the complete lines of a scan in the order in which they were scanned."""
    order = slice(None, None, -1 if scan.direction == "up" else 1)
    done = np.isfinite(scan.forward[order]).all(axis=1)
    backward = None if scan.backward is None else np.nan_to_num(scan.backward[order][done])
    return LineReader(Setting.of(scan)).read(scan.forward[order][done], backward)


_X = np.arange(POINTS) - (POINTS - 1) / 2
