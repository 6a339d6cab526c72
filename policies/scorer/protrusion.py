"""What sticks out of a scan, laid over each other: adatoms show the apex that images them.

In the exponential domain a topograph is the surface under a sum over the apexes of the tip, each
weighted by exp(-2 kappa gap) (the closed form of ``sim.scans.contour``). A single adatom is as
good as a point there, so its picture is the tip itself: a second apex stands beside it with its
own weight, 3.7 % at a gap of 0.15 nm, however high the adatom is. Neighbours that only one adatom
has fall out of the median, and still more of them out of the lower quartile.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.scan import Image

#: Points along a side of the pictures, and their distance.
POINTS = 48
PITCH_M = 0.125e-9
#: Pictures of the mean protrusion.
PATCHES = 4
#: Distance within which only the highest point counts.
APART_M = 1.0e-9
#: Height over its surroundings from which something sticks out: more than a reconstruction does.
PROMINENCE_M = 35e-12
MOST = 12
#: Decay 2 kappa of the tunnelling current over a clean metal with a work function of 4.7 eV.
DECAY_PER_M = 22e9
#: Weight of an apex, and height of a protrusion, up to which the pictures are linear.
SMALL_WEIGHT = 0.05
SMALL_M = 20e-12


def mean_protrusion(
    pictures: NDArray[np.float32], pitch_m: tuple[float, float]
) -> tuple[Image, int]:
    """Lay the protrusions of the first picture over each other, in all pictures alike.

    Args:
        pictures: levelled heights (m), forward and backward, shape (2, lines, pixels).
        pitch_m: distance of lines and of pixels (m).

    Returns:
        Shape (PATCHES, POINTS, POINTS): weights of the apexes as the median and the lower quartile
        of the forward and the median of the backward picture, median height forward; all of them
        linear when small and logarithmic when large. And how many protrusions there were; zeros if
        there was none.
    """
    peaks = _peaks(pictures[0], pitch_m)
    nothing = np.zeros((PATCHES, POINTS, POINTS), np.float32)
    if not len(peaks):
        return nothing, 0
    forward = _around(pictures[0], peaks, pitch_m)
    surroundings, upper = _quantiles(forward, (0.5, 0.75))
    # A ghost covers little of the surroundings, the upper side of a step half of them.
    kept = np.flatnonzero(_middle(forward) - upper > PROMINENCE_M)[:MOST]
    if not kept.size:
        return nothing, 0
    forward = forward[kept] - surroundings[kept, None, None]
    backward = _around(pictures[1], peaks[kept], pitch_m)
    backward -= _quantiles(backward, (0.5,))[0][:, None, None]
    weights = _weights(forward)
    middle, low = _across(weights, (0.5, 0.25))
    (backward_middle,), (height,) = _across(_weights(backward), (0.5,)), _across(forward, (0.5,))
    found = [
        np.arcsinh(middle / SMALL_WEIGHT),
        np.arcsinh(low / SMALL_WEIGHT),
        np.arcsinh(backward_middle / SMALL_WEIGHT),
        np.arcsinh(height / SMALL_M),
    ]
    return np.stack(found).astype(np.float32), int(kept.size)


def _peaks(z: Image, pitch_m: tuple[float, float]) -> NDArray[np.int64]:
    """The highest points, highest first, away from the border by a pixel; shape (n, 2)."""
    size = [max(3, round(APART_M / pitch) | 1) for pitch in pitch_m]
    highest = highest_of(highest_of(z, size[0]).T, size[1]).T
    peaks = np.argwhere(z == highest)
    peaks = peaks[((peaks > 0) & (peaks < np.array(z.shape) - 1)).all(axis=1)]
    ordered: NDArray[np.int64] = peaks[np.argsort(-z[tuple(peaks.T)], kind="stable")]
    return ordered[: 2 * MOST]


def highest_of(z: Image, size: int) -> Image:
    """The highest of ``size`` lines around each line, an odd number of them.

    The maximum filter of scipy, ten times as fast.
    """
    around = size // 2
    # Neighbours, then neighbours of neighbours: windows grow by a factor of two, not by one.
    found = np.pad(z, ((around, around), (0, 0)), constant_values=-np.inf)
    seen = 1
    while seen < size:
        further = min(seen, size - seen)
        found = np.maximum(found[:-further], found[further:])
        seen += further
    return found


def _middle(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the four points in the middle of each picture."""
    at = slice(POINTS // 2 - 1, POINTS // 2 + 1)
    mean: NDArray[np.float32] = stack[:, at, at].mean(axis=(1, 2))
    return mean


def _weights(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Heights in the exponential domain, as shares of the protrusion's own."""
    raised = np.expm1(np.clip(stack * DECAY_PER_M, -5, 15))
    # A protrusion that only the other direction shows must not be divided by nothing.
    own = np.maximum(_middle(raised), np.expm1(PROMINENCE_M * DECAY_PER_M / 2))
    shares: NDArray[np.float32] = raised / own[:, None, None]
    return shares


def _quantiles(stack: NDArray[np.float32], shares: tuple[float, ...]) -> NDArray[np.float32]:
    """Quantiles of each picture, points outside the scan left out; shape (shares, pictures)."""
    return _of_sorted(np.sort(stack.reshape(len(stack), -1), axis=1).T, shares)


def _across(stack: NDArray[np.float32], shares: tuple[float, ...]) -> NDArray[np.float32]:
    """Quantiles of each point over the pictures, shape (shares, POINTS, POINTS)."""
    return _of_sorted(np.sort(stack, axis=0), shares)


def _of_sorted(ordered: NDArray[np.float32], shares: tuple[float, ...]) -> NDArray[np.float32]:
    """Quantiles along the first axis, which ends with NaN; 0 where there is nothing else."""
    count = np.isfinite(ordered).sum(axis=0)
    index = [(share * np.maximum(count - 1, 0)).astype(np.intp) for share in shares]
    found: NDArray[np.float32] = np.take_along_axis(ordered, np.stack(index), axis=0)
    return np.where(np.isfinite(found), found, np.float32(0))


def _around(
    z: Image, peaks: NDArray[np.int64], pitch_m: tuple[float, float]
) -> NDArray[np.float32]:
    """The picture around each peak on the common grid, NaN outside; (peaks, POINTS, POINTS)."""
    offsets = (np.arange(POINTS) - (POINTS - 1) / 2) * PITCH_M
    centre = _refined(z, peaks)
    rows, below, down = _between(centre[:, :1] + offsets / pitch_m[0], z.shape[0])
    columns, beside, right = _between(centre[:, 1:] + offsets / pitch_m[1], z.shape[1])
    # Counted through the whole picture, pixels are found in half the time.
    rows, below, down = (
        z.shape[1] * rows[:, :, None],
        z.shape[1] * below[:, :, None],
        down[:, :, None],
    )
    columns, beside, right = columns[:, None], beside[:, None], right[:, None]
    upper = z.take(rows + columns) * (1 - right) + z.take(rows + beside) * right
    lower = z.take(below + columns) * (1 - right) + z.take(below + beside) * right
    around: NDArray[np.float32] = (upper * (1 - down) + lower * down).astype(np.float32, copy=False)
    return around


def _between(
    at: NDArray[np.float64], size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Pixels before and behind each place, and how far between them it lies; NaN if outside."""
    first = np.clip(np.floor(at), 0, size - 1).astype(np.intp)
    share = np.where((at >= 0) & (at <= size - 1), at - first, np.nan)
    return first, np.minimum(first + 1, size - 1), share.astype(np.float32)


def _refined(z: Image, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Peaks between the pixels: the centre of mass of the nine pixels around each."""
    steps = np.arange(-1, 2)
    rows, columns = peaks[:, 0, None, None] + steps[:, None], peaks[:, 1, None, None] + steps
    weights = z[rows, columns].astype(float)
    weights -= weights.min(axis=(1, 2), keepdims=True)
    total = weights.sum(axis=(1, 2)) + 1e-30
    down = (weights * steps[:, None]).sum(axis=(1, 2)) / total
    right = (weights * steps[None, :]).sum(axis=(1, 2)) / total
    refined: NDArray[np.float64] = peaks + np.stack([down, right], axis=1)
    return refined
