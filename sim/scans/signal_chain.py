"""Compiled passes of the signal chain: what disturbs the gap, and the z controller that follows it.

Lengths are nm, times seconds. Noise that has a memory is keyed to time rather than to pixels, so
that it goes on from line to line whatever their speed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from sim.scans.kernels import (
    DEEPEST,
    GOLDEN,
    Doubles,
    Floats,
    f32,
    fast_exp,
    hash32,
    hash_normal,
    i32,
    sine,
    u32,
)

# State of the feedback behind a resonant scanner: see ``swing``.
SWINGING = 5
#: What a loop carries from pass to pass: (error, integral, last signal, slow noise, telegraph
#: strength), then what only ``swing`` needs: (height, speed, delayed output, overload left in s).
STATE = 9
# Mean of the variance of straight lines between independent knots is 2/3.
KNOTS = f32(math.sqrt(1.5))
# Samples per knot below which bands of noise are worked out sample by sample.
FEW = 16
# What leaves every rounding as it is written, wherever the compiler puts a function.
ROUNDED = {"nnan", "ninf", "nsz"}

#: (error, integral, height, speed, delayed output) of a feedback behind a resonant scanner.
State = tuple[float, float, float, float, float]


class Swing(NamedTuple):
    """A feedback behind a resonant scanner and a preamplifier that clips.

    ``steps`` is (2, 3, 5, 7): of each pass the step over a sample with the loop closed, over a part
    of a sample, and over such a part with the error held; rows of columns (state, signal before,
    signal after). ``limits`` is (2, 7): lowest and highest error in height, how long an overload
    lasts (s), proportional factor, parts per sample, their time (s), 1 if the loop is stable.
    Both are empty for a scanner that follows at once.
    """

    steps: Doubles
    limits: Doubles


class Disturbances(NamedTuple):
    """What disturbs the gap now and then, and slowly.

    ``bands`` has rows (nm, s: deviation and distance between knots) of the 1/f noise, ``key`` its
    seed. ``jumps`` act on the gap, ``rattles`` on the height, both with the rows of ``strike``;
    ``dts`` are the times per sample of the passes.
    """

    bands: Doubles
    key: int
    jumps: Doubles
    rattles: Doubles
    dts: Doubles


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
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
        turns = tones[q, 0] * time_s + tones[q, 2] / (2 * math.pi)
        a = f32(tones[q, 1] * sine(turns))
        b = f32(tones[q, 1] * sine(turns + 0.25))
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


@njit(fastmath={"contract", "nnan", "ninf", "nsz"}, cache=True, nogil=True, forceinline=True)
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
    # A loop of its own: a sample of the next one has to wait for the last, here none has to.
    for p in range(signal.size):
        out[p] = f32(slow[1]) * hash_normal(seed + u32(p))
    for p in range(signal.size):
        wander = slow[0] * wander + out[p]
        u = signal[p] + wander
        # The order of the terms leaves least to wait for: one product each.
        step0 = a00 * error + (a01 * integral + (b0 * last + c0 * u))
        step1 = a11 * integral + (a10 * error + (b1 * last + c1 * u))
        error = step0
        integral = step1
        last = u
        out[p] = min(max(gain * error + integral, limits[0]), limits[1])
    state[0], state[1], state[2], state[3] = error, integral, last, wander


@njit(fastmath=ROUNDED, cache=True, nogil=True, forceinline=True)
def swell(signal: Floats, bands: Doubles, key: int, time_s: float, dt_s: float) -> None:
    """Add slow noise to ``signal``: straight lines between random knots, one distance per band."""
    for k in range(bands.shape[0]):
        deviation = f32(bands[k, 0]) * KNOTS
        first, pace = time_s / bands[k, 1], dt_s / bands[k, 1]
        knot = math.floor(first)
        seed = hash32(u32(key) + u32(k) * u32(GOLDEN)) + u32(knot) * u32(GOLDEN)
        if pace * FEW > 1:
            swell_fast(signal, deviation, f32(first - knot), f32(pace), seed)
        else:
            swell_slow(signal, deviation, first - knot, pace, seed)


@njit(fastmath=ROUNDED, inline="always")
def swell_fast(
    signal: Floats, deviation: np.float32, first: np.float32, pace: np.float32, seed: np.uint32
) -> None:
    """One band of ``swell`` with few samples between knots; ``seed`` is that of the first knot."""
    # Each sample draws both of its knots: more numbers, but none has to wait for another.
    for p in range(signal.size):
        place = first + pace * f32(p)
        knot = np.floor(place)
        number = seed + u32(i32(knot)) * u32(GOLDEN)
        left, right = hash_normal(number), hash_normal(number + u32(GOLDEN))
        signal[p] += deviation * (left + (right - left) * (place - knot))


@njit(fastmath=ROUNDED, inline="always")
def swell_slow(
    signal: Floats, deviation: np.float32, first: float, pace: float, seed: np.uint32
) -> None:
    """One band of ``swell`` with many samples between knots."""
    p, knot, right = 0, 0, deviation * hash_normal(seed)
    while p < signal.size:
        left, right = right, deviation * hash_normal(seed + u32(knot + 1) * u32(GOLDEN))
        end = min(signal.size, math.ceil((knot + 1 - first) / pace))
        rise = (right - left) * f32(pace)
        start = left + (right - left) * f32(first + pace * p - knot)
        # A slice rather than a shifted index: that might be negative, and would not vectorise.
        part = signal[p:end]
        for q in range(part.size):
            part[q] += start + rise * f32(q)
        p, knot = end, knot + 1


@njit(fastmath=ROUNDED, cache=True, nogil=True, forceinline=True)
def strike(signal: Floats, events: Doubles, time_s: float, dt_s: float) -> None:
    """Add ``events`` to ``signal``: rows (begin and end in s, nm, decay in 1/s, Hz, phase)."""
    n = signal.size
    finish = time_s + n * dt_s
    for k in range(events.shape[0]):
        begin, end = events[k, 0], events[k, 1]
        if begin >= finish or end <= time_s:
            continue
        first = max(0, math.ceil((begin - time_s) / dt_s))
        last = min(n, math.ceil((end - time_s) / dt_s))
        age = time_s + first * dt_s - begin
        pace = 2 * math.pi * events[k, 4]
        height = events[k, 2] * math.exp(-events[k, 3] * age)
        x = height * math.cos(pace * age + events[k, 5])
        y = height * math.sin(pace * age + events[k, 5])
        # A turn and a shrink per sample instead of an exponential and a cosine.
        shrink = math.exp(-events[k, 3] * dt_s)
        a, b = shrink * math.cos(pace * dt_s), shrink * math.sin(pace * dt_s)
        for p in range(first, last):
            signal[p] += f32(x)
            x, y = a * x - b * y, a * y + b * x


@njit(fastmath=ROUNDED, inline="always")
def row(step: Doubles, i: int, state: State, before: float, after: float) -> float:
    """One row of ``propagate``."""
    # In pairs rather than in a row: what comes in waits for least.
    inlet = step[i, 5] * before + step[i, 6] * after
    rest = (step[i, 4] * state[4] + inlet) + (step[i, 2] * state[2] + step[i, 3] * state[3])
    return float(rest + (step[i, 0] * state[0] + step[i, 1] * state[1]))


@njit(fastmath=ROUNDED, inline="always")
def propagate(step: Doubles, state: State, before: float, after: float) -> State:
    """``state`` one ``step`` later, for a signal from ``before`` to ``after``."""
    return (
        row(step, 0, state, before, after),
        row(step, 1, state, before, after),
        row(step, 2, state, before, after),
        row(step, 3, state, before, after),
        row(step, 4, state, before, after),
    )


@njit(fastmath=ROUNDED, cache=True, nogil=True, forceinline=True)
def slew(
    steps: Doubles, limits: Doubles, state: State, before: float, after: float, overload_s: float
) -> tuple[State, float]:
    """One sample in parts, in which the error may clip; also returns what is left of an overload.

    An overloaded preamplifier shows its largest current until it has recovered; then the tip may
    be far away, and comes back no faster than the smallest current that is seen lets it.
    """
    parts = int(limits[4])
    for m in range(parts):
        start = before + (after - before) * m / parts
        end = before + (after - before) * (m + 1) / parts
        error = start - state[2]
        if error >= limits[1]:
            overload_s = limits[2] + limits[5]
        overload_s = max(overload_s - limits[5], 0.0)
        if error >= limits[1] or overload_s > 0:
            state = propagate(steps[2], state, limits[1], limits[1])
        elif error <= limits[0]:
            state = propagate(steps[2], state, limits[0], limits[0])
        else:
            state = propagate(steps[1], state, start, end)
    return state, overload_s


@njit(fastmath=ROUNDED, cache=True, nogil=True, forceinline=True)
def swing(
    signal: Floats,
    steps: Doubles,
    limits: Doubles,
    slow: Doubles,
    ends: Doubles,
    state: Doubles,
    seed: np.uint32,
    out: Floats,
) -> None:
    """``follow`` for a ``Swing``; ``ends`` are those of the piezo.

    While the error stays between its limits a sample is one exact step of (error, integral, height,
    speed, delayed output); a sample in which it does not is done in parts.
    """
    now = (state[0], state[1], state[5], state[6], state[7])
    last, wander, overload_s = state[2], state[3], state[8]
    low, high, gain, stable = limits[0], limits[1], limits[3], limits[6] > 0
    whole, memory, lowest, highest = steps[0], slow[0], ends[0], ends[1]
    for p in range(signal.size):
        out[p] = f32(slow[1]) * hash_normal(seed + u32(p))
    for p in range(signal.size):
        wander = memory * wander + out[p]
        u = signal[p] + wander
        fresh = propagate(whole, now, last, u)
        if stable and overload_s == 0 and low < u - fresh[2] < high:
            now = fresh
        else:
            now, overload_s = slew(steps, limits, now, last, u, overload_s)
        last = u
        out[p] = min(max(gain * now[0] + now[1], lowest), highest)
    state[0], state[1], state[5], state[6], state[7] = now
    state[2], state[3], state[8] = last, wander, overload_s
