"""Lines of a scan on a common footing: few points, no tilt, in the spread that the lattice has.

A single bright blob spreads the heights of a whole scan, and what the tip does to the lattice
beside it is then too faint to count. What is usual in small patches is not moved by a blob.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import uniform_filter

from drivers.scan import Image

#: Points per line, at most; a scan with more is shrunk.
POINTS = 192
#: Side of the patches whose spread is taken (points).
PATCH = 15
#: The overall relief is counted in so many usual spreads of a patch.
LARGE = 2.0
#: Share of the usual spread that a patch has at least, lest bare noise grow to a lattice.
LEAST_SHARE = 0.2
#: The same of the spread of the whole scan.
LEAST_SPREAD = 1e-4

Doubles = NDArray[np.float64]


def levelled(lines: Image) -> Doubles:
    """Heights without offset and mean tilt, on at most ``POINTS`` points per line.

    The offsets between the lines stay: they show a change of the tip.

    Args:
        lines: heights in any unit, first line first, shape (lines, pixels), two lines or more.

    Raises:
        ValueError: no relief.
    """
    z = _shrunk(lines)
    x = np.arange(z.shape[1]) - (z.shape[1] - 1) / 2
    flat: Doubles = z - (z.mean(axis=0) @ x / (x @ x)) * x
    return flat - np.median(flat)


def overall_and_local(flat: Doubles) -> tuple[Doubles, Doubles]:
    """Two ways to look at levelled heights.

    Args:
        flat: from ``levelled``, shape (lines, points).

    Returns:
        The whole relief, linear when small and logarithmic when large, and the heights above their
        own patch in the spread of that patch; each of the same shape and of order one.
    """
    above = flat - uniform_filter(flat, PATCH, mode="nearest")
    # Rounding can leave a filtered square below zero.
    spread = np.sqrt(np.maximum(uniform_filter(above * above, PATCH, mode="nearest"), 0.0))
    usual = float(np.median(spread)) + LEAST_SPREAD * float(flat.std()) + 1e-12
    return np.arcsinh(flat / (LARGE * usual)), above / (spread + LEAST_SHARE * usual)


def _shrunk(lines: Image) -> Doubles:
    """Lines of few points; without a fixed unit, as small numbers may be metres."""
    z = lines.astype(np.float64)
    size = float(np.abs(z - z.mean()).max())
    if size == 0:
        raise ValueError("the scan holds no relief: all its heights are the same")
    z = np.asarray((z - z.mean()) / size)
    factor = POINTS / z.shape[1]
    if factor >= 1:
        return z
    picture = Pillow.fromarray(z.astype(np.float32))
    small = picture.resize((POINTS, max(round(len(z) * factor), 2)))
    return np.asarray(small, np.float64)
