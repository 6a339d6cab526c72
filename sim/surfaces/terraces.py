"""Terraces: where the steps of the surface run, and on which level a point lies. Lengths are nm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim.scans.kernels import Doubles
from sim.surfaces.blocks import Steps
from sim.surfaces.relief import Corners, Tile, cell_uniform, draw_terraces


@dataclass(frozen=True, slots=True)
class Staircase:
    """The steps in reach of one area.

    Attributes:
        base: level at the lower end of the area.
        edges: one row per step, see ``draw_terraces``.
        course: unit vector across the steps.
        edge_nm: width of an edge.
    """

    base: int
    edges: Doubles
    course: tuple[float, float]
    edge_nm: float

    def draw(self, tile: Tile) -> None:
        """Write the level, in layers, at every point of ``tile``."""
        steps = self.course, self.base, self.edges, self.edge_nm
        draw_terraces(tile.height, tile.origin, tile.spacing, *steps)

    def levels(self) -> range:
        """All levels that occur."""
        reached = self.base + np.concatenate([[0.0], self.edges[:, 1].cumsum()])
        return range(round(reached.min()), round(reached.max()) + 1)

    def level_at(self, x: Doubles, y: Doubles) -> Doubles:
        """The level at each point."""
        level = np.full(x.shape, float(self.base))
        for edge, past in zip(self.edges, self.past_nm(x, y), strict=True):
            level += edge[1] * (past > 0)
        return level

    def past_nm(self, x: Doubles, y: Doubles) -> list[Doubles]:
        """How far each point lies past every step, measured along the course."""
        across = x * self.course[0] + y * self.course[1]
        along = y * self.course[0] - x * self.course[1]
        distances = []
        for place, _, swing, k, phase, kink, rate, start in self.edges:
            turns = rate * along + start
            triangle = 4 * np.abs(turns - np.floor(turns + 0.5)) - 1
            distances.append(across - (place + swing * np.sin(k * along + phase) + kink * triangle))
        return distances


class Terraces:
    """The steps of a whole sample.

    Args:
        steps: their numbers.
        seed: which sample.
        course: unit vector across the steps.
    """

    def __init__(self, steps: Steps, seed: int, course: tuple[float, float]) -> None:
        self._steps = steps
        self._seed = seed
        self._drawn: dict[int, list[float]] = {}
        self.course = course

    def over(self, area: Corners, margin: float) -> Staircase:
        """The steps inside ``area`` and up to ``margin`` outside."""
        steps = self._steps
        cx, cy = self.course
        corners = [x * cx + y * cy for x in (area[0], area[2]) for y in (area[1], area[3])]
        reach = 3 * (steps.meander_nm.b + steps.kink_nm.b) + steps.cell_nm + margin
        first = math.floor((min(corners) - reach) / steps.cell_nm)
        last = math.floor((max(corners) + reach) / steps.cell_nm)
        rows = []
        for k in range(first, last + 1):
            rise = self._level(k + 1) - self._level(k)
            if rise:
                if k not in self._drawn:
                    self._drawn[k] = self._edge(k, rise)
                rows.append(self._drawn[k])
        edges = np.array(rows).reshape(-1, 8)
        return Staircase(self._level(first), edges, self.course, steps.edge_nm)

    def _level(self, k: int) -> int:
        """Height of the ``k``-th terrace in layers, relative to an arbitrary one."""
        steps = self._steps
        # Rounding a jittered ramp gives levels without adding up steps from the origin.
        return math.floor(steps.trend * k + steps.jitter * cell_uniform(self._seed, k, 0, 0))

    def _edge(self, k: int, rise: int) -> list[float]:
        steps = self._steps
        # Each edge has a generator of its own, so that it is the same from every side.
        rng = np.random.default_rng([self._seed, k + 2**31])
        place = k + 0.5 + steps.position_jitter * rng.uniform(-0.5, 0.5)
        upper = max(self._level(k), self._level(k + 1))
        rough = 1.0 if upper % 2 else steps.even_share
        return [
            place * steps.cell_nm,
            float(rise),
            rough * steps.meander_nm.draw(rng),
            2 * math.pi / steps.meander_period_nm.draw(rng),
            rng.uniform(0, 2 * math.pi),
            rough * steps.kink_nm.draw(rng),
            1 / steps.kink_period_nm.draw(rng),
            rng.uniform(),
        ]
