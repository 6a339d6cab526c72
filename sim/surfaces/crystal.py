"""A periodic pattern on the terraces, as a tip of some radius resolves it. Lengths are nm."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sim.scans.kernels import ONE, Doubles, Floats, f32
from sim.surfaces.blocks import Periodic
from sim.surfaces.cells import POINTS, Cell
from sim.surfaces.domains import Domains, draw_labels, nearest
from sim.surfaces.relief import Corners, Tile, cell_uniform
from sim.surfaces.scattered import SCATTER_CELL_NM, places, spot_bumps
from sim.surfaces.terraces import Staircase
from sim.surfaces.view import View

#: Waves of the lattice fade out between these shares of the sampling frequency. Real instruments
#: alias a little less, too, since the feedback does not follow what passes within a pixel.
PASS, STOP = 0.45, 0.6
#: The one domain of a lattice that has no others.
WHOLE = np.zeros((1, 4))


@njit(fastmath=True, cache=True, nogil=True)
def draw_cells(
    texture: Floats,
    level: Floats,
    origin: tuple[float, float],
    spacing: float,
    frames: Doubles,
    lowest: int,
    table: Floats,
) -> None:
    """Add the periodic ``table`` (heights over fractional coordinates, closed) to ``texture``.

    Row ``k`` of ``frames`` turns x and y on level ``lowest + k`` into fractional coordinates:
    (u per x, u per y, u at the origin, then the same for v).
    """
    ny, nx = texture.shape
    points = table.shape[0] - 1
    last = -1
    m = frames[0]
    for j in range(ny):
        y = origin[1] + j * spacing
        for i in range(nx):
            k = int(np.floor(level[j, i] + f32(0.5))) - lowest
            if k != last:
                last = min(max(k, 0), frames.shape[0] - 1)
                m = frames[last]
            x = origin[0] + i * spacing
            # In double precision: far away there are many cells to be left out.
            u = m[0] * x + m[1] * y + m[2]
            v = m[3] * x + m[4] * y + m[5]
            s = f32((u - np.floor(u)) * points)
            t = f32((v - np.floor(v)) * points)
            p = min(int(s), points - 1)
            q = min(int(t), points - 1)
            s -= f32(p)
            t -= f32(q)
            near = table[p, q] + t * (table[p, q + 1] - table[p, q])
            far = table[p + 1, q] + t * (table[p + 1, q + 1] - table[p + 1, q])
            texture[j, i] += near + s * (far - near)


@njit(fastmath=True, cache=True, nogil=True)
def hide(texture: Floats, bare: Floats, height: Floats, cover: float) -> None:
    """Take the lattice off where ``height`` is no longer that of the ``bare`` terrace."""
    per = f32(1.0 / cover)
    for j in range(texture.shape[0]):
        for i in range(texture.shape[1]):
            d = (height[j, i] - bare[j, i]) * per
            texture[j, i] /= ONE + d * d


class Crystal:
    """The lattice of one sample and the defects in it.

    Args:
        numbers: how it lies and how it is resolved.
        cell: what repeats.
        course: unit vector across the steps.
        rng: decides where the lattice begins, on every level, and where its defects are.
    """

    def __init__(
        self,
        numbers: Periodic,
        cell: Cell,
        course: tuple[float, float],
        rng: np.random.Generator,
    ) -> None:
        self._numbers = numbers
        self._cell = cell
        self._angle = math.atan2(course[1], course[0])
        self._angle += math.radians(numbers.turn_deg.draw(rng))
        self._seed = int(rng.integers(2**31))
        self._domains = Domains(cell.domain_nm, self._seed) if cell.domain_nm else None
        self._table: tuple[object, Floats] = (None, np.empty((0, 0), np.float32))

    @property
    def polar(self) -> bool:
        """Whether the bias changes what is seen."""
        return self._cell.polar

    def turn(self, level: int) -> float:
        """Angle (rad) of the first lattice vector on ``level``."""
        quarter = self._cell.quarter_turns and level % 2
        return self._angle + (math.pi / 2 if quarter else 0.0)

    def draw(self, tile: Tile, texture: Floats, stairs: Staircase, view: View) -> None:
        """Add the lattice to ``texture``; the heights of ``tile`` are still levels."""
        levels = stairs.levels()
        domains = self._near(tile.corners)
        frames = np.array([self._frame(level, one) for level in levels for one in domains])
        table = self._seen(view, tile.spacing)
        labels, lowest = tile.height, levels.start
        if len(domains) > 1:
            labels, lowest = np.empty_like(tile.height), 0
            span = levels.start, len(levels)
            draw_labels(labels, tile.height, tile.origin, tile.spacing, domains, span)
        draw_cells(texture, labels, tile.origin, tile.spacing, frames, lowest, table)

    def hide(self, texture: Floats, bare: Floats, height: Floats) -> None:
        """Take the lattice off where something lies on the ``bare`` terraces."""
        hide(texture, bare, height, self._numbers.cover_nm)

    def defects(self, tile: Tile, stairs: Staircase) -> list[tuple[Doubles, float]]:
        """Defects in and near ``tile``: rows for ``draw_bumps``, and the halo of their kind."""
        kinds = []
        for k, (spot, sites) in enumerate(self._cell.defects):
            margin = 6 * max(spot.wide_nm, spot.tall_nm) + float(np.abs(self._cell.basis).max())
            draws = places(self._seed + 1 + k, spot.per_nm2, tile.corners, margin)
            level = stairs.level_at(draws[:, 0], draws[:, 1]).astype(int)
            x0, y0, x1, y1 = tile.corners
            reach = margin + SCATTER_CELL_NM
            domains = self._near((x0 - reach, y0 - reach, x1 + reach, y1 + reach))
            patch = np.column_stack([level, nearest(domains, draws[:, 0], draws[:, 1])])
            angle = np.empty(len(draws))
            for one, domain in np.unique(patch, axis=0):
                here = (patch == (one, domain)).all(axis=1)
                frame = self._frame(int(one), domains[domain])
                draws[here] = _snapped(draws[here], frame, sites)
                angle[here] = self.turn(int(one))
            kinds.append((spot_bumps(spot, draws, angle), spot.halo))
        return kinds

    def _near(self, area: Corners) -> Doubles:
        """The domains that reach into ``area``."""
        return WHOLE if self._domains is None else self._domains.near(area)

    def _frame(self, level: int, domain: Doubles) -> Doubles:
        """From x and y to fractional coordinates: rows (per x, per y, at the origin)."""
        c, s = math.cos(self.turn(level)), math.sin(self.turn(level))
        inverse = np.linalg.inv(self._cell.basis @ np.array([[c, s], [-s, c]])).T
        if self._domains is None:
            # Registry between terraces is a matter of chance.
            start = [cell_uniform(self._seed, level, 0, k) for k in range(2)]
        else:
            start = list(self._domains.phase(level, domain, self._cell.steps))
        return np.column_stack([inverse, start]).ravel()

    def _seen(self, view: View, spacing: float) -> Floats:
        """Heights over fractional coordinates as ``view`` resolves them, the first row repeated."""
        key = view, spacing
        if key != self._table[0]:
            heights = view.lattice_gain * self._cell.heights(view.bias_v)
            across = self._wave_numbers()
            law = self._numbers
            share = law.dirty_apex_share if view.dirty else law.apex_share
            variance = share * view.radius_nm / view.decay_per_nm
            if variance:
                # What a radius blurs is the exponential of the height, as for the terraces.
                seen = _filtered(
                    np.exp(view.decay_per_nm * heights), np.exp(-0.5 * variance * across**2)
                )
                heights = np.log(seen) / view.decay_per_nm
            # Points too far apart for the lattice would show another one.
            periods = across * max(view.pixel_nm, spacing) / (2 * math.pi)
            heights = _filtered(heights, np.clip((STOP - periods) / (STOP - PASS), 0.0, 1.0))
            heights -= heights.mean()
            self._table = key, np.pad(heights, (0, 1), mode="wrap").astype(np.float32)
        return self._table[1]

    def _wave_numbers(self) -> Doubles:
        """Length of the wave vectors (1/nm) of the cell's Fourier components."""
        back = 2 * math.pi * np.linalg.inv(self._cell.basis)
        h = np.fft.fftfreq(POINTS, 1 / POINTS)[:, None]
        k = np.fft.rfftfreq(POINTS, 1 / POINTS)[None, :]
        across: Doubles = np.hypot(*(row[0] * h + row[1] * k for row in back))
        return across


def _snapped(draws: Doubles, frame: Doubles, sites: Doubles) -> Doubles:
    """``draws`` moved to the ``sites`` of the cells that they fell into."""
    frame = frame.reshape(2, 3)
    cells = np.floor(draws[:, :2] @ frame[:, :2].T + frame[:, 2])
    chosen = sites[(draws[:, 2] * len(sites)).astype(int)]
    moved = draws.copy()
    moved[:, :2] = np.linalg.solve(frame[:, :2], (cells + chosen - frame[:, 2]).T).T
    return moved


def _filtered(cell: Doubles, gain: Doubles) -> Doubles:
    """``cell`` with its Fourier components weighed by ``gain``."""
    return np.fft.irfft2(np.fft.rfft2(cell) * gain, cell.shape)
