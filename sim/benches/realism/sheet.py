"""Contact sheets and curves of real and simulated scans side by side, for people."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from drivers.formats.atomic import write_atomically
from sim.benches.realism.features import BANDS, spectrum
from sim.dataset.photograph import Photo
from sim.scans.kernels import Doubles

REAL, SIMULATED = "#20567a", "#c8762b"
ACROSS, DOWN = 6, 6
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5)
HISTOGRAM = np.linspace(-4, 4, 65)


def contact_sheet(
    path: Path, surface: str, real: Sequence[Photo], simulated: Sequence[Photo]
) -> None:
    """Write a PNG: real pictures on the left, simulated ones on the right.

    Raises:
        FileError: the file cannot be written.
    """
    figure = Figure(figsize=(2 * ACROSS * 1.25 + 0.4, DOWN * 1.25 + 0.6), layout="constrained")
    parts = figure.subfigures(1, 2, wspace=0.03, squeeze=False)[0]
    sets = ("real", real, REAL), ("simulated", simulated, SIMULATED)
    for part, (name, photos, colour) in zip(parts, sets, strict=True):
        part.suptitle(f"{surface}, {name}", color=colour, fontsize=13)
        for axes, photo in zip(
            part.subplots(DOWN, ACROSS).flat, _spread(photos, ACROSS * DOWN), strict=False
        ):
            axes.imshow(photo, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for axes in part.axes:
            axes.set_axis_off()
    _save(figure, path)


def curves(path: Path, surface: str, real: Sequence[Photo], simulated: Sequence[Photo]) -> None:
    """Write a PNG of spectra, histograms of heights and noise along the lines.

    Raises:
        FileError: the file cannot be written.
    """
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    along, across, heights, noise = figure.subplots(1, 4)
    for photos, name, colour in ((real, "real", REAL), (simulated, "simulated", SIMULATED)):
        scaled = [_scaled(photo) for photo in photos]
        powers = np.array([spectrum(z) for z in scaled])
        middle = np.sqrt(BANDS[1:] * BANDS[:-1])
        for axes, power in ((along, powers[:, 0]), (across, powers[:, 1])):
            _band(axes, middle, power, name, colour)
        shares = np.array([np.histogram(z, HISTOGRAM, density=True)[0] for z in scaled])
        _band(heights, (HISTOGRAM[1:] + HISTOGRAM[:-1]) / 2, shares, name, colour)
        profiles = np.array([_profile(z) for z in scaled])
        _band(noise, np.linspace(0, 1, profiles.shape[1]), profiles, name, colour)
    for axes, title, label in (
        (along, "power along the lines", "cycles per pixel"),
        (across, "power across the lines", "cycles per pixel"),
        (heights, "heights", "deviations of the picture"),
        (noise, "noise from line to line", "place along the line"),
    ):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(label, fontsize=9)
        axes.tick_params(labelsize=8)
    for axes in (along, across):
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
        axes.minorticks_off()
        axes.set_ylabel("log10 power", fontsize=9)
    noise.set_yscale("log")
    noise.yaxis.set_minor_formatter(NullFormatter())
    along.legend(frameon=False, fontsize=9)
    figure.suptitle(f"{surface}: medians, and where the middle two thirds lie", fontsize=11)
    _save(figure, path)


def _band(axes: Axes, x: Doubles, values: Doubles, name: str, colour: str) -> None:
    low, middle, high = np.percentile(values, (16, 50, 84), axis=0)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, middle, color=colour, label=name)


def _scaled(photo: Photo) -> Doubles:
    z = photo.astype(float)
    scaled: Doubles = (z - z.mean()) / max(float(z.std()), 1e-6)
    return scaled


def _profile(z: Doubles) -> Doubles:
    """Noise between neighbouring lines in 24 parts of the line."""
    bends = np.abs(np.diff(z, n=2, axis=0)) / np.sqrt(6)
    parts = np.array_split(bends, 24, axis=1)
    return np.array([np.median(part) for part in parts]) + 1e-3


def _spread(photos: Sequence[Photo], count: int) -> list[Photo]:
    """``count`` of the pictures, evenly spread."""
    places = np.linspace(0, len(photos) - 1, min(count, len(photos))).round().astype(int)
    return [photos[place] for place in places]


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    content = BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_atomically(path, content.getvalue())
