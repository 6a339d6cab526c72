"""Draws a scan with its judgement, for people."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from drivers.formats.atomic import write_atomically
from drivers.sample_map import level
from drivers.scan import Image, Scan
from policies.report import TipReport
from policies.scorer.explaining import Explanation

GOOD = "#2e7d4f"
BAD = "#b3402a"
NEUTRAL = "#8a8f98"
#: Share of the greatest heat below which none is drawn.
FAINT = 0.15


def draw(scan: Scan, report: TipReport, why: Explanation | None, title: str, path: Path) -> None:
    """Write a PNG of forward and backward picture beside the judgement and where it comes from.

    Args:
        scan: the scan, whole or partial.
        report: its judgement.
        why: where it comes from; None where nothing could be judged.
        title: shown above.
        path: the file to write; replaced whole or not at all.

    Raises:
        FileError: the file cannot be written.
    """
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    forward, backward, places, bars = figure.subplots(1, 4, width_ratios=(1, 1, 1, 0.8))
    _picture(forward, scan, scan.forward, "forward")
    if scan.backward is None:
        backward.set_axis_off()
    else:
        _picture(backward, scan, scan.backward, "backward")
    if why is None:
        places.set_axis_off()
    else:
        _places(places, scan, why)
    _bars(bars, report)
    figure.suptitle(title, fontsize=10)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    write_atomically(path, picture.getvalue())


def _places(axes: Axes, scan: Scan, why: Explanation) -> None:
    """The forward picture in grey, under what speaks for the judgement."""
    what = "a good tip" if why.shown is None else f"“{why.shown.value}”"
    _picture(axes, scan, scan.forward, "", "gray")
    # Faint heat is left out, or it would tint the whole picture.
    alpha = np.clip(2 * (np.nan_to_num(why.heat) - FAINT), 0, 0.9)
    lines = len(scan.forward)
    extent = axes.images[0].get_extent()
    one_colour = ListedColormap([GOOD if why.shown is None else BAD])
    axes.imshow(why.heat, cmap=one_colour, alpha=alpha, extent=extent)
    if why.changed_line is not None:
        row = why.changed_line if scan.direction == "down" else lines - why.changed_line
        y = extent[3] + (extent[2] - extent[3]) * row / lines
        axes.axhline(y, color=BAD, linestyle="--", linewidth=1.5)
        axes.annotate("the tip changed", (extent[0], y), color=BAD, fontsize=8, va="bottom")
    axes.set_title(f"speaks for {what}", fontsize=9)


def _picture(axes: Axes, scan: Scan, z: Image, title: str, colours: str = "YlOrBr_r") -> None:
    flat = level(z)
    finite = flat[np.isfinite(flat)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    extent = None
    if scan.frame is not None:
        width, height = scan.frame.width_m / 1e-9, scan.frame.height_m / 1e-9
        extent = (0.0, width, 0.0, height)
        axes.set_xlabel("nm")
    axes.set_facecolor("#e8e8e8")
    axes.imshow(flat, cmap=colours, vmin=low, vmax=high, extent=extent, interpolation="nearest")
    relief = f", {(high - low) / 1e-12:.0f} pm black to white" if scan.scale_known else ""
    axes.set_title(f"{title}{relief}", fontsize=9)
    axes.tick_params(labelsize=8)


def _bars(axes: Axes, report: TipReport) -> None:
    values = [report.quality, *report.states.values(), *report.image.values()]
    names = ["good", *(state.value for state in (*report.states, *report.image))]
    colours = [GOOD] + [BAD if value >= 0.5 else NEUTRAL for value in values[1:]]
    if report.not_assessable or not report.familiar:
        colours = [NEUTRAL] * len(values)
    places = range(len(names))[::-1]
    axes.barh(list(places), values, color=colours, height=0.62)
    for place, value in zip(places, values, strict=True):
        axes.text(min(value, 0.85) + 0.02, place, f"{value:.2f}", va="center", fontsize=9)
    axes.set_yticks(list(places), names, fontsize=9)
    axes.set_xlim(0, 1)
    title = f"probability, from {report.lines} lines"
    if not report.familiar:
        title = "a guess: unlike the training data"
    if report.not_assessable:
        title = "cannot be judged"
    axes.set_title(title, fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
