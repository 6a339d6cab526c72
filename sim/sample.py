"""The sample: an endless surface that is a function of (seed, x, y), and the marks left on it.

Coordinates are nm in the frame of the sample; the world adds where the scanner looks. Step, ridge
and adatom geometry of Au(111): Barth et al., Phys. Rev. B 42, 9307 (1990).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.blocks import Spread
from sim.kernels import Doubles, Floats
from sim.preset import Preset
from sim.relief import (
    NODE,
    SLOT,
    cell_uniform,
    draw_bumps,
    draw_herringbone,
    draw_terraces,
    scatter,
)

#: Size of the cells that adatoms are scattered in.
ADATOM_CELL_NM = 8.0


class Bump(NamedTuple):
    """A mound (positive height) or pit on the surface; lengths in nm, see ``draw_bumps``."""

    x: float
    y: float
    height: float
    wide: float
    tall: float
    angle: float = 0.0
    flatness: float = 0.0

    def moved(self, dx: float, dy: float) -> Bump:
        """The same bump elsewhere."""
        return self._replace(x=self.x + dx, y=self.y + dy)


class Box(NamedTuple):
    """A rectangle of the sample in nm."""

    x0: float
    y0: float
    x1: float
    y1: float

    def grown(self, margin: float) -> Box:
        """The box with ``margin`` added on every side."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def holds(self, other: Box) -> bool:
        """Whether ``other`` lies inside."""
        return (
            self.x0 <= other.x0
            and self.y0 <= other.y0
            and self.x1 >= other.x1
            and self.y1 >= other.y1
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """Bare heights on a grid.

    Attributes:
        height: nm, shape (ny, nx), y growing from row to row.
        origin: sample coordinates (nm) of the first point.
        spacing: distance between points (nm).
    """

    height: Floats
    origin: tuple[float, float]
    spacing: float


class Sample:
    """One sample; the same preset and seed give the same surface.

    Attributes:
        revision: grows with every mark.
        tilt: slope of the mounted sample along x and y.
    """

    def __init__(self, preset: Preset, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self._preset = preset
        self._seed = int(rng.integers(2**31))
        self._step_course = _direction(rng)
        self._ridge_course = _direction(rng)
        self._ridge_scales = self._scales_of_ridges(float(rng.uniform()))
        self._ridge_shape = self._shape_of_ridges()
        self._wander = self._draw_wander(rng)
        degrees = [preset.surface.tilt_deg.draw(rng) for _ in range(2)]
        self.tilt = (math.tan(math.radians(degrees[0])), math.tan(math.radians(degrees[1])))
        self._marks = np.empty((0, len(Bump._fields)))
        self.revision = 0

    @property
    def marks(self) -> Doubles:
        """All marks so far, one ``Bump`` per row."""
        return self._marks

    def add(self, marks: list[Bump]) -> None:
        """Leave ``marks`` on the surface for good."""
        if marks:
            self._marks = np.concatenate([self._marks, np.array(marks, dtype=float)])
            self.revision += 1

    def tile(self, box: Box, spacing: float, halo: float = 0.0) -> Tile:
        """The heights over ``box``, as a tip with this ``halo`` around adsorbates senses them."""
        # Nodes of the slow fields sit at multiples of their distance, so that tiles agree.
        block = NODE * spacing
        origin = (math.floor(box.x0 / block) * block, math.floor(box.y0 / spacing) * spacing)
        nx = math.ceil((box.x1 - origin[0]) / spacing) + 2
        ny = math.ceil((box.y1 - origin[1]) / spacing) + 2
        area = Box(*origin, origin[0] + nx * spacing, origin[1] + ny * spacing)
        height = np.zeros((ny, nx), np.float32)
        base, edges = self._edges(area)
        height += np.float32(base)
        draw_terraces(height, origin, spacing, self._step_course, edges, self._preset.steps.edge_nm)
        draw_herringbone(
            height,
            origin,
            spacing,
            self._ridge_course,
            self._wander,
            self._ridge_scales,
            self._ridge_shape,
        )
        draw_bumps(height, origin, spacing, self._adatoms(area), halo)
        # Marks are metal like the terrace: an adsorbate on the tip sees no moat around them.
        draw_bumps(height, origin, spacing, self._marks_in(area), 0.0)
        return Tile(height, origin, spacing)

    def _draw_wander(self, rng: np.random.Generator) -> Doubles:
        ridges = self._preset.reconstruction
        rows = []
        for _ in range(6):
            angle = rng.uniform(0, 2 * math.pi)
            k = 2 * math.pi / ridges.wander_period_nm.draw(rng)
            phase = rng.uniform(0, 2 * math.pi)
            rows.append(
                [ridges.wander_nm, k * math.cos(angle), k * math.sin(angle), phase],
            )
        return np.array(rows)

    def _scales_of_ridges(self, phase: float) -> Doubles:
        ridges = self._preset.reconstruction
        return np.array(
            [
                self._preset.steps.height_nm,
                ridges.amplitude_nm,
                ridges.period_nm,
                ridges.elbow_spacing_nm,
                ridges.elbow_rounding,
                math.radians(ridges.bend_deg),
                ridges.step_shift,
                phase,
            ]
        )

    def _shape_of_ridges(self) -> Floats:
        ridges = self._preset.reconstruction
        period = ridges.period_nm
        return np.array(
            [
                ridges.hcp_width_nm / 2 / period,
                period / ridges.ridge_width_nm,
                ridges.hcp_depth,
                ridges.pinch_nm / period,
            ],
            np.float32,
        )

    def _level(self, k: int) -> int:
        """Height of the ``k``-th terrace in layers, relative to an arbitrary one."""
        steps = self._preset.steps
        # Rounding a jittered ramp gives levels without adding up steps from the origin.
        return math.floor(steps.trend * k + steps.jitter * cell_uniform(self._seed, k, 0, 0))

    def _edges(self, area: Box) -> tuple[int, Doubles]:
        """Level at the lower end of ``area`` and the steps inside it, as rows for the kernel."""
        steps = self._preset.steps
        cx, cy = self._step_course
        corners = [x * cx + y * cy for x in (area.x0, area.x1) for y in (area.y0, area.y1)]
        reach = 3 * (steps.meander_nm.b + steps.kink_nm.b) + steps.cell_nm
        first = math.floor((min(corners) - reach) / steps.cell_nm)
        last = math.floor((max(corners) + reach) / steps.cell_nm)
        rows = []
        for k in range(first, last + 1):
            rise = self._level(k + 1) - self._level(k)
            if rise:
                rows.append(self._edge(k, rise))
        return self._level(first), np.array(rows).reshape(-1, 8)

    def _edge(self, k: int, rise: int) -> list[float]:
        steps = self._preset.steps
        # Each edge has a generator of its own, so that it is the same from every side.
        rng = np.random.default_rng([self._seed, k + 2**31])
        place = k + 0.5 + steps.position_jitter * rng.uniform(-0.5, 0.5)
        return [
            place * steps.cell_nm,
            float(rise),
            steps.meander_nm.draw(rng),
            2 * math.pi / steps.meander_period_nm.draw(rng),
            rng.uniform(0, 2 * math.pi),
            steps.kink_nm.draw(rng),
            1 / steps.kink_period_nm.draw(rng),
            rng.uniform(),
        ]

    def _adatoms(self, area: Box) -> Doubles:
        adatoms = self._preset.adatoms
        near = area.grown(6 * max(adatoms.sigma_nm.b, adatoms.cluster_sigma_nm.b))
        low = (math.floor(near.x0 / ADATOM_CELL_NM), math.floor(near.y0 / ADATOM_CELL_NM))
        high = (math.floor(near.x1 / ADATOM_CELL_NM), math.floor(near.y1 / ADATOM_CELL_NM))
        chance = adatoms.per_nm2 * ADATOM_CELL_NM**2 / SLOT
        draws = np.empty(((high[0] - low[0] + 1) * (high[1] - low[1] + 1) * SLOT, 6))
        draws = draws[: scatter(self._seed, low, high, chance, draws)]
        cluster = draws[:, 2] < adatoms.cluster_share
        bumps = np.zeros((len(draws), len(Bump._fields)))
        bumps[:, :2] = draws[:, :2] * ADATOM_CELL_NM
        bumps[:, 2] = np.where(
            cluster,
            _spread(adatoms.cluster_height_nm, draws[:, 3]),
            _spread(adatoms.height_nm, draws[:, 3]),
        )
        sigma = np.where(
            cluster,
            _spread(adatoms.cluster_sigma_nm, draws[:, 4]),
            _spread(adatoms.sigma_nm, draws[:, 4]),
        )
        bumps[:, 3] = sigma
        # A cluster is longer one way than the other; a lone atom is round.
        bumps[:, 4] = sigma * np.where(cluster, 0.7 + 0.3 * draws[:, 5], 1.0)
        bumps[:, 5] = math.pi * draws[:, 5]
        return bumps

    def _marks_in(self, area: Box) -> Doubles:
        marks = self._marks
        reach = 6 * np.maximum(marks[:, 3], marks[:, 4])
        near = (marks[:, 0] > area.x0 - reach) & (marks[:, 0] < area.x1 + reach)
        near &= (marks[:, 1] > area.y0 - reach) & (marks[:, 1] < area.y1 + reach)
        return marks[near]


def _direction(rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * math.pi)
    return math.cos(angle), math.sin(angle)


def _spread(spread: Spread, uniform: Doubles) -> Doubles:
    """Uniform numbers in 0..1 stretched over a uniform spread."""
    return spread.a + (spread.b - spread.a) * uniform
