"""Compiled passes that draw the bare surface on a grid: terraces and bumps.

Lengths are nm. ``origin`` is (x, y) of the first grid point and ``spacing`` the distance between
points; x grows along a row, y from row to row. What is drawn depends on x and y alone, so that any
two tiles agree where they overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from sim.scans.kernels import DEEPEST, ONE, Doubles, Floats, f32, fast_exp, hash32, sine, u32

# Slow fields (meander, wander) are computed at every NODE-th point and drawn straight in between.
NODE = 16
# Places per cell where an adatom may sit; more would be closer to Poisson, and slower.
SLOT = 4
#: Lowest x and y, then highest x and y of an area.
Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Tile:
    """The bare surface on a grid.

    Attributes:
        height: nm, shape (ny, nx), y growing from row to row.
        origin: sample coordinates (nm) of the first point.
        spacing: distance between points (nm).
        texture: nm of the same shape: what only the last atom of the tip resolves (a lattice) or
            senses without anything being there (standing waves), to be added after the blur that
            the tip's radius makes of ``height``; None where there is nothing of the kind.
    """

    height: Floats
    origin: tuple[float, float]
    spacing: float
    texture: Floats | None = None

    @classmethod
    def blank(cls, box: Corners, spacing: float, textured: bool) -> Tile:
        """A flat tile that holds ``box``."""
        # Nodes of the slow fields sit at multiples of their distance, so that tiles agree.
        block = NODE * spacing
        x, y = math.floor(box[0] / block) * block, math.floor(box[1] / spacing) * spacing
        nx = math.ceil((box[2] - x) / spacing) + 2
        ny = math.ceil((box[3] - y) / spacing) + 2
        texture = np.zeros((ny, nx), np.float32) if textured else None
        return cls(np.zeros((ny, nx), np.float32), (x, y), spacing, texture)

    @property
    def corners(self) -> Corners:
        """The area that the tile covers."""
        (x, y), (ny, nx) = self.origin, self.height.shape
        return x, y, x + nx * self.spacing, y + ny * self.spacing


def direction(rng: np.random.Generator) -> tuple[float, float]:
    """A random unit vector."""
    angle = rng.uniform(0, 2 * math.pi)
    return math.cos(angle), math.sin(angle)


@njit(inline="always", cache=True)
def cell_hash(seed: int, i: int, j: int, k: int) -> np.uint32:
    """Well-mixed bits of draw ``k`` in cell (i, j)."""
    h = hash32(u32(seed) ^ u32(i) * u32(0x9E3779B1))
    h = hash32(h ^ u32(j) * u32(0x85EBCA77))
    return hash32(h ^ u32(k) * u32(0xC2B2AE3D))


@njit(inline="always", cache=True)
def cell_uniform(seed: int, i: int, j: int, k: int) -> float:
    """Uniform number in 0..1 of draw ``k`` in cell (i, j)."""
    return cell_hash(seed, i, j, k) * (1.0 / 4294967296.0)


@njit(inline="always")
def triangle(x: float) -> float:
    """Triangular wave of period 1 between -1 and 1."""
    return float(4.0 * abs(x - np.floor(x + 0.5)) - 1.0)


@njit(cache=True, nogil=True, forceinline=True)
def crests(k: float, phase: float, first: float, step: float, out: Doubles) -> None:
    """Sine and cosine of ``k x + phase`` at even steps, into ``out`` (2, n).

    A plane wave at every point of a grid is a sum of products of one such row for x and one for y,
    which spares most of the sines.
    """
    turns = k / (2 * math.pi)
    for quarter in range(2):
        start = phase / (2 * math.pi) + 0.25 * quarter
        row = out[quarter]
        for i in range(row.size):
            row[i] = sine(turns * (first + step * i) + start)


@njit(cache=True, nogil=True, forceinline=True)
def edge_waves(
    grid: tuple[float, float, float],
    shape: tuple[int, int],
    course: tuple[float, float],
    edges: Doubles,
) -> tuple[Doubles, Doubles]:
    """Waves of the meanders along x at the nodes of a row, and along y at all rows.

    ``grid`` is (x and y of the first point, spacing), ``shape`` (rows, columns) of it. Both results
    are (edges, 2, points); see ``edge_nodes`` and ``crests``.
    """
    x, y, spacing = grid
    columns = np.empty((edges.shape[0], 2, shape[1] // NODE + 2))
    rows = np.empty((edges.shape[0], 2, shape[0]))
    for s in range(edges.shape[0]):
        k = edges[s, 3]
        crests(-k * course[1], 0.0, x, NODE * spacing, columns[s])
        crests(k * course[0], edges[s, 4], y, spacing, rows[s])
    return columns, rows


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def edge_nodes(
    x: float,
    y: float,
    spacing: float,
    course: tuple[float, float],
    edge: Doubles,
    columns: Doubles,
    wave: tuple[float, float],
    distance: Doubles,
) -> None:
    """Signed distance from a step edge at the nodes of the row that begins at (x, y).

    ``columns`` are its ``edge_waves`` along x, ``wave`` is (sine, cosine) of those at y.
    """
    for c in range(distance.size):
        along = x + c * NODE * spacing
        t = y * course[0] - along * course[1]
        bend = edge[2] * (wave[0] * columns[1, c] + wave[1] * columns[0, c])
        bend += edge[5] * triangle(edge[6] * t + edge[7])
        distance[c] = along * course[0] + y * course[1] - edge[0] - bend


@njit(fastmath=True, cache=True, nogil=True)
def draw_terraces(
    level: Floats,
    origin: tuple[float, float],
    spacing: float,
    course: tuple[float, float],
    base: int,
    edges: Doubles,
    edge_nm: float,
) -> None:
    """Write the level of the terraces to ``level`` (ny, nx), counted in monatomic layers.

    ``course`` is the unit vector across the steps, ``base`` the level at their lower end. Rows of
    ``edges``: position along it, change of level, then amplitude, wave number and phase of the
    meander and of the kinks.
    """
    ny, nx = level.shape
    nodes = nx // NODE + 2
    distance, terrace = np.empty(nodes), np.empty(nodes, np.float32)
    sharp = f32(1.0 / edge_nm)
    # Where the logistic edge has become flat to a millionth of a layer.
    wide = 14.0 * edge_nm
    x, y = origin
    columns, rows = edge_waves((x, y, spacing), (ny, nx), course, edges)
    for j in range(ny):
        row = level[j]
        row[:] = f32(0)
        terrace[:] = f32(base)
        for s in range(edges.shape[0]):
            wave = rows[s, 0, j], rows[s, 1, j]
            edge_nodes(x, y + j * spacing, spacing, course, edges[s], columns[s], wave, distance)
            rise = f32(edges[s, 1])
            for c in range(nodes - 1):
                near = distance[c]
                far = distance[c + 1]
                # Far from the edge the terrace is flat: no exponentials there.
                if near > wide and far > wide:
                    terrace[c] += rise
                elif near > -wide or far > -wide:
                    climb(row[c * NODE : (c + 1) * NODE], near, far, sharp, rise)
        for c in range(nodes - 1):
            span = row[c * NODE : (c + 1) * NODE]
            for i in range(span.size):
                span[i] += terrace[c]


@njit(fastmath=True, inline="always")
def climb(span: Floats, near: float, far: float, sharp: np.float32, rise: np.float32) -> None:
    """Add the logistic edge of a step to the points between two nodes."""
    start = f32(near)
    slope = f32((far - near) / NODE)
    for i in range(span.size):
        r = (start + slope * f32(i)) * sharp
        r = min(max(r, f32(-30)), f32(30))
        span[i] += rise / (ONE + fast_exp(-r))


@njit(cache=True, nogil=True)
def scatter(
    seed: int, low: tuple[int, int], high: tuple[int, int], chance: float, draws: Doubles
) -> int:
    """Fill ``draws`` with the adatoms of the cells ``low`` to ``high``, inclusive.

    Each of the SLOT places of a cell is taken with probability ``chance``. Rows become (x, y in
    cells, then four uniform numbers); returns how many there are.
    """
    n = 0
    for j in range(low[1], high[1] + 1):
        for i in range(low[0], high[0] + 1):
            for s in range(SLOT):
                if cell_uniform(seed, i, j, 8 * s) >= chance:
                    continue
                draws[n, 0] = i + cell_uniform(seed, i, j, 8 * s + 1)
                draws[n, 1] = j + cell_uniform(seed, i, j, 8 * s + 2)
                for k in range(4):
                    draws[n, 2 + k] = cell_uniform(seed, i, j, 8 * s + 3 + k)
                n += 1
    return n


@njit(fastmath=True, cache=True, nogil=True)
def draw_bumps(
    height: Floats, origin: tuple[float, float], spacing: float, bumps: Doubles, halo: float
) -> None:
    """Add bumps to ``height`` (ny, nx).

    Rows of ``bumps``: x, y, height, the two half axes, angle, flatness. Flatness 0 is a Gaussian,
    larger values are mesas with an edge that much steeper. ``halo`` digs a moat around Gaussians,
    as an adsorbate on the tip makes one see them.
    """
    ny, nx = height.shape
    for f in range(bumps.shape[0]):
        x, y, top, wide, tall, angle, flat = bumps[f]
        # Beyond this a bump is below a femtometre.
        reach = 6.0 * max(wide, tall)
        i0 = max(0, int((x - reach - origin[0]) / spacing))
        i1 = min(nx, int((x + reach - origin[0]) / spacing) + 2)
        j0 = max(0, int((y - reach - origin[1]) / spacing))
        j1 = min(ny, int((y + reach - origin[1]) / spacing) + 2)
        c = math.cos(angle)
        s = math.sin(angle)
        amplitude = f32(top)
        moat = f32(halo)
        steep = f32(flat)
        ax, ay = f32(c / wide), f32(s / wide)
        bx, by = f32(-s / tall), f32(c / tall)
        for j in range(j0, j1):
            dy = f32(origin[1] + j * spacing - y)
            row = height[j]
            for i in range(i0, i1):
                dx = f32(origin[0] + i * spacing - x)
                a = dx * ax + dy * ay
                b = dx * bx + dy * by
                r2 = a * a + b * b
                if steep > f32(0):
                    r = min(steep * (np.sqrt(r2) - ONE), f32(30))
                    row[i] += amplitude / (ONE + fast_exp(r))
                else:
                    bell = fast_exp(max(f32(-0.5) * r2, DEEPEST))
                    row[i] += amplitude * (ONE - moat * r2) * bell


@njit(fastmath=True, cache=True, nogil=True)
def imprint(field: Floats, texture: Floats, decay: float) -> None:
    """Multiply ``field`` by exp(decay texture): the density of states that the heights are of."""
    k = f32(decay)
    for j in range(field.shape[0]):
        row, here = field[j], texture[j]
        for i in range(row.size):
            row[i] *= fast_exp(k * here[i])
