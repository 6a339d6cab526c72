"""The contour that constant current follows: the surface as one tip sees it. Lengths are nm."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from sim.presets.preset import Preset
from sim.sample import Box, Sample
from sim.scans.kernels import Doubles, Floats, blur, exponentiate, log_contour
from sim.surfaces.relief import imprint
from sim.surfaces.view import View
from sim.tips.tip import Termination, Tip

X = TypeVar("X", float, Doubles)

# Weights below exp(-35) of the centre would make products that are no normal numbers.
DEEPEST_WEIGHT = 35.0
# Deviations of the blur that are seen beyond the edge of a picture.
MARGIN = 3.0


class Contour:
    """Surface over a box as one tip sees it, ready to be sampled.

    Attributes:
        tip: the tip it was made for.
        box: where it holds.
        bias_v: bias of the sample (V) it holds for; at zero the Fermi level is seen.

    ``pixel_nm`` is the distance between the points it will be sampled at in a scan.
    """

    def __init__(
        self,
        preset: Preset,
        sample: Sample,
        tip: Tip,
        box: Box,
        spacing: float,
        bias_v: float = 0.0,
        pixel_nm: float = 0.0,
    ) -> None:
        self.tip = tip
        self.box = box
        self.bias_v = bias_v
        # Neighbours within reach of the apexes and of the blur belong to what is seen.
        margin = max(preset.grid.margin_nm, MARGIN * _blur_nm(tip))
        tile = sample.tile(
            _seen(tip, box).grown(margin), spacing, _view(preset, tip, bias_v, pixel_nm)
        )
        self.origin = tile.origin
        self.spacing = spacing
        self.field = np.empty_like(tile.height)
        self.top_nm, low = exponentiate(
            tile.height.reshape(-1), tip.decay_per_nm, self.field.reshape(-1)
        )
        half = _blur_weights(tip, spacing, self.top_nm - low)
        blur(self.field, half, tile.height)
        if tile.texture is not None:
            imprint(self.field, tile.texture, tip.decay_per_nm)
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
        # The point itself, and room: see ``log_contour``.
        out, pace, scratch = (np.zeros(shape, np.float32) for shape in (1, 1, (4, 1)))
        log_contour(self.field, path, pace, apexes, out, scratch)
        return float(out[0])


def _view(preset: Preset, tip: Tip, bias_v: float, pixel_nm: float) -> View:
    """What decides how the surface looks to ``tip``."""
    law = preset.tunnelling
    plain = bias_v, tip.imaging_radius_nm, tip.decay_per_nm
    monoxide = preset.carbon_monoxide
    if tip.termination is Termination.CO and monoxide:
        # A p wave at the apex sees gradients: Gross et al., Phys. Rev. Lett. 107, 086101 (2011).
        inverted = monoxide.molecule_factor, monoxide.molecule_halo, monoxide.lattice_gain
        return View(*plain, monoxide.halo, pixel_nm, *inverted)
    if not tip.termination.is_dirt:
        return View(*plain, 0.0, pixel_nm)
    strong = tip.termination is Termination.STRONG
    return View(*plain, law.strong_halo if strong else law.weak_halo, pixel_nm, dirty=True)


def _seen(tip: Tip, box: Box) -> Box:
    """Where the apexes may be while the tip is in ``box``."""
    x, y = zip(*((apex.dx_nm, apex.dy_nm) for apex in tip.imaging_apexes), strict=True)
    shift = (tip.flicker.dx_nm, tip.flicker.dy_nm) if tip.flicker else (0.0, 0.0)
    return Box(
        box.x0 + min(x) + min(shift[0], 0.0),
        box.y0 + min(y) + min(shift[1], 0.0),
        box.x1 + max(x) + max(shift[0], 0.0),
        box.y1 + max(y) + max(shift[1], 0.0),
    )


def _blur_nm(tip: Tip) -> float:
    """Deviation of the Gaussian of variance R / 2 kappa that the tip's radius blurs with."""
    return math.sqrt(tip.imaging_radius_nm / tip.decay_per_nm)


def _blur_weights(tip: Tip, spacing: float, relief_nm: float) -> Floats:
    """One side of the blur's Gaussian, out to where the relief hides the rest."""
    sigma = _blur_nm(tip) / spacing
    # A Gaussian cut at three deviations would cut the flanks of everything tall.
    depth = min(max(tip.decay_per_nm * relief_nm, 6.0), DEEPEST_WEIGHT)
    # An even number, as ``blur`` wants it.
    reach = 2 * max(math.ceil(sigma * math.sqrt(2 * depth) / 2), 1)
    half = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    half /= half[0] + 2 * half[1:].sum()
    return half.astype(np.float32)


def _apex_rows(tip: Tip, spacing: float) -> tuple[Floats, int]:
    """Rows (d_x, d_y in grid points, weight) of the apexes: first at rest, then switched."""
    rows = [
        (a.dx_nm / spacing, a.dy_nm / spacing, math.exp(-tip.decay_per_nm * a.gap_nm))
        for a in tip.imaging_apexes
    ]
    resting = len(rows)
    if tip.flicker:
        # Being longer weighs all apexes up alike, so both sets stay one closed form.
        shift = tip.flicker.dx_nm / spacing, tip.flicker.dy_nm / spacing
        longer = math.exp(tip.decay_per_nm * tip.flicker.height_nm)
        rows += [(x + shift[0], y + shift[1], w * longer) for x, y, w in rows]
    return np.array(rows, np.float32), resting
