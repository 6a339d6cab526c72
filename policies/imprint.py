"""The shape of the mark that an action left: what the foremost apex looks like from below."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drivers.sample_map import level
from drivers.scan import Scan
from policies.history import Imprint

#: Height above the surroundings at which the contour is drawn: Scanbot's 50 pm (JOSS 2024).
CONTOUR_M = 50e-12
#: Creep and drift leave the mark so near to the middle of the scan.
NEAR_M = 4e-9
#: Fewer pixels say nothing of a shape.
FEWEST_PIXELS = 6


def measure_imprint(scan: Scan, x_m: float, y_m: float) -> Imprint | None:
    """The mound nearest to ``(x, y)`` in a scan of its place, or None if there is none.

    Args:
        scan: a scan with a known frame.
        x_m: where the action happened (m).
        y_m: the same.

    Raises:
        ValueError: the scan has no frame.
    """
    if scan.frame is None:
        raise ValueError("a scan without a frame does not say where the imprint is")
    flat = level(scan.forward)
    with np.errstate(invalid="ignore"):
        high = flat - np.nanmedian(flat) > CONTOUR_M if np.isfinite(flat).any() else flat > 0
    lines, pixels = flat.shape
    pitch = scan.frame.height_m / lines, scan.frame.width_m / pixels
    middle = (
        lines / 2 - (y_m - scan.frame.y_m) / pitch[0] - 0.5,
        pixels / 2 + (x_m - scan.frame.x_m) / pitch[1] - 0.5,
    )
    mound = _nearest(high, pitch, middle)
    return None if mound is None else _shape(mound, pitch)


def _nearest(
    high: NDArray[np.bool_], pitch: tuple[float, float], middle: tuple[float, float]
) -> NDArray[np.bool_] | None:
    """The connected part of ``high`` that comes nearest to ``middle`` (row, column)."""
    parts, _ = ndimage.label(high)
    sizes = np.bincount(parts.ravel())
    rows, columns = np.nonzero(sizes[parts] * high >= FEWEST_PIXELS)
    if not rows.size:
        return None
    away = np.hypot((rows - middle[0]) * pitch[0], (columns - middle[1]) * pitch[1])
    best = int(np.argmin(away))
    if away[best] > NEAR_M:
        return None
    return np.asarray(parts == parts[rows[best], columns[best]])


def _shape(mound: NDArray[np.bool_], pitch: tuple[float, float]) -> Imprint:
    area = float(mound.sum()) * pitch[0] * pitch[1]
    perimeter = _perimeter_m(mound, pitch)
    rows, columns = np.nonzero(mound)
    spread = np.cov(np.stack([rows * pitch[0], columns * pitch[1]]))
    # A pixel is as wide as its pitch: a row of them is no line without width.
    short, long = np.linalg.eigvalsh(spread + np.diag(np.square(pitch)) / 12)
    circularity = min(4 * math.pi * area / perimeter**2, 1.0)
    return Imprint(area, circularity, math.sqrt(float(short / long)))


def _perimeter_m(mound: NDArray[np.bool_], pitch: tuple[float, float]) -> float:
    """Length of the contour by Crofton's formula from lines in four directions (m)."""
    padded = np.pad(mound, 1).astype(np.int8)
    dy, dx = pitch
    diagonal = math.hypot(dx, dy)
    crossings = (
        (np.abs(np.diff(padded, axis=0)).sum(), dx),
        (np.abs(np.diff(padded, axis=1)).sum(), dy),
        (np.abs(padded[1:, 1:] - padded[:-1, :-1]).sum(), dx * dy / diagonal),
        (np.abs(padded[1:, :-1] - padded[:-1, 1:]).sum(), dx * dy / diagonal),
    )
    return math.pi / 8 * sum(float(count) * apart for count, apart in crossings)
