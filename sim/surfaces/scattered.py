"""What lies scattered on the surface: adatoms and molecules. Lengths are nm."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sim.presets.blocks import Spread
from sim.scans.kernels import Doubles
from sim.surfaces.blocks import Adatoms, Spot
from sim.surfaces.relief import SLOT, Corners, scatter

#: Size of the cells that things are scattered in.
SCATTER_CELL_NM = 8.0
#: Lowest and highest height, smallest and largest width (nm).
Range = tuple[float, float, float, float]


def places(seed: int, per_nm2: float, area: Corners, margin: float) -> Doubles:
    """Places in ``area`` and up to ``margin`` outside: rows of x, y and four uniform numbers."""
    cell = SCATTER_CELL_NM
    low = (math.floor((area[0] - margin) / cell), math.floor((area[1] - margin) / cell))
    high = (math.floor((area[2] + margin) / cell), math.floor((area[3] + margin) / cell))
    draws = np.empty(((high[0] - low[0] + 1) * (high[1] - low[1] + 1) * SLOT, 6))
    draws = draws[: scatter(seed, low, high, per_nm2 * cell**2 / SLOT, draws)]
    draws[:, :2] *= cell
    return draws


def adatom_bumps(adatoms: Adatoms, seed: int, area: Corners, margin: float) -> Doubles:
    """Adatoms and clusters as rows for ``draw_bumps``."""
    seen = 6 * max(adatoms.sigma_nm.b, adatoms.cluster_sigma_nm.b)
    draws = places(seed, adatoms.per_nm2, area, max(margin, seen))
    lone, big = (
        (height.a, height.b, wide.a, wide.b)
        for height, wide in (
            (adatoms.height_nm, adatoms.sigma_nm),
            (adatoms.cluster_height_nm, adatoms.cluster_sigma_nm),
        )
    )
    bumps = np.empty((len(draws), 7))
    shape_adatoms(draws, adatoms.cluster_share, lone, big, bumps)
    return bumps


@njit(cache=True, nogil=True)
def shape_adatoms(draws: Doubles, share: float, lone: Range, big: Range, bumps: Doubles) -> None:
    """Write a row for ``draw_bumps`` for each of ``draws``; ``share`` of them are clusters."""
    for n in range(draws.shape[0]):
        x, y, kind, high, broad, turn = draws[n]
        cluster = kind < share
        low, top, thin, thick = big if cluster else lone
        wide = thin + (thick - thin) * broad
        # A cluster is longer one way than the other; a lone atom is round.
        tall = wide * (0.7 + 0.3 * turn) if cluster else wide
        bumps[n, 0], bumps[n, 1], bumps[n, 2] = x, y, low + (top - low) * high
        bumps[n, 3], bumps[n, 4], bumps[n, 5], bumps[n, 6] = wide, tall, math.pi * turn, 0.0


def molecule_bumps(spot: Spot, seed: int, area: Corners, margin: float) -> Doubles:
    """Molecules as rows for ``draw_bumps``."""
    draws = places(seed, spot.per_nm2, area, max(margin, 6 * max(spot.wide_nm, spot.tall_nm)))
    return spot_bumps(spot, draws, np.pi * draws[:, 4])


def spot_bumps(spot: Spot, draws: Doubles, angle: Doubles) -> Doubles:
    """A ``spot`` at each of ``draws`` (see ``places``), turned by ``angle``, for ``draw_bumps``."""
    height = stretched(spot.height_nm, draws[:, 3])
    wide, tall = (np.full_like(height, axis) for axis in (spot.wide_nm, spot.tall_nm))
    return np.column_stack([draws[:, :2], height, wide, tall, angle, np.zeros_like(height)])


def stretched(spread: Spread, uniform: Doubles) -> Doubles:
    """Uniform numbers in 0..1 stretched over a uniform spread."""
    return spread.a + (spread.b - spread.a) * uniform
