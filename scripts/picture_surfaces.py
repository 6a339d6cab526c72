"""Draw the simulated surfaces under three tips for the README; writes ``docs/surfaces.png``.

Usage: ``.venv/bin/python scripts/picture_surfaces.py``
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from drivers import Frame, ScanSettings, TunnellingPoint
from drivers.sample_map import level
from drivers.scan import Image
from sim.presets.preset import load_preset
from sim.tips.tip import Apex, Tip
from sim.world import World

ROOT = Path(__file__).resolve().parent.parent
NM = 1e-9
SEED = 3
TIPS = {
    "sharp": Tip(radius_nm=0.5),
    "blunt": Tip(radius_nm=4.0),
    "double": Tip(radius_nm=0.6, apexes=(Apex(1.1, 0.7, 0.03),)),
}


@dataclass(frozen=True, slots=True)
class View:
    """A surface, and how it is looked at."""

    preset: str
    title: str
    width_nm: float
    bias_v: float


VIEWS = (
    View("au111", "Au(111)", 40, 0.5),
    View("ag111", "Ag(111)", 30, 0.05),
    View("cu111", "CO on Cu(111)", 25, 0.05),
    View("si111_7x7", "Si(111)-7x7", 18, 1.5),
    View("hsi100", "H:Si(100)-2x1", 8, -2.0),
    View("hopg", "HOPG", 4, 0.1),
)


def scan(view: View, tip: Tip, place_nm: tuple[float, float], pixels: int) -> Image:
    """A levelled scan (m) around ``place_nm``."""
    x, y = (NM * at for at in place_nm)
    side = view.width_nm * NM
    settings = ScanSettings(
        frame=Frame(x_m=x, y_m=y, width_m=side, height_m=side),
        pixels=pixels, lines=pixels, forward_s=0.3, backward_s=0.2,
        at=TunnellingPoint(bias_v=view.bias_v, setpoint_a=1e-10),
    )  # fmt: skip
    return level(World(load_preset(view.preset), SEED, tip).scan(settings).forward)


def flattest(view: View) -> tuple[float, float]:
    """A place without a step: the colours are for what is smaller."""
    places = [(x, y) for x in range(-200, 201, 50) for y in range(-200, 201, 50)]
    relief = [np.ptp(scan(view, TIPS["blunt"], place, 32)) for place in places]
    return places[int(np.argmin(relief))]


def main() -> None:
    """Draw one column for each surface and one row for each tip."""
    figure, grid = plt.subplots(len(TIPS), len(VIEWS), figsize=(13, 6.8), layout="constrained")
    for column, view in enumerate(VIEWS):
        place = flattest(view)
        for row, (name, tip) in enumerate(TIPS.items()):
            axes, z = grid[row, column], scan(view, tip, place, 160)
            low, high = np.percentile(z, (1, 99.5))
            axes.imshow(z, cmap="YlOrBr_r", vmin=low, vmax=high)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(f"{(high - low) / 1e-12:.0f} pm black to white", fontsize=8)
            if row == 0:
                axes.set_title(f"{view.title}, {view.width_nm:g} nm", fontsize=10)
            if column == 0:
                axes.set_ylabel(name)
    figure.savefig(ROOT / "docs" / "surfaces.png", dpi=90)


if __name__ == "__main__":
    main()
