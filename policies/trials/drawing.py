"""Pictures of the benchmark of policies."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import ScalarFormatter

from drivers.errors import FileError
from drivers.formats.atomic import write_atomically
from policies.trials.entrants import AS_PUBLISHED, INFORMED
from policies.trials.figures import SCANS_S, USUAL_S, ranked
from policies.trials.statistics import Estimate, Ledger, per_good, share

OURS, THEIRS, BOUND = "#1b6ca8", "#c8553d", "#4a4a4a"
MARKERS = dict(zip(SCANS_S, ("o", "s", "D"), strict=True))
#: Curves of so many entrants can be told apart.
CURVES = 6
COLOURS = ("#1b6ca8", "#c8553d", "#3a8f5c", "#8a5fa8", "#c79a1e", "#4a4a4a")


def draw(folder: Path, entrants: Mapping[str, Ledger], title: str) -> Path:
    """Draw ``policies.png`` into ``folder``, which is made, and return its path.

    Raises:
        FileError: it cannot be written.
    """
    order = ranked(entrants, list(entrants))
    figure = Figure(figsize=(13.5, 3.0 + 0.28 * len(order)), layout="constrained")
    figure.suptitle(title)
    costs, safety, course = figure.subplots(1, 3, width_ratios=(1.2, 0.8, 1.1))
    _costs(costs, entrants, order)
    _safety(safety, entrants, order)
    _course(course, entrants, order[:CURVES])
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    path = folder / "policies.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make {folder}: {error.strerror or error}") from None
    write_atomically(path, picture.getvalue())
    return path


def _costs(axes: Axes, entrants: Mapping[str, Ledger], order: Sequence[str]) -> None:
    """Instrument time for each truly good tip, at every cost of a scan."""
    for place, name in enumerate(order):
        for offset, scan_s in zip((-0.22, 0.0, 0.22), SCANS_S, strict=True):
            ledger = entrants[name]
            found = per_good(ledger, ledger.seconds(scan_s))
            _dot(axes, found, place + offset, _colour(name), MARKERS[scan_s], 1 / 60)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("instrument minutes for each truly good tip")
    axes.set_yticks(range(len(order)), order)
    axes.invert_yaxis()
    axes.grid(axis="x", which="both", alpha=0.25)
    shown = [
        Line2D([], [], marker=MARKERS[scan_s], ls="", color="0.4", label=f"{scan_s:.0f} s a scan")
        for scan_s in SCANS_S
    ]
    kinds = (("our eye", OURS), ("as published", THEIRS), ("knows the truth", BOUND))
    shown += [Line2D([], [], color=colour, lw=3, label=kind) for kind, colour in kinds]
    axes.figure.legend(handles=shown, loc="outside lower left", ncols=6, fontsize=8, frameon=False)


def _safety(axes: Axes, entrants: Mapping[str, Ledger], order: Sequence[str]) -> None:
    """Success, filled, and false good among the declared, open."""
    for place, name in enumerate(order):
        ledger = entrants[name]
        good, declared = float(ledger.success.sum()), float(ledger.declared.sum())
        reached = share(good, ledger.success.size)
        _dot(axes, reached, place - 0.15, _colour(name), "o", 100)
        _dot(axes, share(declared - good, declared), place + 0.15, _colour(name), "x", 100)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("%   (dot: success; cross: false good)")
    axes.set_yticks([])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.25)


def _course(axes: Axes, entrants: Mapping[str, Ledger], order: Sequence[str]) -> None:
    """Share of the episodes that have a truly good tip by then."""
    times = [np.sort(entrants[name].to_good(USUAL_S)) / 60 for name in order]
    latest = max((float(one[np.isfinite(one)].max(initial=0)) for one in times), default=0.0)
    for colour, name, minutes in zip(COLOURS, order, times, strict=False):
        done = np.arange(1, minutes.size + 1) / minutes.size * 100
        ended = np.isfinite(minutes)
        # Where nobody follows the curve goes on as it is.
        reached = float(done[ended].max(initial=0))
        x = [0.0, *minutes[ended].tolist(), latest]
        y = [0.0, *done[ended].tolist(), reached]
        axes.step(x, y, where="post", color=colour, label=name)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 101)
    axes.set_xlabel(f"instrument minutes at {USUAL_S:.0f} s a scan")
    axes.set_ylabel("% of the tips confirmed and truly good")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="lower right", title=f"the first {len(order)}", title_fontsize=8)


def _dot(axes: Axes, found: Estimate, y: float, colour: str, marker: str, scale: float) -> None:
    if found.value is None or found.interval is None:
        return
    low, high = (end * scale for end in found.interval)
    value = found.value * scale
    ends = [[max(value - low, 0)], [max(high - value, 0) if np.isfinite(high) else 0]]
    axes.errorbar([value], [y], xerr=ends, fmt=marker, color=colour, ms=4, lw=1.2)


def _colour(name: str) -> str:
    if name == INFORMED:
        return BOUND
    return THEIRS if name.endswith(AS_PUBLISHED) else OURS
