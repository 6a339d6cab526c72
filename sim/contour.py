"""The contour that constant current follows: the surface as one tip sees it. Lengths are nm."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from sim.kernels import Doubles, Floats, blur, exponentiate, log_contour
from sim.preset import Preset
from sim.sample import Box, Sample
from sim.tip import Termination, Tip

X = TypeVar("X", float, Doubles)

# Weights below exp(-35) of the centre would make products that are no normal numbers.
DEEPEST_WEIGHT = 35.0


class Contour:
    """Surface over a box as one tip sees it, ready to be sampled.

    Attributes:
        tip: the tip it was made for.
        box: where it holds.
    """

    def __init__(self, preset: Preset, sample: Sample, tip: Tip, box: Box, spacing: float) -> None:
        self.tip = tip
        self.box = box
        halo = {
            Termination.CLEAN: 0.0,
            Termination.WEAK: preset.tunnelling.weak_halo,
            Termination.STRONG: preset.tunnelling.strong_halo,
        }[tip.termination]
        reach = _reach(tip) + preset.grid.margin_nm
        # Neighbours within reach of the apexes and of the blur belong to what is seen.
        tile = sample.tile(box.grown(reach), spacing, halo)
        self.origin = tile.origin
        self.spacing = spacing
        self.field = np.empty_like(tile.height)
        self.top_nm, low = exponentiate(
            tile.height.reshape(-1), tip.decay_per_nm, self.field.reshape(-1)
        )
        half = _blur_weights(tip, spacing, self.top_nm - low)
        blur(self.field, half, tile.height)
        self.apexes, self.resting = _apex_rows(tip, spacing)

    def heights_nm(self, x: float, y: float) -> tuple[float, float]:
        """Height (nm) at one point at rest and while switched (equal for a steady tip)."""
        path = np.array([*self.grid(x, y), 0.0, 0.0])
        rest = self.log_height(path) / self.tip.decay_per_nm + self.top_nm
        if self.resting == len(self.apexes):
            return rest, rest
        switched = self._log(path, self.apexes[self.resting :])
        return rest, switched / self.tip.decay_per_nm + self.top_nm

    def log_height(self, path: Doubles) -> float:
        """Logarithm of the field at the first point of ``path``, as the tip at rest sees it."""
        return self._log(path, self.apexes[: self.resting])

    def grid(self, x: X, y: X) -> tuple[X, X]:
        """Grid coordinates of points of the sample (nm)."""
        return (x - self.origin[0]) / self.spacing, (y - self.origin[1]) / self.spacing

    def _log(self, path: Doubles, apexes: Floats) -> float:
        out, scratch = np.empty(1, np.float32), np.empty(1, np.float32)
        log_contour(self.field, path, apexes, out, scratch)
        return float(out[0])


def _reach(tip: Tip) -> float:
    """How far from the tip's position it may sense the sample (nm)."""
    far = max((math.hypot(a.dx_nm, a.dy_nm) for a in tip.apexes), default=0.0)
    shift = math.hypot(tip.flicker.dx_nm, tip.flicker.dy_nm) if tip.flicker else 0.0
    return far + shift


def _blur_weights(tip: Tip, spacing: float, relief_nm: float) -> Floats:
    """One side of the Gaussian of variance R / 2 kappa, out to where the relief hides the rest."""
    sigma = math.sqrt(tip.radius_nm / tip.decay_per_nm) / spacing
    # A Gaussian cut at three deviations would cut the flanks of everything tall.
    depth = min(max(tip.decay_per_nm * relief_nm, 6.0), DEEPEST_WEIGHT)
    reach = max(math.ceil(sigma * math.sqrt(2 * depth)), 1)
    half = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    half /= half[0] + 2 * half[1:].sum()
    return half.astype(np.float32)


def _apex_rows(tip: Tip, spacing: float) -> tuple[Floats, int]:
    """Rows (d_x, d_y in grid points, weight) of the apexes: first at rest, then switched."""
    rows = [(0.0, 0.0, 1.0)]
    rows += [
        (a.dx_nm / spacing, a.dy_nm / spacing, math.exp(-tip.decay_per_nm * a.gap_nm))
        for a in tip.apexes
    ]
    resting = len(rows)
    if tip.flicker:
        # Being longer weighs all apexes up alike, so both sets stay one closed form.
        shift = tip.flicker.dx_nm / spacing, tip.flicker.dy_nm / spacing
        longer = math.exp(tip.decay_per_nm * tip.flicker.height_nm)
        rows += [(x + shift[0], y + shift[1], w * longer) for x, y, w in rows]
    return np.array(rows, np.float32), resting
