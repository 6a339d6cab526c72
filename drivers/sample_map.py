"""What is known of the sample: what was touched, what was seen, where it is flat and clean.

``SampleMap`` keeps the book of one piezo field. ``clear_site`` reads one topograph and says where
in it an action may land: on a flat patch, away from steps, adatoms and debris.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drivers.actions import Action, Indentation, Pulse
from drivers.scan import Frame, Scan
from drivers.smoothing import median_of_nine

NM = 1e-9
CELL_M = 2e-9
MOST_CELLS = 1000
#: Local relief above which a patch counts as step, adatom or debris. The herringbone of Au(111)
#: stays below 50 pm, a monatomic step of the usual metals is 200 pm and more.
RELIEF_M = 70e-12
PATCH_M = 1.5e-9
#: Lines, evenly spread, that are enough to find the usual slope, and to tell which is right.
MANY_LINES, ENOUGH_LINES = 96, 32
#: Bins of a histogram of heights, from its 5th to its 95th percentile.
BINS = 30
#: What lies higher is counted together: a histogram must not grow with a single wild pixel.
MOST_BINS = 1000
#: Values in a row up to which it is short.
SHORT_ROW = 512


@dataclass(frozen=True, slots=True)
class Site:
    """A flat, clean spot.

    Attributes:
        x_m: centre (m).
        y_m: centre (m).
        clear_m: diameter of the flat disc around it (m).
    """

    x_m: float
    y_m: float
    clear_m: float


def spoiled_diameter_m(action: Action) -> float:
    """How wide a disc an action spoils, at most (m).

    Pulses leave mounds or pits up to some 10 nm wide, indentations 3 nm plus three times their
    depth: the bookkeeping of Krull et al., Commun. Phys. 3, 54 (2020), widened to cover both.
    """
    match action:
        case Pulse():
            return 4e-9 + 1e-9 * abs(action.peak_bias_v)
        case Indentation():
            return (3 + 3 * (action.depth_m / NM)) * NM
        case _:
            return 0.0


class SampleMap:
    """Which parts of the piezo field are still untouched and unseen.

    The field is centred on zero and cut into cells of ``CELL_M``, or coarser ones if it is large.
    """

    def __init__(self, width_m: float, height_m: float) -> None:
        self.width_m = width_m
        self.height_m = height_m
        # Cells that lie in the range as a whole; no more than a field of some micrometres has.
        self._cell_m = max(CELL_M, max(width_m, height_m) / MOST_CELLS)
        shape = (int(height_m / self._cell_m + 1e-6), int(width_m / self._cell_m + 1e-6))
        self._touched = np.zeros(shape, np.bool_)
        self._seen = np.zeros(shape, np.bool_)

    def touch(self, x_m: float, y_m: float, diameter_m: float) -> None:
        """Note that a disc of ``diameter_m`` around ``(x, y)`` is spoiled."""
        row, column = self._cell(x_m, y_m)
        radius = diameter_m / 2 / self._cell_m + 0.5
        reach = int(radius)
        # Nothing farther away can be meant, and a field has up to a million cells.
        area = self._touched[
            max(row - reach, 0) : max(row + reach + 1, 0),
            max(column - reach, 0) : max(column + reach + 1, 0),
        ]
        rows = np.arange(area.shape[0]) + (max(row - reach, 0) - row)
        columns = np.arange(area.shape[1]) + (max(column - reach, 0) - column)
        area |= (rows**2)[:, None] + columns**2 <= radius**2

    def look(self, frame: Frame) -> None:
        """Note that ``frame`` has been scanned."""
        self._seen[self._slices(frame.x_m, frame.y_m, _span(frame))] = True

    def is_touched(self, x_m: float, y_m: float, diameter_m: float) -> bool:
        """Whether any part of a disc of ``diameter_m`` around ``(x, y)`` is spoiled."""
        return bool(self._touched[self._slices(x_m, y_m, diameter_m)].any())

    def touched_share(self) -> float:
        """Share of the field that is spoiled, 0..1."""
        return float(self._touched.mean())

    def fresh_frame(self, size_m: float, x_m: float, y_m: float) -> tuple[float, float] | None:
        """Centre of the nearest square of ``size_m`` that is neither touched nor seen.

        Args:
            size_m: side of the square (m).
            x_m: where the tip is now (m).
            y_m: where the tip is now (m).

        Returns:
            The centre (m), or None if the field is exhausted.
        """
        side = int(np.ceil(size_m / self._cell_m))
        if side >= min(self._touched.shape):
            return None
        free = self._free_squares(side)
        if not free.any():
            return None
        ys = (np.arange(free.shape[0]) + side / 2) * self._cell_m - self.height_m / 2
        xs = (np.arange(free.shape[1]) + side / 2) * self._cell_m - self.width_m / 2
        away = ((xs - x_m) ** 2)[None, :] + ((ys - y_m) ** 2)[:, None]
        away[~free] = np.inf
        row, column = np.unravel_index(int(np.argmin(away)), free.shape)
        return float(xs[column]), float(ys[row])

    def _free_squares(self, side: int) -> NDArray[np.bool_]:
        """Whether the square of ``side`` cells from each cell on is neither touched nor seen."""
        below = _any_of_next(self._touched | self._seen, side)
        free: NDArray[np.bool_] = ~_any_of_next(below.T, side).T
        return free

    def _cell(self, x_m: float, y_m: float) -> tuple[int, int]:
        column = int((x_m + self.width_m / 2) // self._cell_m)
        row = int((y_m + self.height_m / 2) // self._cell_m)
        return row, column

    def _slices(self, x_m: float, y_m: float, size_m: float) -> tuple[slice, slice]:
        low = self._cell(x_m - size_m / 2, y_m - size_m / 2)
        high = self._cell(x_m + size_m / 2, y_m + size_m / 2)
        return (
            slice(max(low[0], 0), max(high[0] + 1, 0)),
            slice(max(low[1], 0), max(high[1] + 1, 0)),
        )


def _any_of_next(cells: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Whether any of ``count`` rows from each on is set; the last ones begin no such stretch."""
    reach = 1
    while reach < count:
        # Two stretches make one of up to twice the length.
        step = min(reach, count - reach)
        cells = cells[:-step] | cells[step:]
        reach += step
    return cells


