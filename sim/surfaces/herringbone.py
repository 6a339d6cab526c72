"""The herringbone of Au(111): Barth et al., Phys. Rev. B 42, 9307 (1990). Lengths are nm."""

from __future__ import annotations

import math

import numpy as np

from sim.scans.kernels import Doubles, Floats
from sim.surfaces.blocks import Reconstruction
from sim.surfaces.relief import Tile, direction, draw_herringbone


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
