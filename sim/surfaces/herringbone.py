"""The herringbone of Au(111): Barth et al., Phys. Rev. B 42, 9307 (1990). Lengths are nm."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sim.scans.kernels import ONE, Doubles, Floats, f32
from sim.surfaces.blocks import Reconstruction
from sim.surfaces.relief import NODE, Tile, crests, direction

# Half width of hcp in periods, periods per ridge width, depth of hcp, pinch in periods.
RidgeShape = tuple[np.float32, np.float32, np.float32, np.float32]

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
    near2 = (ONE + f32(45) * (d * d)) ** 2
    far2 = (ONE + f32(45) * (far * far)) ** 2
    # Elbows pinch every second pair and bulge the others.
    wall = hcp + (far2 - near2) / (near2 * far2) * pinch * sign
    a = (p - wall) * sharp
    b = (p + wall) * sharp
    a2 = (ONE + half * (a * a)) ** 2
    b2 = (ONE + half * (b * b)) ** 2
    inside = min(max((wall - np.abs(p)) * sharp + half, f32(0)), ONE)
    return f32((a2 + b2) / (a2 * b2) - depth * inside)


@njit(fastmath=EXACT, error_model="numpy", cache=True, nogil=True, forceinline=True)
def draw_ridges(
    row: Floats,
    across: Floats,
    along: Floats,
    parity: Floats,
    zigzag: tuple[np.float32, np.float32],
    scales: tuple[np.float32, np.float32, np.float32],
    shape: RidgeShape,
) -> None:
    """Turn the levels of one row into heights and add the reconstruction.

    ``across`` (periods), ``along`` (elbows) and ``parity`` say where each point lies; ``zigzag`` is
    the swing between elbows and their rounding; ``scales`` is (layer, amplitude, shift per layer).
    """
    layer, height, shift = scales
    swing, rounding = zigzag
    half, two = f32(0.5), f32(2)
    for i in range(row.size):
        d = along[i] - two * f32(np.floor(along[i] * half)) - ONE
        turn = across[i] + shift * row[i] + swing * np.sqrt(d * d + rounding)
        row[i] = layer * row[i] + height * ridges(turn, parity[i], d, shape)


@njit(cache=True, nogil=True, forceinline=True)
def wander_waves(
    grid: tuple[float, float, float], shape: tuple[int, int], wander: Doubles
) -> tuple[Doubles, Doubles]:
    """Waves that bend the ridges: along x at the nodes of a row, along y at all rows.

    Like ``edge_waves``; the amplitude is in those along x.
    """
    x, y, spacing = grid
    columns = np.empty((wander.shape[0], 2, shape[1] // NODE + 2))
    rows = np.empty((wander.shape[0], 2, shape[0]))
    for w in range(wander.shape[0]):
        crests(wander[w, 1], 0.0, x, NODE * spacing, columns[w])
        crests(wander[w, 2], wander[w, 3], y, spacing, rows[w])
        columns[w] *= wander[w, 0]
    return columns, rows


@njit(fastmath=True, cache=True, nogil=True, forceinline=True)
def wander_nodes(
    x: float,
    y: float,
    spacing: float,
    course: tuple[float, float],
    columns: Doubles,
    waves: Doubles,
    across: Doubles,
    along: Doubles,
) -> None:
    """Coordinates across and along the ridges at the nodes of one row, gently bent.

    ``columns`` are the ``wander_waves`` along x, ``waves`` (waves, 2) those at y.
    """
    for c in range(across.size):
        right = x + c * NODE * spacing
        across[c] = right * course[0] + y * course[1]
        along[c] = y * course[0] - right * course[1]
    half = columns.shape[0] // 2
    for w in range(columns.shape[0]):
        sin, cos = waves[w, 0], waves[w, 1]
        bent = across if w < half else along
        for c in range(bent.size):
            bent[c] += sin * columns[w, 1, c] + cos * columns[w, 0, c]


@njit(inline="always")
def folded(x: float) -> np.float32:
    """What is left of ``x`` when all multiples of two are taken out."""
    return f32(x - 2.0 * math.floor(x * 0.5))


@njit(fastmath=EXACT, inline="always")
def draw_straight(out: Floats, start: np.float32, step: np.float32) -> None:
    """Fill ``out`` with even steps."""
    for i in range(out.size):
        out[i] = start + step * f32(i)


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
    across, along, places = np.empty(nodes), np.empty(nodes), np.empty((3, nx), np.float32)
    turns_per_nm, elbows_per_nm = math.cos(scales[5]) / scales[2], 1.0 / scales[3]
    zigzag = f32(math.sin(scales[5]) * scales[3] / scales[2]), f32(scales[4])
    sizes = f32(scales[0]), f32(scales[1]), f32(scales[6])
    phase, form = f32(scales[7]), (shape[0], shape[1], shape[2], shape[3])
    x, y = origin
    columns, rows = wander_waves((x, y, spacing), (ny, nx), wander)
    for j in range(ny):
        waves = rows[:, :, j]
        wander_nodes(x, y + j * spacing, spacing, course, columns, waves, across, along)
        for c in range(nodes - 1):
            span = places[:, c * NODE : (c + 1) * NODE]
            # Whole periods are taken out in double precision: far away single is too coarse.
            turns, elbows = across[c] * turns_per_nm, along[c] * elbows_per_nm
            whole = math.floor(turns)
            du = f32((across[c + 1] - across[c]) * turns_per_nm / NODE)
            dv = f32((along[c + 1] - along[c]) * elbows_per_nm / NODE)
            draw_straight(span[0], f32(turns - whole) + phase, du)
            draw_straight(span[1], folded(elbows), dv)
            span[2] = folded(whole)
        draw_ridges(level[j], places[0], places[1], places[2], zigzag, sizes, form)


class Herringbone:
    """The ridges of one sample.

    Args:
        ridges: their numbers.
        layer_nm: height of a step.
        rng: decides how they run.
    """

    def __init__(self, ridges: Reconstruction, layer_nm: float, rng: np.random.Generator) -> None:
        self._course = direction(rng)
        self._scales = _scales(ridges, layer_nm, float(rng.uniform()))
        self._shape = _shape(ridges)
        self._wander = _wander(ridges, rng)

    def draw(self, tile: Tile) -> None:
        """Turn the levels of ``tile`` into heights with ridges on them."""
        draw_herringbone(
            tile.height,
            tile.origin,
            tile.spacing,
            self._course,
            self._wander,
            self._scales,
            self._shape,
        )


def _wander(ridges: Reconstruction, rng: np.random.Generator) -> Doubles:
    rows = []
    for _ in range(6):
        angle = rng.uniform(0, 2 * math.pi)
        k = 2 * math.pi / ridges.wander_period_nm.draw(rng)
        phase = rng.uniform(0, 2 * math.pi)
        rows.append([ridges.wander_nm, k * math.cos(angle), k * math.sin(angle), phase])
    return np.array(rows)


def _scales(ridges: Reconstruction, layer_nm: float, phase: float) -> Doubles:
    return np.array(
        [
            layer_nm,
            ridges.amplitude_nm,
            ridges.period_nm,
            ridges.elbow_spacing_nm,
            ridges.elbow_rounding,
            math.radians(ridges.bend_deg),
            ridges.step_shift,
            phase,
        ]
    )


def _shape(ridges: Reconstruction) -> Floats:
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
