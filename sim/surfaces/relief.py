"""Compiled passes that draw the bare surface on a grid: terraces, herringbone, bumps.

Lengths are nm. ``origin`` is (x, y) of the first grid point and ``spacing`` the distance between
points; x grows along a row, y from row to row. What is drawn depends on x and y alone, so that any
two tiles agree where they overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from sim.scans.kernels import DEEPEST, ONE, Doubles, Floats, f32, fast_exp, hash32, u32

# Slow fields (meander, wander) are computed at every NODE-th point and drawn straight in between.
NODE = 16
# Half width of hcp in periods, periods per ridge width, depth of hcp, pinch in periods.
RidgeShape = tuple[np.float32, np.float32, np.float32, np.float32]
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
    return 4.0 * abs(x - math.floor(x + 0.5)) - 1.0


@njit(fastmath=True, cache=True, nogil=True)
def edge_nodes(
    origin: tuple[float, float],
    y: float,
    spacing: float,
    course: tuple[float, float],
    edge: Doubles,
    distance: Doubles,
) -> None:
    """Signed distance from a step edge at the nodes of one row."""
    for c in range(distance.size):
        x = origin[0] + c * NODE * spacing
        t = y * course[0] - x * course[1]
        bend = edge[2] * math.sin(edge[3] * t + edge[4]) + edge[5] * triangle(edge[6] * t + edge[7])
        distance[c] = x * course[0] + y * course[1] - edge[0] - bend


@njit(fastmath=True, cache=True, nogil=True)
def draw_terraces(
    level: Floats,
    origin: tuple[float, float],
    spacing: float,
    course: tuple[float, float],
    edges: Doubles,
    edge_nm: float,
) -> None:
    """Add the steps to ``level`` (ny, nx), counted in monatomic layers.

    ``course`` is the unit vector across the steps. Rows of ``edges``: position along it, change of
    level, then amplitude, wave number and phase of the meander and of the kinks.
    """
    ny, nx = level.shape
    nodes = nx // NODE + 2
    distance = np.empty(nodes)
    sharp = f32(1.0 / edge_nm)
    # Where the logistic edge has become flat to a millionth of a layer.
    wide = 14.0 * edge_nm
    for j in range(ny):
        row = level[j]
        for s in range(edges.shape[0]):
            edge_nodes(origin, origin[1] + j * spacing, spacing, course, edges[s], distance)
            rise = f32(edges[s, 1])
            for c in range(nodes - 1):
                first = c * NODE
                end = min(nx, first + NODE)
                near = distance[c]
                far = distance[c + 1]
                # Far from the edge the terrace is flat: no exponentials there.
                if near > wide and far > wide:
                    for i in range(first, end):
                        row[i] += rise
                elif near > -wide or far > -wide:
                    start = f32(near)
                    slope = f32((far - near) / NODE)
                    for i in range(first, end):
                        r = (start + slope * f32(i - first)) * sharp
                        r = min(max(r, f32(-30)), f32(30))
                        row[i] += rise / (ONE + fast_exp(-r))


# Without reassociation and reciprocals, so that points far apart come out the same to the bit.
EXACT = {"nnan", "ninf", "nsz", "contract"}


@njit(inline="always")
def ridges(turn: np.float32, parity: np.float32, d: np.float32, shape: RidgeShape) -> np.float32:
    """Profile of a pair of ridges, about 1 on top, less the depth of the hcp stripe between them.

    ``turn`` counts periods across, ``parity`` is that of the periods left out of it; ``d`` runs
    from -1 to 1 along the ridges, with elbows at 0 and at the ends.
    """
    hcp, sharp, depth, pinch = shape
    half = f32(0.5)
    whole = f32(np.floor(turn))
    p = turn - whole - half
    odd = (whole + parity) * half
    sign = ONE - f32(4) * (odd - f32(np.floor(odd)))
    far = ONE - np.abs(d)
    # Lorentzians rather than Gaussians: no exponential per point, and nobody can tell.
    near2 = ONE / (ONE + f32(45) * (d * d))
    far2 = ONE / (ONE + f32(45) * (far * far))
    # Elbows pinch every second pair and bulge the others.
    wall = hcp + (near2 * near2 - far2 * far2) * pinch * sign
    a = (p - wall) * sharp
    b = (p + wall) * sharp
    a2 = ONE / (ONE + half * (a * a))
    b2 = ONE / (ONE + half * (b * b))
    inside = min(max((wall - np.abs(p)) * sharp + half, f32(0)), ONE)
    return f32(a2 * a2 + b2 * b2 - depth * inside)


@njit(fastmath=EXACT, error_model="numpy", cache=True, nogil=True)
def draw_span(
    row: Floats,
    level: Floats,
    across: tuple[np.float32, np.float32],
    along: tuple[np.float32, np.float32],
    parity: np.float32,
    zigzag: tuple[np.float32, np.float32],
    scales: tuple[np.float32, np.float32],
    shape: RidgeShape,
) -> None:
    """Add the reconstruction to a few points of one row, given the levels below them.

    ``across`` (periods) and ``along`` (elbows) are (first, step per point); ``zigzag`` is the swing
    between elbows and their rounding; ``scales`` is (amplitude, shift per layer).
    """
    height, shift = scales
    swing, rounding = zigzag
    half, two = f32(0.5), f32(2)
    for i in range(row.size):
        k = f32(i)
        q = along[0] + along[1] * k
        d = q - two * f32(np.floor(q * half)) - ONE
        turn = across[0] + shift * level[i] + across[1] * k + swing * np.sqrt(d * d + rounding)
        row[i] += height * ridges(turn, parity, d, shape)


@njit(fastmath=True, cache=True, nogil=True)
def wander_nodes(
    origin: tuple[float, float],
    y: float,
    spacing: float,
    course: tuple[float, float],
    wander: Doubles,
    across: Doubles,
    along: Doubles,
) -> None:
    """Coordinates across and along the ridges at the nodes of one row, gently bent."""
    for c in range(across.size):
        x = origin[0] + c * NODE * spacing
        u = x * course[0] + y * course[1]
        v = y * course[0] - x * course[1]
        for w in range(3):
            u += wander[w, 0] * math.sin(wander[w, 1] * x + wander[w, 2] * y + wander[w, 3])
        for w in range(3, 6):
            v += wander[w, 0] * math.sin(wander[w, 1] * x + wander[w, 2] * y + wander[w, 3])
        across[c] = u
        along[c] = v


@njit(inline="always")
def folded(x: float) -> np.float32:
    """What is left of ``x`` when all multiples of two are taken out."""
    return f32(x - 2.0 * math.floor(x * 0.5))


@njit(fastmath=True, cache=True, nogil=True)
def draw_herringbone(
    level: Floats,
    origin: tuple[float, float],
    spacing: float,
    course: tuple[float, float],
    wander: Doubles,
    scales: Doubles,
    shape: Floats,
) -> None:
    """Turn ``level`` (layers) into heights (nm) and add the reconstruction.

    ``course`` is the unit vector across the ridges, rows of ``wander`` (amplitude, k_x, k_y, phase)
    bend it: three for the coordinate across, three for the one along. ``scales`` is (layer height,
    amplitude, period, elbow spacing, elbow rounding, bend, shift per layer, phase); ``shape``
    (half width of hcp in periods, periods per ridge width, depth of hcp, pinch in periods).
    """
    ny, nx = level.shape
    nodes = nx // NODE + 2
    across, along, levels = np.empty(nodes), np.empty(nodes), np.empty(nx, np.float32)
    layer, height, rounding = f32(scales[0]), f32(scales[1]), f32(scales[4])
    turns_per_nm = math.cos(scales[5]) / scales[2]
    swing = f32(math.sin(scales[5]) * scales[3] / scales[2])
    shift, phase = f32(scales[6]), f32(scales[7])
    form = (shape[0], shape[1], shape[2], shape[3])
    for j in range(ny):
        levels[:] = level[j]
        level[j] *= layer
        wander_nodes(origin, origin[1] + j * spacing, spacing, course, wander, across, along)
        for c in range(nodes - 1):
            span = slice(c * NODE, (c + 1) * NODE)
            # Whole periods are taken out in double precision: far away single is too coarse.
            turns, elbows = across[c] * turns_per_nm, along[c] / scales[3]
            whole = math.floor(turns)
            u, v, parity = f32(turns - whole), folded(elbows), folded(whole)
            du = f32((across[c + 1] - across[c]) * turns_per_nm / NODE)
            dv = f32((along[c + 1] - along[c]) / scales[3] / NODE)
            draw_span(
                level[j, span], levels[span], (u + phase, du), (v, dv), parity,
                (swing, rounding), (height, shift), form,
            )  # fmt: skip


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
