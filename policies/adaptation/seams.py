"""Where a scan looks as if two scans were put together: the mark of a tip that changed.

The lines above a place are held against the lines below it, as single lines and as means of
several, with the offsets between the lines and without. The worst place counts, beside what is
usual in the scan, for noise makes every place bad and a change one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: How many lines above and below a place are averaged.
REACHES = (1, 3, 8)
#: Ranks of the worst places that count.
RANKS = (0, 2, 8)
#: Steps that are this many times the usual one, or this high, jump.
JUMPS, JUMP_HEIGHT = 3.0, 0.5
FAINT = 1e-3

Doubles = NDArray[np.float64]


def seams(z: Doubles) -> Iterator[float]:
    """Yield what the worst seams of a scan are like, always as many numbers.

    Args:
        z: heights in their own spread, first line first, shape (lines, points), two lines or more.
    """
    for lines in (z - z.mean(), z - np.median(z, axis=1, keepdims=True)):
        sums = np.cumsum(np.vstack([np.zeros(lines.shape[1]), lines]), axis=0)
        for reach in REACHES:
            yield from _of_reach(lines, sums, min(reach, len(z) // 2))


def _of_reach(lines: Doubles, sums: Doubles, reach: int) -> Iterator[float]:
    means = (sums[reach:] - sums[:-reach]) / reach
    above, below = means[:-reach], means[reach:]
    step = np.sqrt(((above - below) ** 2).mean(axis=1))
    usual = float(np.median(step)) + FAINT
    worst = np.sort(step)[::-1]
    for rank in RANKS:
        yield float(np.log10(worst[min(rank, len(worst) - 1)] / usual + FAINT))
    yield float(np.log10(worst[0] + FAINT))
    yield float(np.log10(usual))
    alike = _alike(above, below)
    yield from (float(alike.min()), float(np.percentile(alike, 5)), float(np.median(alike)))
    at = int(step.argmax())
    yield from _sides(lines[: at + reach], lines[at + reach :])
    jump = np.abs(above[at] - below[at])
    yield float((jump > JUMPS * usual).mean())
    yield float((jump > JUMP_HEIGHT).mean())


def _sides(upper: Doubles, lower: Doubles) -> Iterator[float]:
    """How the two sides of a seam differ, and how much of the scan the smaller one is."""
    ratio = float(np.log10((upper.std() + 0.01) / (lower.std() + 0.01)))
    yield from (ratio, abs(ratio), abs(float(upper.mean() - lower.mean())))
    share = len(upper) / (len(upper) + len(lower))
    yield share * (1 - share)


def _alike(above: Doubles, below: Doubles) -> Doubles:
    """Correlation of each line of one with that of the other."""
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (above, below))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found: Doubles = (a * b).sum(axis=1) / (size + 1e-6)
    return found
