"""The compiled pass over whole lines: what the tip sees, through noise and feedback, into heights.

Lengths are nm, times seconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sim.scans.kernels import (
    GOLDEN,
    VISIT_SPREAD,
    Doubles,
    Floats,
    f32,
    hash32,
    log_contour,
    switch,
    u32,
)
from sim.scans.signal_chain import Disturbances, Swing, disturb, follow, strike, swell, swing


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def sense(
    field: Floats,
    path: Doubles,
    pace: Floats,
    apexes: Floats,
    resting: int,
    chances: Doubles,
    state: Doubles,
    seed: np.uint32,
    signal: Floats,
    scratch: Floats,
) -> None:
    """``log_contour`` of an apex that may switch on the way; its strength is ``state[4]``.

    ``scratch`` has six rows.
    """
    other, mask, room = scratch[0], scratch[1], scratch[2:]
    log_contour(field, path, pace, apexes[:resting], signal, room)
    if resting == apexes.shape[0]:
        return
    state[4], first, last = switch(seed, chances, state[4], VISIT_SPREAD, mask, room[0])
    # Visits are short and few: the second contour is worked out only as far as it is seen.
    if first < last:
        seen = slice(first, last)
        log_contour(field, path, pace[seen], apexes[resting:], other[seen], room)
        for p in range(first, last):
            signal[p] += mask[p] * (other[p] - signal[p])


class Optics(NamedTuple):
    """What the tip sees: see ``sense``; first axis of ``chances`` is the pass."""

    field: Floats
    decay: float
    apexes: Floats
    resting: int
    chances: Doubles


class Course(NamedTuple):
    """Where and when the lines run; first axes are the line and the pass.

    ``path`` is (lines, 2, 4), ``pace`` (n,) for all of them: see ``log_contour``. ``base`` is
    (lines, 2, 3): height of the first pixel, rise per pixel and per square of it. ``times`` is
    (lines, 2), ``mains`` the same times by the clock of the mains.
    """

    path: Doubles
    pace: Floats
    base: Doubles
    times: Doubles
    mains: Doubles


class Chain(NamedTuple):
    """What makes heights of the signal: see ``disturb`` and ``follow``.

    ``tables``, ``loop`` and ``slow`` begin with the pass. ``swing`` takes the place of ``loop``
    where it is not empty; ``more`` disturbs such instruments only.
    """

    tones: Doubles
    tables: Floats
    noise: Doubles
    loop: Doubles
    slow: Doubles
    limits: Doubles
    swing: Swing
    more: Disturbances


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def render_pass(
    optics: Optics,
    course: Course,
    chain: Chain,
    line: int,
    d: int,
    state: Doubles,
    key: np.uint32,
    scratch: Floats,
) -> Floats:
    """Scan one pass of a line; return its heights (nm) in the order of time."""
    signal: Floats = scratch[0]
    buffer: Floats = scratch[1]
    path, chances = course.path[line, d], optics.chances[d]
    sense(
        optics.field, path, course.pace, optics.apexes, optics.resting, chances, state,
        hash32(key + u32(3)), signal, scratch[1:],
    )  # fmt: skip
    per_decay = f32(1.0 / optics.decay)
    start = f32(course.base[line, d, 0])
    rise = f32(course.base[line, d, 1])
    bend = f32(course.base[line, d, 2])
    for p in range(signal.size):
        signal[p] = signal[p] * per_decay + start + rise * f32(p)
    if bend != f32(0):
        for p in range(signal.size):
            signal[p] += bend * f32(p) * f32(p)
    mains_s = course.mains[line, d]
    disturb(signal, chain.tones, chain.tables[d], chain.noise, mains_s, hash32(key + u32(1)))
    kicks = hash32(key + u32(2))
    if chain.swing.steps.size:
        regulate(chain, d, course.times[line, d], state, kicks, signal, buffer)
    else:
        follow(signal, chain.loop[d], chain.slow[d], chain.limits, state, kicks, buffer)
    return buffer


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def regulate(
    chain: Chain,
    d: int,
    time_s: float,
    state: Doubles,
    kicks: np.uint32,
    signal: Floats,
    out: Floats,
) -> None:
    """Let an instrument with a scanner of its own follow ``signal`` of pass ``d`` into ``out``."""
    more, dt_s = chain.more, chain.more.dts[d]
    swell(signal, more.bands, more.key, time_s, dt_s)
    strike(signal, more.jumps, time_s, dt_s)
    steps, bounds = chain.swing.steps[d], chain.swing.limits[d]
    swing(signal, steps, bounds, chain.slow[d], chain.limits, state, kicks, out)
    # Faster than the loop, they are seen as they are, weakened by it before they get here.
    strike(out, more.rattles, time_s, dt_s)


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def store(heights: Floats, out: Floats, back: bool) -> float:
    """Copy a pass to its place, turned round if it was the way ``back``; return its range."""
    n = out.size
    low = top = heights[0]
    if back:
        for p in range(n):
            out[p] = heights[n - 1 - p]
    else:
        out[:] = heights
    for p in range(n):
        low = min(low, heights[p])
        top = max(top, heights[p])
    return float(top - low)


@njit(fastmath=True, cache=True, nogil=True)
def render_lines(
    optics: Optics,
    course: Course,
    chain: Chain,
    first: int,
    seed: int,
    states: Doubles,
    out: Floats,
    ranges: Doubles,
    scratch: Floats,
) -> None:
    """Scan lines there and back into ``out`` (lines, 2, n), heights in nm.

    ``first`` is the line of ``course`` to begin with. ``states`` (lines + 1, STATE) begins with the
    state before the first line and gets that after each. ``ranges`` (lines,) gets the range of
    heights forward. ``scratch`` has shape (8, n); ``seed`` is that of the first line.
    """
    for j in range(out.shape[0]):
        state = states[j + 1]
        state[:] = states[j]
        line_seed = u32(seed) + u32(2 * j) * u32(GOLDEN)
        for d in range(2):
            key = hash32(line_seed + u32(d) * u32(GOLDEN))
            heights = render_pass(optics, course, chain, first + j, d, state, key, scratch)
            # Column 0 is the lowest x both ways, so the way back is stored backwards.
            extent = store(heights, out[j, d], d == 1)
            ranges[j] = extent if d == 0 else ranges[j]