def _span(frame: Frame) -> float:
    # A rotated frame is booked with the square around its diagonal.
    straight = frame.angle_deg % 90 == 0
    longest = max(frame.width_m, frame.height_m)
    return longest if straight else float(np.hypot(frame.width_m, frame.height_m))


def level(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Remove the tilt along the lines and the offset between them.

    Lines that are not complete become NaN.
    """
    done = np.isfinite(z).all(axis=1)
    flat = np.full(z.shape, np.nan, np.float32)
    if done.any() and z.shape[1] > 1:
        flat[done] = aligned(without_tilt(z[done]))
    return flat


def without_tilt(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Remove the tilt along the lines, whatever lies on the surface; shape (lines, pixels), m.

    The slope that most pixels agree on is not moved by steps and adatoms, but by a corrugation that
    rises more steeply than it falls, as every scan makes of it; the mean slope the other way round.
    The right one leaves the sharper peaks in the histogram of heights: each peak is a terrace.
    """
    x = np.arange(lines.shape[1]) - (lines.shape[1] - 1) / 2
    usual = float(middle(np.diff(lines[:: -(-len(lines) // MANY_LINES)], axis=1).ravel()))
    mean = float(lines.mean(axis=0, dtype=np.float64) @ x / (x @ x))
    few = lines[:: -(-len(lines) // ENOUGH_LINES)]
    flat = [aligned(few - slope * x) for slope in (usual, mean)]
    low, high = np.percentile(flat[0], (5, 95))
    bin_m = max(float(high - low) / BINS, 1e-30)
    slope = usual if _sharpness(flat[0], bin_m) >= _sharpness(flat[1], bin_m) else mean
    levelled: NDArray[np.float32] = (lines - slope * x).astype(np.float32)
    return levelled


def aligned(lines: NDArray[np.floating]) -> NDArray[np.float32]:
    """Remove the offset between neighbouring lines that most of their pixels agree on."""
    steps = middle(np.diff(lines, axis=0))
    flat: NDArray[np.float32] = lines - np.concatenate([[0.0], np.cumsum(steps)])[:, None]
    return flat.astype(np.float32)


def middle(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """The median along the last axis, the upper of two; a good deal faster than numpy's."""
    half = values.shape[-1] // 2
    # Short rows are sorted in less time than they are parted.
    if values.shape[-1] <= SHORT_ROW:
        return np.sort(values, axis=-1)[..., half]
    return np.partition(values, half, axis=-1)[..., half]


def _sharpness(flat: NDArray[np.float32], bin_m: float) -> float:
    """Chance that two pixels lie in the same bin of height."""
    bins = (flat - flat.min()) / bin_m
    shares = np.bincount(np.minimum(bins, MOST_BINS).astype(np.intp).ravel()) / flat.size
    return float(shares @ shares)


def relief(scan: Scan) -> NDArray[np.float32]:
    """Local relief of a topograph: highest minus lowest z within ``PATCH_M`` (m), same shape.

    Where there is a backward picture the lower of both counts: what only one of them shows is the
    tip's doing and not the sample's. Lines that were not scanned have infinite relief. The frame of
    the scan must be known.
    """
    if scan.frame is None:
        raise ValueError("the relief of a scan without a frame is unknown")
    lines, pixels = scan.forward.shape
    rows = max(3, round(PATCH_M / (scan.frame.height_m / lines)))
    columns = max(3, round(PATCH_M / (scan.frame.width_m / pixels)))
    ways = [scan.forward] if scan.backward is None else [scan.forward, scan.backward]
    lowest: NDArray[np.float32] = np.minimum.reduce(
        [_local_relief(level(z), rows, columns) for z in ways]
    )
    return lowest


def _local_relief(flat: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    scanned = np.isfinite(flat)
    filled = np.where(scanned, flat, np.median(flat[scanned]) if scanned.any() else 0.0)
    # Single-pixel noise is no obstacle; steps and adatoms survive the median.
    smooth = median_of_nine(filled)
    highest = ndimage.maximum_filter(smooth, size=(rows, columns), mode="nearest")
    lowest = ndimage.minimum_filter(smooth, size=(rows, columns), mode="nearest")
    return np.where(scanned, highest - lowest, np.inf).astype(np.float32)


def clear_site(scan: Scan) -> Site | None:
    """The spot of a topograph that lies farthest from anything that is not flat, if there is one.

    Args:
        scan: a scan with a known frame, partly scanned or whole.

    Returns:
        The centre of the largest flat disc inside the frame, or None if nothing is flat.
    """
    if scan.frame is None:
        return None
    flat = np.pad(relief(scan) < RELIEF_M, 1)
    lines, pixels = scan.forward.shape
    pitch = (scan.frame.height_m / lines, scan.frame.width_m / pixels)
    clearance = ndimage.distance_transform_edt(flat, sampling=pitch)[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(clearance)), clearance.shape)
    if clearance[row, column] == 0:
        return None
    u = (float(column) + 0.5) * pitch[1] - scan.frame.width_m / 2
    v = scan.frame.height_m / 2 - (float(row) + 0.5) * pitch[0]
    x_m, y_m = scan.frame.to_sample(u, v)
    return Site(x_m, y_m, 2 * float(clearance[row, column]))
