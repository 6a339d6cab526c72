"""Domains of a reconstruction: where each lies, and that it begins out of step with the next.

A reconstruction that grows from many places at once meets itself out of registry; straight walls
stay where two domains met. Lengths are nm.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sim.scans.kernels import Doubles, Floats, f32
from sim.surfaces.relief import Corners, cell_uniform

#: Rings of neighbours that can hold the nearest centre: one lies within 1.42 cells of any point.
RINGS = 2


@njit(cache=True, nogil=True)
def draw_labels(
    labels: Floats,
    level: Floats,
    origin: tuple[float, float],
    spacing: float,
    centres: Doubles,
    levels: tuple[int, int],
) -> None:
    """Number every point by its level (from ``levels``, first and count) and nearest centre."""
    ny, nx = level.shape
    count = centres.shape[0]
    for j in range(ny):
        y = origin[1] + j * spacing
        for i in range(nx):
            x = origin[0] + i * spacing
            nearest, least = 0, np.inf
            for c in range(count):
                dx, dy = centres[c, 0] - x, centres[c, 1] - y
                if dx * dx + dy * dy < least:
                    nearest, least = c, dx * dx + dy * dy
            k = int(np.floor(level[j, i] + f32(0.5))) - levels[0]
            labels[j, i] = min(max(k, 0), levels[1] - 1) * count + nearest


class Domains:
    """The domains of one sample, each around a centre of its own.

    Args:
        size_nm: mean distance of the centres.
        seed: which sample.
    """

    def __init__(self, size_nm: float, seed: int) -> None:
        self._size = size_nm
        self._seed = seed

    def near(self, area: Corners) -> Doubles:
        """All domains that reach into ``area``: rows of x, y and the two numbers of a domain."""
        size = self._size
        low = [math.floor(edge / size) - RINGS for edge in area[:2]]
        high = [math.floor(edge / size) + RINGS for edge in area[2:]]
        rows = np.array(
            [
                (
                    *(size * (n + cell_uniform(self._seed, i, j, k)) for k, n in enumerate((i, j))),
                    i,
                    j,
                )
                for i in range(low[0], high[0] + 1)
                for j in range(low[1], high[1] + 1)
            ]
        )
        outside = np.maximum(np.maximum(area[:2] - rows[:, :2], rows[:, :2] - area[2:]), 0.0)
        across = np.maximum(np.abs(rows[:, :2] - area[:2]), np.abs(rows[:, :2] - area[2:]))
        # Who is farther from the nearest corner than another from the farthest is never nearest.
        reaching: Doubles = rows[np.hypot(*outside.T) <= np.hypot(*across.T).min()]
        return reaching

    def phase(self, level: int, domain: Doubles, steps: int) -> tuple[float, float]:
        """Where the lattice begins in a domain on ``level``: multiples of a cell over ``steps``.

        Terraces of a (111) crystal are stacked a third of both lattice vectors farther on.
        """
        i, j = int(domain[2]), int(domain[3])
        draws = (cell_uniform(self._seed + 1, i, j, 2 * level + axis) for axis in (0, 1))
        u, v = ((math.floor(steps * draw) + level / 3) / steps % 1.0 for draw in draws)
        return u, v


def nearest(centres: Doubles, x: Doubles, y: Doubles) -> np.ndarray[tuple[int], np.dtype[np.int_]]:
    """Row of the nearest of ``centres`` for each point, shape (n,)."""
    dx, dy = (centres[None, :, axis] - at[:, None] for axis, at in enumerate((x, y)))
    found: np.ndarray[tuple[int], np.dtype[np.int_]] = np.argmin(dx * dx + dy * dy, axis=1)
    return found
