"""A scan in numbers that need no learning: what its lines are like, and how they change.

A network that has to find these out from a few hundred labels takes long and knows less. Every line
is described for itself and beside the line before; how these figures are spread over the scan, and
how much they differ between the lines above and below a place, tells of noise and of changes of the
tip. The spectrum of the picture tells of lattices. All is told of the whole relief and of the local
one, for a change of the tip shows in the offsets of the lines and in how sharp the lattice is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from drivers.scan import Image
from policies.adaptation.relief import POINTS, levelled, overall_and_local
from policies.adaptation.seams import seams

#: Bounds of the bands of the spectrum along a line, in periods per line.
BANDS = (1, 3, 6, 10, 16, 26, 42, 68, POINTS // 2 + 1)
#: Bounds of the rings of the spectrum of the picture, in periods per point.
RINGS = (0.01, 0.03, 0.06, 0.1, 0.16, 0.25, 0.5)
#: How many lines above and below a place are compared.
REACHES = (4, 12, 32)
PERCENTILES = (0.5, 2, 10, 25, 75, 90, 98, 99.5)
#: Shifts of a picture against itself from which its likeness counts (points).
LAGS = (4, 8, 16, 24)
FAINT = 1e-3

Doubles = NDArray[np.float64]


def describe(lines: Image) -> NDArray[np.float32]:
    """Describe complete lines, from a whole scan or a part of it.

    Args:
        lines: heights in any unit, first line first, shape (lines, pixels).

    Returns:
        Numbers of order one to ten, shape (n,), n the same for every scan.

    Raises:
        ValueError: fewer than two lines, or no relief.
    """
    if len(lines) < 2:
        raise ValueError("the scan holds too little: fewer than two complete lines")
    flat = levelled(lines)
    found = [number for view in overall_and_local(flat) for number in _of_view(view)]
    return np.array([*found, np.log(len(flat))], np.float32)


def _of_view(z: Doubles) -> Iterator[float]:
    each = _of_lines(z)
    yield from (*each.mean(axis=0), *each.std(axis=0), *each.min(axis=0), *each.max(axis=0))
    yield from np.percentile(each, (5, 95), axis=0).ravel()
    for reach in REACHES:
        yield from _changes(each, reach)
    yield from (*seams(z), *_of_spectrum(z), *_of_likeness(z))
    square = z * z
    yield from ((square * z).mean(), np.log10((square * square).mean() + FAINT))
    yield from np.percentile(z, PERCENTILES)


def _of_lines(z: Doubles) -> Doubles:
    """Each line in numbers, shape (lines, numbers)."""
    columns = z.shape[1]
    line = z - z.mean(axis=1, keepdims=True)
    spread = line.std(axis=1) + FAINT
    power = np.abs(np.fft.rfft(line * np.hanning(columns), axis=1)) ** 2 / columns
    bounds = [min(bound, power.shape[1] - 1) for bound in BANDS[:-1]] + [power.shape[1]]
    bands = [
        _log(power[:, low : max(high, low + 1)].mean(axis=1)) for low, high in pairwise(bounds)
    ]
    # The first line has nothing before it and takes the second instead.
    before = np.vstack([line[1:2], line[:-1]])
    step = np.diff(z, axis=0, prepend=2 * z[:1] - z[1:2])
    jump = np.median(step, axis=1)
    rest = np.abs(step - jump[:, None])
    alike = (line * before).mean(axis=1) / (spread * (before.std(axis=1) + FAINT))
    found = [
        np.log10(spread), (line * line * line).mean(axis=1) / spread**3, *bands, alike,
        _log(np.abs(jump)), _log(rest.mean(axis=1)), _log(np.median(rest, axis=1)),
        _log(np.percentile(rest, 98, axis=1)), _log(np.abs(np.diff(z, axis=1)).mean(axis=1)),
        np.median(z, axis=1),
    ]  # fmt: skip
    return np.stack(found, axis=1)


def _changes(each: Doubles, reach: int) -> list[float]:
    """How much each number changes at most from some lines to the next, and all together."""
    reach = min(reach, len(each) // 2)
    sums = np.cumsum(np.vstack([np.zeros(each.shape[1]), each]), axis=0)
    means = (sums[reach:] - sums[:-reach]) / reach
    change = np.abs(means[reach:] - means[:-reach])
    together = (change / (each.std(axis=0) + 0.05)).mean(axis=1).max()
    return [*change.max(axis=0), float(together)]


def _of_spectrum(z: Doubles) -> Iterator[float]:
    rows, columns = z.shape
    line = z - z.mean(axis=1, keepdims=True)
    window = np.hanning(rows + 2)[1:-1, None] * np.hanning(columns)
    power = np.abs(np.fft.rfft2(line * window)) ** 2 + 1e-9
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns))
    total = power[radius >= RINGS[0]].sum()
    for low, high in pairwise(RINGS):
        ring = power[(radius >= low) & (radius < high)]
        yield float(np.log10(ring.sum() / total + 1e-6))
        # A lattice is a few high peaks; noise is none.
        yield float(np.log10(ring.max() / ring.mean())) if ring.size else 0.0
        yield float(ring.max() / total) if ring.size else 0.0
    share = power / power.sum()
    for part in (share.sum(axis=0), share.sum(axis=1), share.ravel()):
        yield float(-(part * np.log(part)).sum())
    yield float(np.log(np.sort(share, axis=None)[-8:].sum()))


def _of_likeness(z: Doubles) -> Iterator[float]:
    """How much a picture is like itself, shifted."""
    rows, columns = z.shape
    line = z - z.mean(axis=1, keepdims=True)
    likeness = np.fft.irfft2(np.abs(np.fft.rfft2(line)) ** 2, s=z.shape)
    likeness /= likeness[0, 0] + 1e-9
    for lag in LAGS:
        along = likeness[0, lag : columns // 2]
        yield float(along.max()) if along.size else 0.0
        yield float(likeness[min(lag // 4, rows - 1)].max())
    apart = likeness[2 : max(3, rows // 2), columns // 8 : columns // 2]
    yield float(apart.max()) if apart.size else 0.0
    opposite = likeness[: max(1, rows // 2), columns // 32 : columns // 2]
    yield float(opposite.min()) if opposite.size else 0.0


def _log(values: Doubles) -> Doubles:
    found: Doubles = np.log10(values + FAINT)
    return found
