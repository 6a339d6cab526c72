"""Smoothing a picture: the median of each pixel and its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]


def median_of_nine(picture: Picture) -> Picture:
    """Median of the three by three pixels around each; at the edges those there repeat.

    The same as ``scipy.ndimage.median_filter(picture, size=3, mode="nearest")`` in a fraction of
    the time. Each column of three is sorted once for all pixels; the median of nine is then that of
    the highest low, the median of the middle ones and the lowest high (J. L. Smith, 1996).
    """
    padded = np.pad(picture, 1, mode="edge")
    above, here, below = padded[:-2], padded[1:-1], padded[2:]
    least, most = np.minimum(above, here), np.maximum(above, here)
    low, high = np.minimum(least, below), np.maximum(most, below)
    middle = np.maximum(least, np.minimum(most, below))
    return _middle(
        np.maximum.reduce(_beside(low)), _middle(*_beside(middle)), np.minimum.reduce(_beside(high))
    )


def _beside(columns: Picture) -> tuple[Picture, Picture, Picture]:
    return columns[:, :-2], columns[:, 1:-1], columns[:, 2:]


def _middle(a: Picture, b: Picture, c: Picture) -> Picture:
    middle: Picture = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return middle
