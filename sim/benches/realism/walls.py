"""Molecules of carbon monoxide set in rows by hand, as on many public topographs of Cu(111)."""

from __future__ import annotations

import numpy as np

from sim.sample import Sample

#: Share of the real topographs on which there are such rows: 17 of 26.
WALL_SHARE = 0.65
#: Two lattice constants of copper: how close molecules of a wall are (nm).
SPACING_NM = 0.512
#: Straight pieces of a wall, each at a right angle to the one before: how many at most, how long.
LEGS, LEG_NM = 3, (2.0, 12.0)


def build_walls(rng: np.random.Generator, sample: Sample, side_nm: float) -> None:
    """Lay one to three walls of CO somewhere in a frame of ``side_nm`` around the origin."""
    for _ in range(int(rng.integers(1, 4))):
        place = rng.uniform(-0.4, 0.4, 2) * side_nm
        upright = rng.uniform() < 0.5
        for _ in range(int(rng.integers(1, LEGS + 1))):
            step = np.array([0.0, SPACING_NM] if upright else [SPACING_NM, 0.0])
            step *= rng.choice((-1.0, 1.0))
            for _ in range(round(rng.uniform(*LEG_NM) / SPACING_NM)):
                sample.lay_molecule(float(place[0]), float(place[1]))
                place = place + step
            upright = not upright
