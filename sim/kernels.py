"""Compiled passes of the imaging model, in single precision so that the compiler vectorises them.

The constant-current contour of a tip with several apexes over a surface h(x, y) has the closed form
z = (1/2k) ln sum_i w_i E(r + d_i), E = exp(2k h), w_i = exp(-2k gap_i): Tersoff and Hamann,
Phys. Rev. B 31, 805 (1985); a finite radius R blurs E with a Gaussian of variance R/2k.

Lengths are nm; positions on a tile are in grid points. ``np.floor`` rather than ``math.floor`` and
polynomials rather than library calls keep the loops free of scalar code.
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
# Deviation of the sum of four uniform bytes, and its mean.
BYTES_SIGMA = f32(1.0 / math.sqrt(4 * (256**2 - 1) / 12))
BYTES_MEAN = f32(510.0)
U32_SPAN = 4294967296.0
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


@njit(fastmath=True, cache=True, nogil=True)
def blur(field: Floats, half: Floats, scratch: Floats) -> None:
    """Convolve ``field`` (ny, nx) in place with a symmetric kernel; edges repeat.

    ``half`` holds the weights from the centre outwards, ``scratch`` has the field's shape.
    """
    ny, nx = field.shape
    reach = half.size - 1
    for j in range(ny):
        row = field[j]
        out = scratch[j]
        for i in range(min(reach, nx)):
            left = half[0] * row[i]
            k = nx - 1 - i
            right = half[0] * row[k]
            for t in range(1, reach + 1):
                left += half[t] * (row[max(i - t, 0)] + row[min(i + t, nx - 1)])
                right += half[t] * (row[max(k - t, 0)] + row[min(k + t, nx - 1)])
            out[i] = left
            out[k] = right
        for i in range(reach, nx - reach):
            out[i] = half[0] * row[i]
        for t in range(1, reach + 1):
            w = half[t]
            for i in range(reach, nx - reach):
                out[i] += w * (row[i + t] + row[i - t])
    for j in range(ny):
        out = field[j]
        centre = scratch[j]
        for i in range(nx):
            out[i] = half[0] * centre[i]
        for t in range(1, reach + 1):
            above = scratch[min(j + t, ny - 1)]
            below = scratch[max(j - t, 0)]
            w = half[t]
            for i in range(nx):
                out[i] += w * (above[i] + below[i])


@njit(fastmath=True, cache=True, nogil=True)
def log_contour(field: Floats, path: Doubles, apexes: Floats, out: Floats, scratch: Floats) -> None:
    """Logarithm of sum_k w_k field(path + d_k) along a straight line, bilinear between grid points.

    ``path`` is (x, y, dx, dy) in grid points: first point and step; ``apexes`` has rows
    (d_x, d_y, weight). Outside the field its edge repeats.
    """
    ny, nx = field.shape
    flat = field.reshape(-1)
    n = out.size
    mx = f32(nx - 2)
    my = f32(ny - 2)
    dx = f32(path[2])
    dy = f32(path[3])
    for p in range(n):
        scratch[p] = f32(1e-37)
    for k in range(apexes.shape[0]):
        ax = f32(path[0] + apexes[k, 0])
        ay = f32(path[1] + apexes[k, 1])
        w = apexes[k, 2]
        for p in range(n):
            fx = min(max(ax + dx * f32(p), f32(0)), mx)
            fy = min(max(ay + dy * f32(p), f32(0)), my)
            ix = i32(fx)
            iy = i32(fy)
            tx = fx - f32(ix)
            ty = fy - f32(iy)
            o = u32(iy * i32(nx) + ix)
            e00 = flat[o]
            e01 = flat[o + u32(1)]
            e10 = flat[o + u32(nx)]
            e11 = flat[o + u32(nx + 1)]
            a = e00 + tx * (e01 - e00)
            b = e10 + tx * (e11 - e10)
            scratch[p] += w * (a + ty * (b - a))
    for p in range(n):
        out[p] = fast_log(scratch[p])


@njit(fastmath=True, cache=True, nogil=True)
def switch(
    seed: np.uint32, chances: Doubles, strength: float, spread: float, out: Floats
) -> np.float32:
    """Telegraph signal of one pass; ``out`` is 0 at rest and about 1 when switched.

    ``chances`` are the probabilities per sample of switching and of coming back. Each visit has its
    own strength, 1 give or take ``spread``, so that streaks differ. Returns the last value.
    """
    away = u32(min(chances[0], 1.0) * (U32_SPAN - 1.0))
    back = u32(min(chances[1], 1.0) * (U32_SPAN - 1.0))
    s = f32(strength)
    for p in range(out.size):
        h = hash32(seed + u32(p) * u32(2654435761))
        if s == f32(0):
            if h < away:
                s = max(ONE + f32(spread) * hash_normal(h), f32(0.2))
        elif h < back:
            s = f32(0)
        out[p] = s
    return s


@njit(fastmath=True, cache=True, nogil=True)
def disturb(
    signal: Floats, tones: Doubles, tables: Floats, noise: Doubles, time_s: float, seed: np.uint32
) -> None:
    """Add hum, pixel noise, a line offset and a line-start transient to ``signal`` (nm).

    ``tones`` has rows (frequency Hz, amplitude nm, phase); ``tables`` the sine and cosine of each
    tone along a pass, shape (tones, 2, n). ``noise`` is (pixel, line and start in nm, decay of
    the start in pixels).
    """
    n = signal.size
    for q in range(tones.shape[0]):
        phase = 2 * math.pi * tones[q, 0] * time_s + tones[q, 2]
        a = f32(tones[q, 1] * math.sin(phase))
        b = f32(tones[q, 1] * math.cos(phase))
        for p in range(n):
            signal[p] += a * tables[q, 1, p] + b * tables[q, 0, p]
    pixel = f32(noise[0])
    kick = hash_normal(seed + u32(0x51ED270B))
    offset = f32(noise[1]) * hash_normal(seed + u32(0x2545F491))
    # The cube of a normal number has heavy tails: most lines start quietly, a few do not.
    start = f32(noise[2]) * kick * kick * kick
    rate = f32(-1.0 / noise[3])
    for p in range(n):
        settled = fast_exp(max(rate * f32(p), DEEPEST))
        signal[p] += offset + start * settled + pixel * hash_normal(seed + u32(p))


@njit(fastmath=True, cache=True, nogil=True)
def follow(
    signal: Floats,
    loop: Doubles,
    slow: Doubles,
    limits: Doubles,
    state: Doubles,
    seed: np.uint32,
    out: Floats,
) -> None:
    """Run the z controller over one pass and write the height (nm) to ``out``.

    ``loop`` is (a00, a01, a10, a11, b0, b1, c0, c1, p): the exact discrete step of the state
    (filtered error, integral) for a signal that is straight between samples, and the proportional
    factor. ``slow`` is (memory, kick) of the slow noise, ``state`` (error, integral, last signal,
    slow noise) is carried from pass to pass. Heights are clipped at ``limits``, the piezo's ends.
    """
    a00, a01, a10, a11 = loop[0], loop[1], loop[2], loop[3]
    b0, b1, c0, c1, gain = loop[4], loop[5], loop[6], loop[7], loop[8]
    error, integral, last, wander = state[0], state[1], state[2], state[3]
    for p in range(signal.size):
        wander = slow[0] * wander + slow[1] * hash_normal(seed + u32(p))
        u = signal[p] + wander
        step0 = a00 * error + a01 * integral + b0 * last + c0 * u
        step1 = a10 * error + a11 * integral + b1 * last + c1 * u
        error = step0
        integral = step1
        last = u
        out[p] = min(max(gain * error + integral, limits[0]), limits[1])
    state[0], state[1], state[2], state[3] = error, integral, last, wander


@njit(fastmath=True, cache=True, nogil=True)
def sense(
    field: Floats,
    path: Doubles,
    apexes: Floats,
    resting: int,
    chances: Doubles,
    state: Doubles,
    seed: np.uint32,
    signal: Floats,
    scratch: Floats,
) -> None:
    """``log_contour`` of an apex that may switch on the way; its strength is ``state[4]``."""
    other, mask, buffer = scratch[0], scratch[1], scratch[2]
    log_contour(field, path, apexes[:resting], signal, buffer)
    if resting == apexes.shape[0]:
        return
    state[4] = switch(seed, chances, state[4], VISIT_SPREAD, mask)
    moved = f32(0)
    for p in range(signal.size):
        moved = max(moved, mask[p])
    # Most passes of most tips never switch; they are spared the second contour.
    if moved > f32(0):
        log_contour(field, path, apexes[resting:], other, buffer)
        for p in range(signal.size):
            signal[p] += mask[p] * (other[p] - signal[p])


@njit(fastmath=True, cache=True, nogil=True)
def render_line(
    field: Floats,
    decay: float,
    line: int,
    path: Doubles,
    base: Doubles,
    times: Doubles,
    apexes: Floats,
    resting: int,
    chances: Doubles,
    tones: Doubles,
    tables: Floats,
    noise: Doubles,
    loop: Doubles,
    slow: Doubles,
    limits: Doubles,
    state: Doubles,
    seed: int,
    out: Floats,
    scratch: Floats,
) -> float:
    """Scan one line there and back into ``out`` (2, n); return the range of heights forward (nm).

    First axes of ``path`` (lines, 2, 4), ``base`` (lines, 2, 2: first height and rise per pixel)
    and ``times`` (lines, 2) are the line and the pass; ``chances``, ``tables``, ``loop`` and
    ``slow`` begin with the pass. The first ``resting`` rows of ``apexes`` image at rest, the others
    while switched. ``state`` is that of ``follow`` with the telegraph strength behind it.
    ``scratch`` has shape (4, n); ``seed`` must differ from line to line.
    """
    n = out.shape[1]
    signal, buffer = scratch[0], scratch[1]
    per_decay = f32(1.0 / decay)
    for d in range(2):
        key = hash32(u32(seed) + u32(d) * u32(0x9E3779B9))
        pass_key = hash32(key + u32(3))
        sense(
            field, path[line, d], apexes, resting, chances[d], state, pass_key, signal, scratch[1:]
        )
        start = f32(base[line, d, 0])
        rise = f32(base[line, d, 1])
        for p in range(n):
            signal[p] = signal[p] * per_decay + start + rise * f32(p)
        disturb(signal, tones, tables[d], noise, times[line, d], hash32(key + u32(1)))
        follow(signal, loop[d], slow[d], limits, state, hash32(key + u32(2)), buffer)
        # Column 0 is the lowest x both ways, so the way back is stored backwards.
        for p in range(n):
            out[d, p] = buffer[p] if d == 0 else buffer[n - 1 - p]
    return float(np.max(out[0]) - np.min(out[0]))
