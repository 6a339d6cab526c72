"""Compiled passes of the imaging model, in single precision so that the compiler vectorises them.

The constant-current contour of a tip with several apexes over a surface h(x, y) has the closed form
z = (1/2k) ln sum_i w_i E(r + d_i), E = exp(2k h), w_i = exp(-2k gap_i): Tersoff and Hamann,
Phys. Rev. B 31, 805 (1985); a finite radius R blurs E with a Gaussian of variance R/2k.

Lengths are nm; positions on a tile are in grid points. ``np.floor`` rather than ``math.floor`` and
polynomials rather than library calls keep the loops free of scalar code.

A kernel that another kernel calls is compiled with ``forceinline``. Otherwise every object that
calls it holds a copy, each optimised anew and rounding differently, and which of them all callers
use depends on what was loaded first: one process compiles, the next finds compiled code, and the
same seed would not show them the same picture.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

f32 = np.float32
i32 = np.int32
u32 = np.uint32
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int32]

ONE = f32(1.0)
LN2 = f32(math.log(2.0))
LOG2E = f32(1.0 / math.log(2.0))
MANTISSA = i32(0x007FFFFF)
EXPONENT_OF_ONE = i32(0x3F800000)
# Least-squares polynomials, relative error below 3e-6: ln(1+m) = m + m^2 q(m) and 2^r = 1 + r p(r).
Q0, Q1, Q2, Q3, Q4 = (
    f32(-0.4990135),
    f32(0.32222154),
    f32(-0.20207944),
    f32(0.09260184),
    f32(-0.02058535),
)
P0, P1, P2, P3, P4 = (
    f32(0.69314758),
    f32(0.24020687),
    f32(0.05565866),
    f32(0.0091968),
    f32(0.00178967),
)
# The same for sin(2 pi t) = t s(t^2) between -1/4 and 1/4, in double precision.
S0, S1, S2, S3, S4, S5 = (
    6.283185306487493,
    -41.34170192976951,
    81.60520943079571,
    -76.70366781731862,
    41.99998966270666,
    -14.337023736937939,
)
# Deviation of the sum of four uniform bytes, and its mean.
BYTES_SIGMA = f32(1.0 / math.sqrt(4 * (256**2 - 1) / 12))
BYTES_MEAN = f32(510.0)
U32_SPAN = 4294967296.0
# Odd number that spreads counters over 32 bits.
GOLDEN = 0x9E3779B9
# How much the strength of a telegraph switch differs from visit to visit.
VISIT_SPREAD = 0.3
# Below exp(-50) of the highest point of a tile nothing is seen; products stay normal numbers.
DEEPEST = f32(-50.0)


@njit(inline="always")
def fast_log(x: np.float32) -> np.float32:
    """Natural logarithm of a normal positive number."""
    bits = f32(x).view(i32)
    exponent = f32((bits >> i32(23)) - i32(127))
    m = i32((bits & MANTISSA) | EXPONENT_OF_ONE).view(f32) - ONE
    q = (((Q4 * m + Q3) * m + Q2) * m + Q1) * m + Q0
    return exponent * LN2 + m + m * m * q


@njit(inline="always")
def fast_exp(x: np.float32) -> np.float32:
    """Exponential for arguments between -87 and 80."""
    t = f32(x) * LOG2E
    n = f32(np.floor(t))
    r = t - n
    p = ONE + r * (P0 + r * (P1 + r * (P2 + r * (P3 + r * P4))))
    return i32((i32(n) + i32(127)) << i32(23)).view(f32) * p


@njit(inline="always")
def sine(turns: float) -> float:
    """Sine of a number of full turns, good to 2e-11."""
    # Folded to a quarter of a turn to either side, where few terms are enough.
    t = turns - np.floor(turns + 0.5)
    t = t if abs(t) <= 0.25 else math.copysign(0.5, t) - t
    u = t * t
    return float(t * (S0 + u * (S1 + u * (S2 + u * (S3 + u * (S4 + u * S5))))))


@njit(inline="always")
def hash32(x: np.uint32) -> np.uint32:
    """Well-mixed 32 bits of a counter."""
    x = u32(x)
    x ^= x >> u32(16)
    x = u32(x * u32(0x7FEB352D))
    x ^= x >> u32(15)
    x = u32(x * u32(0x846CA68B))
    x ^= x >> u32(16)
    return x


@njit(inline="always")
def hash_normal(x: np.uint32) -> np.float32:
    """Nearly normal number of unit deviation from a counter."""
    h = hash32(x)
    total = (h & u32(255)) + ((h >> u32(8)) & u32(255)) + ((h >> u32(16)) & u32(255))
    return (f32(i32(total + (h >> u32(24)))) - BYTES_MEAN) * BYTES_SIGMA


@njit(fastmath=True, cache=True, nogil=True)
def exponentiate(height: Floats, decay: float, out: Floats) -> tuple[float, float]:
    """Write exp(decay (h - max h)) to ``out``; return the highest and the lowest h.

    Both arrays are flat.
    """
    top = height[0]
    low = height[0]
    for i in range(height.size):
        top = max(top, height[i])
        low = min(low, height[i])
    k = f32(decay)
    for i in range(height.size):
        out[i] = fast_exp(max(k * (height[i] - top), DEEPEST))
    return top, low


@njit(fastmath=True, inline="always")
def add_pairs(
    out: Floats, left: Floats, right: Floats, left2: Floats, right2: Floats, weights: Floats
) -> None:
    """Add two pairs of rows to ``out``, each with a weight of its own; they may be longer."""
    # Slices rather than shifted indices: those might be negative, and would not vectorise.
    first, second = weights[0], weights[1]
    for i in range(out.size):
        out[i] += first * (left[i] + right[i]) + second * (left2[i] + right2[i])


@njit(fastmath=True, inline="always")
def blur_ends(row: Floats, half: Floats, out: Floats) -> None:
    """The first and the last ``reach`` points of a blurred row, whose edges repeat."""
    nx = row.size
    reach = half.size - 1
    for i in range(min(reach, nx)):
        left = half[0] * row[i]
        k = nx - 1 - i
        right = half[0] * row[k]
        for t in range(1, reach + 1):
            left += half[t] * (row[max(i - t, 0)] + row[min(i + t, nx - 1)])
            right += half[t] * (row[max(k - t, 0)] + row[min(k + t, nx - 1)])
        out[i] = left
        out[k] = right


@njit(fastmath=True, cache=True, nogil=True)
def blur(field: Floats, half: Floats, scratch: Floats) -> None:
    """Convolve ``field`` (ny, nx) in place with a symmetric kernel; edges repeat.

    ``half`` holds the weights from the centre outwards, an even number besides that of the centre;
    ``scratch`` has the field's shape.
    """
    ny, nx = field.shape
    reach = half.size - 1
    for j in range(ny):
        row = field[j]
        blur_ends(row, half, scratch[j])
        if nx > 2 * reach:
            inner, centre = scratch[j, reach : nx - reach], row[reach : nx - reach]
            for i in range(inner.size):
                inner[i] = half[0] * centre[i]
            for t in range(1, reach + 1, 2):
                ahead, behind = row[reach + t :], row[reach - t :]
                add_pairs(inner, ahead, behind, ahead[1:], row[reach - t - 1 :], half[t:])
    for j in range(ny):
        out = field[j]
        centre = scratch[j]
        for i in range(nx):
            out[i] = half[0] * centre[i]
        for t in range(1, reach + 1, 2):
            up, down = scratch[min(j + t, ny - 1)], scratch[max(j - t, 0)]
            up2, down2 = scratch[min(j + t + 1, ny - 1)], scratch[max(j - t - 1, 0)]
            add_pairs(out, up, down, up2, down2, half[t:])


@njit(fastmath={"contract", "nnan", "ninf", "nsz"}, cache=True, nogil=True, forceinline=True)
def add_apex(
    field: Floats,
    weight: np.float32,
    corner: Integers,
    right: Floats,
    up: Floats,
    total: Floats,
) -> None:
    """Add ``weight`` times ``field`` at some places to ``total``, bilinear between grid points.

    ``corner`` is the flat index of the grid point before each place, ``right`` and ``up`` say how
    far from there it is.
    """
    nx = field.shape[1]
    flat = field.reshape(-1)
    # Full fastmath would order the terms by what stands around them, and pictures would change.
    for p in range(corner.size):
        o = u32(corner[p])
        tx = right[p]
        e00 = flat[o]
        e01 = flat[o + u32(1)]
        e10 = flat[o + u32(nx)]
        e11 = flat[o + u32(nx + 1)]
        a = e00 + tx * (e01 - e00)
        b = e10 + tx * (e11 - e10)
        total[p] += weight * (a + up[p] * (b - a))


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def log_contour(
    field: Floats, path: Doubles, pace: Floats, apexes: Floats, out: Floats, scratch: Floats
) -> None:
    """Logarithm of sum_k w_k field(path + d_k) along a straight line, bilinear between grid points.

    ``path`` is (x, y, dx, dy) in grid points: first point and step; ``pace`` says how many steps
    have been made at each point. ``apexes`` has rows (d_x, d_y, weight). Outside the field its edge
    repeats. ``scratch`` has four rows at least as long as ``out``.
    """
    ny, nx = field.shape
    n = out.size
    total, right, up = scratch[0, :n], scratch[1, :n], scratch[2, :n]
    corner = scratch[3, :n].view(np.int32)
    mx = f32(nx - 2)
    my = f32(ny - 2)
    dx = f32(path[2])
    dy = f32(path[3])
    for p in range(n):
        total[p] = f32(1e-37)
    for k in range(apexes.shape[0]):
        ax = f32(path[0] + apexes[k, 0])
        ay = f32(path[1] + apexes[k, 1])
        # A loop of its own: the loads in ``add_apex`` do not vectorise, this does.
        for p in range(n):
            fx = min(max(ax + dx * pace[p], f32(0)), mx)
            fy = min(max(ay + dy * pace[p], f32(0)), my)
            ix = i32(fx)
            iy = i32(fy)
            right[p] = fx - f32(ix)
            up[p] = fy - f32(iy)
            corner[p] = iy * i32(nx) + ix
        add_apex(field, apexes[k, 2], corner, right, up, total)
    for p in range(n):
        out[p] = fast_log(total[p])


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def switch(
    seed: np.uint32, chances: Doubles, strength: float, spread: float, out: Floats, chance: Floats
) -> tuple[np.float32, int, int]:
    """Telegraph signal of one pass; ``out`` is 0 at rest and about 1 when switched.

    ``chances`` are the probabilities per sample of switching and of coming back. Each visit has its
    own strength, 1 give or take ``spread``, so that streaks differ. ``chance`` is room for one more
    row. Returns the last value, and from where to where the signal is not 0; nothing but what lies
    between is written.
    """
    away = u32(min(chances[0], 1.0) * (U32_SPAN - 1.0))
    back = u32(min(chances[1], 1.0) * (U32_SPAN - 1.0))
    draws = chance.view(np.uint32)
    least = u32(0xFFFFFFFF)
    for p in range(draws.size):
        draws[p] = hash32(seed + u32(p) * u32(2654435761))
        least = min(least, draws[p])
    s = f32(strength)
    first, last = draws.size, 0
    # Most passes of most tips never switch.
    if s == f32(0) and least >= away:
        return s, first, last
    for p in range(draws.size):
        h = draws[p]
        if s == f32(0):
            if h < away:
                s = max(ONE + f32(spread) * hash_normal(h), f32(0.2))
        elif h < back:
            s = f32(0)
        out[p] = s
        if s != f32(0):
            first = min(first, p)
            last = p + 1
    return s, first, last
