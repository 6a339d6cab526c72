"""Draw the picture of the README: one simulated repair, look by look.

Usage: ``.venv/bin/python scripts/picture.py [SEED]``; writes ``docs/repair.png``.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from agent.config import Config
from agent.journal import Journal
from agent.repair import repair
from agent.result import Progress, RepairResult
from drivers import EnvelopedMicroscope, Limits, Scan, ScanLine, ScanSettings, open_microscope
from drivers.actions import Action, Indentation, Pulse
from drivers.sample_map import level
from policies.conditioner import EscalationRule
from policies.history import Acted, Looked
from policies.scorer import Scorer

ROOT = Path(__file__).resolve().parent.parent
GOOD, BAD = "#2e7d4f", "#b3402a"
COLUMNS = 8


class Filmed(EnvelopedMicroscope):
    """A microscope that keeps every scan it took."""

    def __init__(self, inner: EnvelopedMicroscope) -> None:
        super().__init__(inner, Limits())
        self.film: list[Scan] = []

    async def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        """Scan, and keep what arrived."""
        lines: list[ScanLine] = []
        try:
            async for line in super().scan(settings):
                lines.append(line)
                yield line
        finally:
            self.film.append(Scan.from_lines(settings, lines))


async def film(seed: int) -> tuple[list[Scan], list[Looked | Acted], RepairResult]:
    """Repair the simulated tip of ``seed`` and keep pictures and history."""
    config = Config()
    history: list[Looked | Acted] = []

    def listen(progress: Progress) -> None:
        if progress.event is not None:
            history.append(progress.event)

    microscope = Filmed(await open_microscope("sim:au111", seed=seed))
    with tempfile.TemporaryDirectory() as folder, Journal.create(Path(folder), {}) as journal:
        policy = EscalationRule(config.repair.at)
        result = await repair(microscope, Scorer.load(), policy, config.repair, journal, listen)
    return microscope.film, history, result


def caption(action: Action | None) -> str:
    """What was done before a look, in few words."""
    match action:
        case Indentation():
            return f"indent {action.depth_m / 1e-9:.2f} nm"
        case Pulse():
            return f"pulse {action.bias_v:+.0f} V"
        case _:
            return "fresh spot"


def draw_look(axes: Axes, scan: Scan, look: Looked, before: str) -> None:
    """One scan with its verdict."""
    z = level(scan.forward)
    low, high = np.nanpercentile(z, (1, 99))
    axes.imshow(z, cmap="YlOrBr_r", vmin=low, vmax=high)
    good = look.report.quality >= 0.5
    verdict = "good" if good else look.report.worst.value
    axes.set_title(before, fontsize=8, color="#444444", pad=3)
    axes.set_xlabel(
        f"{verdict}  {look.report.quality:.2f}", fontsize=9, color=GOOD if good else BAD, labelpad=3
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#ececec")
    for side in axes.spines.values():
        side.set_color(GOOD if good else BAD)
        side.set_linewidth(2)


def main() -> None:
    """Film a repair and draw it."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    scans, history, result = asyncio.run(film(seed))
    looks = [event for event in history if isinstance(event, Looked)]
    captions = ["as found"]
    for earlier, later in itertools.pairwise(history):
        if isinstance(later, Looked):
            captions.append(caption(earlier.action if isinstance(earlier, Acted) else None))
    rows = -(-len(looks) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(1.62 * COLUMNS, 2.05 * rows + 0.45))
    for axes in grid.flat[len(looks) :]:
        axes.set_axis_off()
    for axes, scan, look, before in zip(grid.flat, scans, looks, captions, strict=False):
        draw_look(axes, scan, look, before)
    figure.suptitle(
        f"simulated Au(111), 24 nm scans: {result.actions} actions, "
        f"{result.instrument_s / 60:.0f} min of instrument time, {result.outcome} "
        f"on {result.confirmed_on} fresh spots",
        fontsize=11,
    )
    figure.tight_layout()
    path = ROOT / "docs" / "repair.png"
    figure.savefig(path, dpi=100)
    print(f"{path}: {len(looks)} looks, {result.outcome}")


if __name__ == "__main__":
    main()
