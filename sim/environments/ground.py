"""Compiled reading of a scan: the picture without its plane, and the clearest spot in it.

The clearest spot is that of ``drivers.sample_map.clear_site``, worked out in a tenth of the time
because every step of every episode needs it. Besides, what was touched before does not count as
clear, and the relief of flat ground is free. Lengths are nm.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drivers.sample_map import PATCH_M
from sim.scans.kernels import Doubles, Floats, f32, i32

PATCH_NM = PATCH_M * 1e9
#: Heights beyond this are the walls of craters; a picture shows them as this high (nm).
TALLEST_NM = f32(10.0)
# All bits but the sign.
BELOW_SIGN = i32(0x7FFFFFFF)


@njit(fastmath=True, cache=True, nogil=True)
def flatten(heights: Floats, out: Floats) -> None:
    """Write ``heights`` (lines, 2, pixels) less the plane of the way there to ``out`` (2, ...).

    ``out`` has shape (2, rows, pixels); rows that were not scanned are 0.
    """
    lines, _, pixels = heights.shape
    my, mx = 0.5 * (lines - 1), 0.5 * (pixels - 1)
    total, across, down = 0.0, 0.0, 0.0
    for j in range(lines):
        line, slope = 0.0, 0.0
        for i in range(pixels):
            line += heights[j, 0, i]
            slope += (i - mx) * heights[j, 0, i]
        total += line
        across += slope
        down += (j - my) * line
    mean = total / (lines * pixels)
    # Sums of squared distances from the middle of n even steps: n (n^2 - 1) / 12.
    ax = 12.0 * across / (lines * pixels * (pixels * pixels - 1.0))
    ay = 12.0 * down / (pixels * lines * (lines * lines - 1.0)) if lines > 1 else 0.0
    out[:] = f32(0)
    for d in range(2):
        for j in range(lines):
            start = f32(mean + ay * (j - my) - ax * mx)
            for i in range(pixels):
                z = heights[j, d, i] - start - f32(ax) * f32(i)
                out[d, j, i] = min(max(z, -TALLEST_NM), TALLEST_NM)


@njit(inline="always")
def key_of(x: np.float32) -> np.int32:
    """A whole number that sorts like ``x``; its own inverse."""
    bits = f32(x).view(i32)
    return i32(bits ^ ((bits >> i32(31)) & BELOW_SIGN))


@njit(inline="always")
def value_of(key: np.int32) -> np.float32:
    """The number that ``key_of`` made ``key`` of."""
    return i32(key ^ ((key >> i32(31)) & BELOW_SIGN)).view(f32)


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def median(keys: NDArray[np.int32]) -> np.float32:
    """Median of the numbers that ``keys`` were made of.

    Bisection counts without branches: on noise that is several times faster than sorting apart.
    """
    low, high = keys[0], keys[0]
    for i in range(keys.size):
        low = min(low, keys[i])
        high = max(high, keys[i])
    wanted = (keys.size + 1) // 2
    below = np.int64(low)
    above = np.int64(high)
    middle, count = high, i32(keys.size)
    # As soon as half of them are apart from the others, the middle one is known.
    while below < above and count != wanted:
        middle = i32((below + above) >> 1)
        count = i32(0)
        for i in range(keys.size):
            count += i32(keys[i] <= middle)
        if count >= wanted:
            above = np.int64(middle)
        else:
            below = np.int64(middle) + 1
    edge = middle if count == wanted else i32(below)
    lower, upper, count = low, high, i32(0)
    for i in range(keys.size):
        apart = keys[i] > edge
        count += i32(not apart)
        lower = max(lower, low if apart else keys[i])
        upper = min(upper, keys[i] if apart else high)
    if keys.size % 2 == 1 or count > wanted:
        return value_of(lower)
    return f32(0.5) * (value_of(lower) + value_of(upper))


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def differences(ahead: Floats, behind: Floats, keys: NDArray[np.int32]) -> None:
    """Write the keys of ``ahead - behind``, one row."""
    for i in range(keys.size):
        keys[i] = key_of(ahead[i] - behind[i])


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def level(heights: Floats, flat: Floats) -> None:
    """Write ``heights`` (lines, pixels) without median tilt and line offsets to ``flat``."""
    lines, pixels = heights.shape
    slopes = np.empty((lines, pixels - 1), np.int32)
    steps = np.empty(pixels, np.int32)
    for j in range(lines):
        differences(heights[j, 1:], heights[j, :-1], slopes[j])
    tilt = median(slopes.reshape(-1))
    offset = f32(0)
    for j in range(lines):
        if j > 0:
            differences(heights[j], heights[j - 1], steps)
            offset += median(steps)
        line, out = heights[j], flat[j]
        for i in range(pixels):
            out[i] = line[i] - tilt * f32(i) - offset


@njit(inline="always")
def sorted3(a: np.float32, b: np.float32, c: np.float32) -> tuple[np.float32, ...]:
    """Lowest, middle and highest of three."""
    low, high = min(a, b), max(a, b)
    return min(low, c), max(low, min(high, c)), max(high, c)


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def despeckle(z: Floats, out: Floats) -> None:
    """Median of 3 x 3 points; edges repeat."""
    ny, nx = z.shape
    low, middle, high = np.empty_like(z), np.empty_like(z), np.empty_like(z)
    for j in range(ny):
        up, down = z[max(j - 1, 0)], z[min(j + 1, ny - 1)]
        for i in range(nx):
            low[j, i], middle[j, i], high[j, i] = sorted3(up[i], z[j, i], down[i])
    for j in range(ny):
        for i in range(nx):
            # Of sorted columns: the middle of the highest low, the middle middle, the lowest high.
            a, b = max(i - 1, 0), min(i + 1, nx - 1)
            lows = max(low[j, a], max(low[j, i], low[j, b]))
            highs = min(high[j, a], min(high[j, i], high[j, b]))
            _, middles, _ = sorted3(middle[j, a], middle[j, i], middle[j, b])
            out[j, i] = sorted3(lows, middles, highs)[1]


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def copy_to(z: Floats, other: Floats) -> None:
    """Take another point, one row."""
    for i in range(z.size):
        z[i] = other[i]


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def raise_to(z: Floats, other: Floats) -> None:
    """Take the higher of two points, one row."""
    for i in range(z.size):
        z[i] = max(z[i], other[i])


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def lower_to(z: Floats, other: Floats) -> None:
    """Take the lower of two points, one row."""
    for i in range(z.size):
        z[i] = min(z[i], other[i])


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def relief(z: Floats, rows: int, columns: int, out: Floats) -> None:
    """Highest less lowest point within ``rows`` x ``columns``; edges repeat."""
    ny, nx = z.shape
    top, bottom = np.empty(nx, np.float32), np.empty(nx, np.float32)
    high, low = np.empty(nx, np.float32), np.empty(nx, np.float32)
    for j in range(ny):
        copy_to(top, z[j])
        copy_to(bottom, z[j])
        for t in range(-(rows // 2), rows - rows // 2):
            other = z[min(max(j + t, 0), ny - 1)]
            raise_to(top, other)
            lower_to(bottom, other)
        copy_to(high, top)
        copy_to(low, bottom)
        for t in range(-(columns // 2), columns - columns // 2):
            # Beyond the edge there is only the edge again, which is inside the window already.
            first, last = max(-t, 0), min(nx - t, nx)
            raise_to(high[first:last], top[first + t : last + t])
            lower_to(low[first:last], bottom[first + t : last + t])
        row = out[j]
        for i in range(nx):
            row[i] = high[i] - low[i]


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def farthest(flat: NDArray[np.bool_], pitch: float) -> tuple[int, int, float]:
    """Row, column and distance (nm) of the point farthest from all that is not flat.

    What lies outside of ``flat`` (ny, nx) is not flat. The distance is 0 where nothing is.
    """
    ny, nx = flat.shape
    # Distance along the column first; both passes are exact.
    column = np.empty((ny, nx), np.int64)
    for i in range(nx):
        run = 0
        for j in range(ny):
            run = run + 1 if flat[j, i] else 0
            column[j, i] = run
        run = 0
        for j in range(ny - 1, -1, -1):
            run = run + 1 if flat[j, i] else 0
            column[j, i] = min(column[j, i], run)
    best, row, place = 0, 0, 0
    for j in range(ny):
        for i in range(nx):
            nearest = min(column[j, i], i + 1, nx - i) ** 2
            # Outwards, until nothing nearer can come or the best is out of reach.
            t = 1
            while best < nearest and t * t < nearest:
                left, right = column[j, i - t], column[j, i + t]
                nearest = min(nearest, t * t + min(left * left, right * right))
                t += 1
            if nearest > best:
                best, row, place = nearest, j, i
    return row, place, pitch * np.sqrt(best)


@njit(fastmath=True, cache=True, nogil=True)
def clearest(
    heights: Floats, pitch: float, rows: int, relief_nm: float, touched: Doubles
) -> tuple[int, int, float]:
    """Row, column and diameter (nm) of the largest flat, untouched disc in a scan.

    Args:
        heights: heights (nm) of the lines so far, there and back; (lines, 2, pixels).
        pitch: distance between points and between lines (nm).
        rows: points along the side of the patch whose relief counts.
        relief_nm: relief below which ground is flat.
        touched: spoiled discs: column, row and radius in points.
    """
    lines, _, pixels = heights.shape
    flat = np.zeros((lines, pixels), np.bool_)
    levelled = np.empty((lines, pixels), np.float32)
    smooth = np.empty((lines, pixels), np.float32)
    for d in range(2):
        level(heights[:, d], levelled)
        despeckle(levelled, smooth)
        relief(smooth, rows, rows, levelled)
        # What only one of the ways shows is the tip's doing and not the sample's.
        for j in range(lines):
            for i in range(pixels):
                flat[j, i] |= levelled[j, i] < f32(relief_nm)
    for t in range(len(touched)):
        for j in range(lines):
            for i in range(pixels):
                dx, dy = i - touched[t, 0], j - touched[t, 1]
                flat[j, i] &= dx * dx + dy * dy > touched[t, 2] * touched[t, 2]
    row, column, distance = farthest(flat, pitch)
    return row, column, 2.0 * distance


def patch_points(pitch_nm: float) -> int:
    """Points along the side of the patch whose relief counts."""
    return max(3, round(PATCH_NM / pitch_nm))
