"""Standing waves of a surface state around steps, adatoms and molecules. Lengths are nm.

The density of states beside a straight step goes as 1 - J0(2kx), that around a point scatterer as
cos(2kr + phase) / r: Crommie, Lutz and Eigler, Nature 363, 524 (1993). At constant current the
picture shows their mean over the energies between both Fermi levels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import njit
from scipy.special import j0

from sim.scans.kernels import Doubles, Floats, f32
from sim.spectra.spectral import SurfaceState
from sim.surfaces.blocks import Waves
from sim.surfaces.relief import NODE, Tile, edge_nodes, edge_waves
from sim.surfaces.terraces import Staircase
from sim.surfaces.view import View

#: Square of the wave number (1/nm^2) of a free electron of 1 eV: 2 m / hbar^2.
FREE_PER_EV_NM2 = 26.2468
#: Points of a profile, and energies averaged over: no revival of the waves within reach.
POINTS, ENERGIES = 512, 64


@njit(fastmath=True, cache=True, nogil=True)
def draw_ripples(
    texture: Floats,
    origin: tuple[float, float],
    spacing: float,
    centres: Doubles,
    profile: Floats,
    reach: float,
) -> None:
    """Add rings to ``texture``; ``profile`` is their height from a centre out to ``reach``."""
    ny, nx = texture.shape
    per = f32((profile.size - 1) / reach)
    for f in range(centres.shape[0]):
        x, y = centres[f, 0], centres[f, 1]
        j0 = max(0, math.ceil((y - reach - origin[1]) / spacing))
        j1 = min(ny, math.floor((y + reach - origin[1]) / spacing) + 1)
        for j in range(j0, j1):
            dy = origin[1] + j * spacing - y
            chord = math.sqrt(max(reach * reach - dy * dy, 0.0))
            i0 = max(0, math.ceil((x - chord - origin[0]) / spacing))
            i1 = min(nx, math.floor((x + chord - origin[0]) / spacing) + 1)
            dy2 = f32(dy * dy)
            start = f32(origin[0] - x)
            row = texture[j]
            for i in range(i0, i1):
                dx = start + f32(spacing) * f32(i)
                r = np.sqrt(dx * dx + dy2) * per
                p = min(int(r), profile.size - 2)
                row[i] += profile[p] + (r - f32(p)) * (profile[p + 1] - profile[p])


@njit(fastmath=True, cache=True, nogil=True)
def draw_wakes(
    texture: Floats,
    origin: tuple[float, float],
    spacing: float,
    course: tuple[float, float],
    edges: Doubles,
    profile: Floats,
    reach: float,
) -> None:
    """Add waves along both sides of steps; see ``draw_terraces`` for ``course`` and ``edges``."""
    ny, nx = texture.shape
    nodes = nx // NODE + 2
    distance = np.empty(nodes)
    per = f32((profile.size - 1) / reach)
    x, y = origin
    columns, rows = edge_waves((x, y, spacing), (ny, nx), course, edges)
    for j in range(ny):
        row = texture[j]
        for s in range(edges.shape[0]):
            wave = rows[s, 0, j], rows[s, 1, j]
            edge_nodes(x, y + j * spacing, spacing, course, edges[s], columns[s], wave, distance)
            for c in range(nodes - 1):
                near, far = distance[c], distance[c + 1]
                if min(near, far) > reach or max(near, far) < -reach:
                    continue
                first = c * NODE
                slope = f32((far - near) / NODE)
                for i in range(first, min(nx, first + NODE)):
                    r = np.abs(f32(near) + slope * f32(i - first)) * per
                    p = min(int(r), profile.size - 2)
                    # Past the last point the profile is zero, and so is its slope.
                    t = min(r - f32(p), f32(1))
                    row[i] += profile[p] + t * (profile[p + 1] - profile[p])


class StandingWaves:
    """The waves on one surface.

    Args:
        waves: how high they are and how far they reach.
        state: the surface state.
    """

    def __init__(self, waves: Waves, state: SurfaceState) -> None:
        self._waves = waves
        self._state = state
        self.reach_nm = waves.reach_nm

    def draw(
        self, tile: Tile, texture: Floats, stairs: Staircase, scatterers: Doubles, view: View
    ) -> None:
        """Add the waves around all steps and ``scatterers`` (x, y, ...) to ``texture``."""
        waves, state = self._waves, self._state
        shape = waves.core_nm, waves.coherence_nm, waves.reach_nm, math.radians(waves.phase_deg)
        wake, ring = profiles(state.onset_ev, state.mass, view.bias_v, *shape)
        # The corrugation of wave number 2k is blurred by exp(-(2k)^2 R / 4 kappa): Tersoff and
        # Hamann; k differs little between the energies that make the picture.
        k2 = FREE_PER_EV_NM2 * state.mass * max(-state.onset_ev, 0.0)
        left = math.exp(-2 * k2 * view.radius_nm / view.decay_per_nm)
        draw_ripples(
            texture,
            tile.origin,
            tile.spacing,
            scatterers,
            ring * f32(left * waves.scatterer_nm),
            waves.reach_nm,
        )
        draw_wakes(
            texture,
            tile.origin,
            tile.spacing,
            stairs.course,
            stairs.edges,
            wake * f32(left * waves.step_nm),
            waves.reach_nm,
        )


@lru_cache(maxsize=32)
def profiles(
    onset_ev: float,
    mass: float,
    bias_v: float,
    core_nm: float,
    coherence_nm: float,
    reach_nm: float,
    phase: float,
) -> tuple[Floats, Floats]:
    """Waves beside a step and around a scatterer, of unit height, out to ``reach_nm``.

    Energies run from the Fermi level to ``bias_v``; below ``onset_ev`` there is no state and no
    wave, only current. ``phase`` is in radians.
    """
    r = np.linspace(0.0, reach_nm, POINTS)
    energy = bias_v * (np.arange(ENERGIES) + 0.5) / ENERGIES
    k2 = FREE_PER_EV_NM2 * mass * (energy - onset_ev)
    turns = 2 * np.outer(r, np.sqrt(k2[k2 > 0]))
    # Smooth at the end of the reach, so that it shows nowhere.
    fade = np.exp(-r / coherence_nm) * np.cos(0.5 * math.pi * r / reach_nm) ** 2
    wake = -j0(turns).sum(axis=1) / ENERGIES * fade
    ring = np.cos(turns + phase).sum(axis=1) / ENERGIES * fade / np.hypot(r, core_nm)
    return wake.astype(np.float32), ring.astype(np.float32)
