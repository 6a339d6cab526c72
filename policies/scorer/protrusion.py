"""The mean picture of what sticks out of a scan: adatoms show the apex that images them.

A single adatom is as good as a point. Laid over each other, the small protrusions of a scan show
how wide the apex is and whether another one stands beside it; neighbours that only one of them has
fall out of the median.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drivers.scan import Image

#: Points along a side of the mean picture, and their distance.
POINTS = 32
PITCH_M = 0.125e-9
#: Distance within which only the highest point counts.
APART_M = 1.0e-9
#: Height over its surroundings from which something sticks out: more than a reconstruction does.
PROMINENCE_M = 35e-12
MOST = 12


def mean_protrusion(
    pictures: NDArray[np.float32], pitch_m: tuple[float, float]
) -> tuple[Image, int]:
    """Lay the protrusions of the first picture over each other, in all pictures alike.

    Args:
        pictures: levelled heights (m) in the same pixels, shape (n, lines, pixels).
        pitch_m: distance of lines and of pixels (m).

    Returns:
        Median heights over the surroundings (m), shape (n, POINTS, POINTS), and how many
        protrusions there were; zeros if there was none.
    """
    z = pictures[0]
    size = [max(3, round(APART_M / pitch) | 1) for pitch in pitch_m]
    peaks = np.argwhere(z == ndimage.maximum_filter(z, size=size, mode="nearest"))
    inside = (POINTS / 2 * PITCH_M / np.array(pitch_m)).astype(int)
    peaks = peaks[((peaks >= inside) & (peaks < np.array(z.shape) - inside)).all(axis=1)]
    heights = z[tuple(peaks.T)] - np.median(z)
    peaks = peaks[np.argsort(-heights)][: 2 * MOST]
    if not len(peaks):
        return np.zeros((len(pictures), POINTS, POINTS), np.float32), 0
    stack = np.stack([_around(picture, peaks, pitch_m) for picture in pictures])
    stack -= np.median(stack, axis=(2, 3), keepdims=True)
    middle = stack[0, :, POINTS // 2 - 1 : POINTS // 2 + 1, POINTS // 2 - 1 : POINTS // 2 + 1]
    # A ghost covers little of the surroundings, the upper side of a step half of them.
    around = np.percentile(stack[0], 75, axis=(1, 2))
    kept = np.flatnonzero(middle.mean(axis=(1, 2)) - around > PROMINENCE_M)[:MOST]
    if not kept.size:
        return np.zeros((len(pictures), POINTS, POINTS), np.float32), 0
    return np.median(stack[:, kept], axis=1).astype(np.float32), int(kept.size)


def _around(
    z: Image, peaks: NDArray[np.int64], pitch_m: tuple[float, float]
) -> NDArray[np.float32]:
    """The picture around each peak on the common grid, shape (peaks, POINTS, POINTS)."""
    offsets = (np.arange(POINTS) - (POINTS - 1) / 2) * PITCH_M
    centre = _refined(z, peaks)
    rows = centre[:, 0, None, None] + (offsets / pitch_m[0])[None, :, None]
    columns = centre[:, 1, None, None] + (offsets / pitch_m[1])[None, None, :]
    grid = np.broadcast_arrays(rows, columns)
    around: NDArray[np.float32] = ndimage.map_coordinates(z, grid, order=1, mode="nearest")
    return around


def _refined(z: Image, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Peaks between the pixels: the centre of mass of the nine pixels around each."""
    steps = np.arange(-1, 2)
    rows = np.clip(peaks[:, 0, None, None] + steps[:, None], 0, z.shape[0] - 1)
    columns = np.clip(peaks[:, 1, None, None] + steps[None, :], 0, z.shape[1] - 1)
    weights = z[rows, columns].astype(float)
    weights -= weights.min(axis=(1, 2), keepdims=True)
    total = weights.sum(axis=(1, 2)) + 1e-30
    down = (weights * steps[:, None]).sum(axis=(1, 2)) / total
    right = (weights * steps[None, :]).sum(axis=(1, 2)) / total
    refined: NDArray[np.float64] = peaks + np.stack([down, right], axis=1)
    return refined
