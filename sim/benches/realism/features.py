"""What a picture of a scan is told by: a fixed set of numbers, none of them learned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sim.dataset.photograph import Photo
from sim.scans.kernels import Doubles

#: Edges of the bands of spatial frequency (cycles per pixel).
BANDS = np.geomspace(1 / 64, 0.5, 9)
#: Ends of the parts of a line, as shares of it: where it begins, its middle, its end.
PARTS = {"start": (0.0, 0.06), "middle": (0.45, 0.55), "end": (0.94, 1.0)}
#: Median of the size of a normal number.
MEDIAN = 0.6745
PERCENTILES = (1, 5, 25, 75, 95, 99)


def describe(photo: Photo) -> dict[str, float]:
    """The numbers of one picture by name; heights count in its own spread."""
    z = photo.astype(float)
    spread = max(float(z.std()), 1e-6)
    z = (z - z.mean()) / spread
    return dict(_numbers(photo, z))


def table(photos: list[Photo]) -> tuple[Doubles, list[str]]:
    """One row of numbers per picture, and their names."""
    rows = [describe(photo) for photo in photos]
    return np.array([list(row.values()) for row in rows]), list(rows[0])


def line_noise(z: Doubles) -> dict[str, float]:
    """Noise from line to line where lines begin, in their middle and at their end."""
    # The second difference is blind to slopes; its median, to edges and streaks.
    bends = np.abs(np.diff(z, n=2, axis=0)) / np.sqrt(6)
    columns = z.shape[1]
    return {
        name: float(np.median(bends[:, int(a * columns) : max(int(b * columns), 1)])) / MEDIAN
        for name, (a, b) in PARTS.items()
    }


def spectrum(z: Doubles) -> tuple[Doubles, Doubles]:
    """Power per band of spatial frequency (log10) along the lines and across them."""
    return _bands(z), _bands(z.T)


def _numbers(photo: Photo, z: Doubles) -> Iterator[tuple[str, float]]:
    yield from _of_heights(photo, z)
    along, across = spectrum(z)
    for name, bands in (("along", along), ("across", across)):
        for low, value in zip(BANDS, bands, strict=False):
            yield f"power {name} the lines above {low:.3f}/px", float(value)
    for name, value in line_noise(z).items():
        yield f"line noise at the {name}", np.log10(value + 1e-3)
    for name, steps in (("along", np.diff(z, axis=1)), ("across", np.diff(z, axis=0))):
        size = np.abs(steps)
        yield f"steps {name} the lines", np.log10(float(size.mean()) + 1e-3)
        # Streaks and edges are rare and large.
        peak = float(np.percentile(size, 99.5)) / (float(np.median(size)) + 1e-2)
        yield f"rare steps {name} the lines", np.log10(peak + 1e-3)
        yield f"equal neighbours {name} the lines", float((size == 0).mean())
    curved = z[1:-1, 1:-1] - (z[1:-1, 2:] + z[1:-1, :-2] + z[2:, 1:-1] + z[:-2, 1:-1]) / 4
    yield "fine grain", np.log10(float(np.median(np.abs(curved))) + 1e-3)


def _of_heights(photo: Photo, z: Doubles) -> Iterator[tuple[str, float]]:
    yield "skewness", float(np.clip((z**3).mean(), -10, 10))
    yield "kurtosis", np.log10(float((z**4).mean()) + 1e-3)
    for percentile, value in zip(PERCENTILES, np.percentile(z, PERCENTILES), strict=True):
        yield f"height of percentile {percentile}", float(value)
    yield "darkest grey", float(photo.min())
    yield "brightest grey", float(photo.max())
    lines = z.std(axis=1)
    yield "unevenness of the lines", np.log10(float(lines.std() / (lines.mean() + 1e-6)) + 1e-3)
    similar = [_alike(z[:-lag], z[lag:]) for lag in (1, 4)]
    yield "likeness of neighbouring lines", similar[0]
    yield "likeness of lines four apart", similar[1]


def _alike(upper: Doubles, lower: Doubles) -> float:
    """Median correlation of lines."""
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (upper, lower))
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1)) + 1e-9
    return float(np.median((a * b).sum(axis=1) / norm))


def _bands(z: Doubles) -> Doubles:
    n = z.shape[1]
    window: NDArray[np.float64] = np.hanning(n)
    power = (np.abs(np.fft.rfft(z * window, axis=1)) ** 2).mean(axis=0) / n
    which = np.digitize(np.fft.rfftfreq(n), BANDS)
    inside = [power[which == band] for band in range(1, len(BANDS))]
    return np.array([np.log10(band.mean() + 1e-6) if band.size else -6.0 for band in inside])
