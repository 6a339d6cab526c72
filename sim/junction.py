"""Where tip and sample meet: heights and gaps at a point. Lengths are nm, times seconds."""

from __future__ import annotations

import math

from sim.conditioning import Change
from sim.contour import Contour
from sim.imaging import Scene
from sim.motion import Motion
from sim.noise import NoiseLevels
from sim.preset import Preset
from sim.sample import Box, Sample
from sim.tip import Tip

#: Half the width of the patch that is kept ready around the tip.
PATCH_NM = 2.0


class Junction:
    """The true tip over the true sample, seen from the scanner.

    Attributes:
        preset: the numbers.
        sample: the sample.
        tip: the tip as it is now.
        motion: drift and creep between both.
        origin_nm: point of the sample below the middle of the scanner.
        zero_nm: height of the scanner's zero, set by the coarse approach.
    """

    def __init__(self, preset: Preset, sample: Sample, tip: Tip, motion: Motion) -> None:
        self.preset = preset
        self.sample = sample
        self.tip = tip
        self.motion = motion
        self.origin_nm = (0.0, 0.0)
        self.zero_nm = 0.0
        self._patch: Contour | None = None
        self._patch_revision = -1

    def place_nm(self, x_nm: float, y_nm: float, time_s: float) -> tuple[float, float]:
        """Point of the sample below a position of the scanner."""
        offset = self.motion.offset_nm(time_s)
        return (
            x_nm + float(offset[0]) + self.origin_nm[0],
            y_nm + float(offset[1]) + self.origin_nm[1],
        )

    def contact_nm(self, x_nm: float, y_nm: float, time_s: float) -> tuple[float, float]:
        """Height at which the gap would be zero, at rest and while the apex is switched."""
        place = self.place_nm(x_nm, y_nm, time_s)
        rest, switched = self._patch_at(place).heights_nm(*place)
        tilt = self.sample.tilt[0] * x_nm + self.sample.tilt[1] * y_nm
        drift = float(self.motion.offset_nm(time_s)[2])
        base = tilt + drift + self.zero_nm + self.tip.length_nm
        return rest + base, switched + base

    def tunnel_gap_nm(self, bias_v: float, setpoint_a: float) -> float:
        """Gap that carries the setpoint; not positive where the bias cannot drive it."""
        conductance = self.preset.tunnelling.contact_conductance_s
        return math.log(max(conductance * abs(bias_v) / setpoint_a, 1e-9)) / self.tip.decay_per_nm

    def current_a(self, gap_nm: float, bias_v: float) -> float:
        """Current (A) across ``gap_nm``; contact conducts one quantum."""
        conductance = self.preset.tunnelling.contact_conductance_s
        # More than one channel would be clipped by any preamplifier anyway.
        return conductance * bias_v * math.exp(-self.tip.decay_per_nm * max(gap_nm, 0.0))

    def apply(self, change: Change, place_nm: tuple[float, float]) -> None:
        """Let ``change`` happen at a point of the sample."""
        self.tip = change.tip
        self.sample.add([mark.moved(*place_nm) for mark in change.marks])

    def scene(self, noise: NoiseLevels, gap_nm: float, gains: tuple[float, float]) -> Scene:
        """What a scan sees that runs at a gap of ``gap_nm`` with ``gains``."""
        return Scene(
            preset=self.preset,
            sample=self.sample,
            tip=self.tip,
            motion=self.motion,
            noise=noise,
            origin_nm=self.origin_nm,
            zero_nm=self.zero_nm + self.tip.length_nm + gap_nm,
            gains=gains,
        )

    def _patch_at(self, place_nm: tuple[float, float]) -> Contour:
        # Readings at rest come often; the patch lasts until tip, surface or place has changed.
        here = Box(*place_nm, *place_nm)
        patch = self._patch
        fresh = patch is not None and patch.tip is self.tip and patch.box.holds(here)
        if patch is None or not fresh or self._patch_revision != self.sample.revision:
            box = here.grown(PATCH_NM)
            patch = Contour(self.preset, self.sample, self.tip, box, self.preset.grid.probe_nm)
            self._patch, self._patch_revision = patch, self.sample.revision
        return patch
