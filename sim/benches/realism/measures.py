"""What is measured on scans that have their heights: in picometres and nanometres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from drivers.sample_map import level
from drivers.scan import Image
from sim.benches.realism.features import MEDIAN, line_noise
from sim.benches.realism.real import Tile
from sim.dataset.photograph import flattened
from sim.scans.kernels import Doubles

PM, NM = 1e-12, 1e-9
#: Farthest lag that is looked for, as a share of the line.
FARTHEST_LAG = 0.08

Measures = Mapping[str, tuple[float, str]]


def of_tile(tile: Tile) -> dict[str, tuple[float, str]]:
    """Figures of one scan with their units; those that need a way back only if there is one."""
    z = _complete(tile.forward)
    flat = flattened(z).astype(float) / PM
    noise = line_noise(flat)
    low, high = np.percentile(flat, (16, 84))
    grain = np.abs(np.diff(flat, n=2, axis=1)) / np.sqrt(6)
    found = {f"line noise at the {name} of lines": (value, "pm") for name, value in noise.items()}
    found["noise from pixel to pixel"] = float(np.median(grain)) / MEDIAN, "pm"
    found["relief, half of 16 to 84 %"] = float(high - low) / 2, "pm"
    found["skewness of heights"] = float(((flat - flat.mean()) ** 3).mean() / flat.std() ** 3), ""
    found["steepness of the spectrum"] = _steepness(flat), ""
    if tile.backward is not None:
        lag, likeness = lag_and_likeness(z, _complete(tile.backward))
        found["lag of the way back"] = lag * 100, "% of the line"
        found["correlation of both ways"] = likeness, ""
    return found


def lag_and_likeness(forward: Image, backward: Image) -> tuple[float, float]:
    """Lag of the way back as a share of the line, and the correlation once it is taken out."""
    rows = min(len(forward), len(backward))
    a, b = (flattened(z[:rows]).astype(float) for z in (forward, backward))
    n = a.shape[1]
    most = int(FARTHEST_LAG * n)
    shifts = range(-most, most + 1)
    likeness = np.array([_correlation(*_overlap(a, b, shift)) for shift in shifts])
    best = int(likeness.argmax())
    place = float(shifts[best])
    if 0 < best < len(shifts) - 1:
        # The top of a parabola through the best and its neighbours.
        left, top, right = likeness[best - 1 : best + 2]
        place += float(0.5 * (left - right) / (left - 2 * top + right - 1e-12))
    return place / n, float(likeness[best])


def imprint(tile: Tile) -> dict[str, tuple[float, str]] | None:
    """Height and size of the highest mound in the middle of the frame; None if there is none."""
    # Unlike a mean, the median of a line does not feel the mound.
    z = level(_complete(tile.forward)).astype(float) / PM
    z = ndimage.gaussian_filter(z - np.median(z), len(z) / 128)
    rows, columns = z.shape
    middle = z[rows // 4 : -rows // 4, columns // 4 : -columns // 4]
    row, column = np.unravel_index(middle.argmax(), middle.shape)
    row, column = row + rows // 4, column + columns // 4
    peak = float(z[row, column])
    noise = float(np.median(np.abs(z))) / MEDIAN
    if peak < 5 * noise:
        return None
    lobes, _ = ndimage.label(z > peak / 2)
    area = float((lobes == lobes[row, column]).mean())
    return {"height of imprints": (peak, "pm"), "area of imprints": (area * 100, "% of the frame")}


def medians(found: Sequence[Measures]) -> dict[str, tuple[float, float, float, str]]:
    """For each figure its median, its 16th and 84th percentile, and its unit."""
    names = {name: unit for one in found for name, (_, unit) in one.items()}
    table = {}
    for name, unit in names.items():
        values = [one[name][0] for one in found if name in one]
        low, middle, high = np.percentile(values, (16, 50, 84))
        table[name] = (float(middle), float(low), float(high), unit)
    return table


def _complete(z: Image) -> Image:
    return z[np.isfinite(z).all(axis=1)]


def _steepness(flat: Doubles) -> float:
    """Exponent of the fall of the power along the lines, between 4 and 32 pixels."""
    n = flat.shape[1]
    power = (np.abs(np.fft.rfft(flat * np.hanning(n), axis=1)) ** 2).mean(axis=0)
    frequency = np.fft.rfftfreq(n)
    inside = (frequency > 1 / 32) & (frequency < 1 / 4)
    slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside] + 1e-12), 1)[0]
    return float(slope)


def _overlap(a: Doubles, b: Doubles, shift: int) -> tuple[Doubles, Doubles]:
    """``a`` and the part of ``b`` that shows the same place if ``b`` lags by ``shift``."""
    if shift >= 0:
        return a[:, shift:], b[:, : b.shape[1] - shift]
    return a[:, :shift], b[:, -shift:]


def _correlation(a: Doubles, b: Doubles) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.sqrt((a**2).sum() * (b**2).sum()) + 1e-30))
