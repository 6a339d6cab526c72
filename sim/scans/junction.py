"""Where tip and sample meet: heights and gaps at a point. Lengths are nm, times seconds."""

from __future__ import annotations

import math

from sim.presets.preset import Preset
from sim.sample import Box, Sample
from sim.scans.contour import Contour
from sim.scans.imaging import Scene
from sim.scans.kernels import Doubles
from sim.scans.motion import Motion
from sim.scans.noise import NoiseLevels
from sim.spectra.electronics import Electronics
from sim.tips.law import Change
from sim.tips.tip import Tip

#: Half the width of the patch that is kept ready around the tip.
PATCH_NM = 2.0


class Junction:
    """The true tip over the true sample, seen from the scanner.

    Attributes:
        preset: the numbers.
        sample: the sample.
        motion: drift and creep between both.
        origin_nm: point of the sample below the middle of the scanner.
        zero_nm: height of the scanner's zero, set by the coarse approach.
    """

    def __init__(
        self, preset: Preset, sample: Sample, tip: Tip, electronics: Electronics, motion: Motion
    ) -> None:
        self.preset = preset
        self.sample = sample
        self._tip = tip
        self._electronics = electronics
        self.motion = motion
        self.origin_nm = (0.0, 0.0)
        self.zero_nm = 0.0
        self._patch: Contour | None = None
        self._patch_revision = -1
        self._read_at: tuple[float, float] | None = None
        self._reading = (0.0, 0.0)

    @property
    def tip(self) -> Tip:
        """The tip as it is now; a new apex comes with electronic states of its own."""
        return self._tip

    @tip.setter
    def tip(self, tip: Tip) -> None:
        self._tip = tip if tip.same_apex(self._tip) else self._electronics.fresh(tip)

    def place_nm(self, x_nm: float, y_nm: float, time_s: float) -> tuple[float, float]:
        """Point of the sample below a position of the scanner."""
        return self._below(x_nm, y_nm, self.motion.offset_nm(time_s))

    def contact_nm(
        self, x_nm: float, y_nm: float, time_s: float, bias_v: float
    ) -> tuple[float, float]:
        """Height at which the gap would be zero, at rest and while the apex is switched."""
        offset = self.motion.offset_nm(time_s)
        # A bias that changes nothing is no reason to draw the surface anew.
        seen_v = bias_v if self.sample.polar else 0.0
        rest, switched = self._heights_at(self._below(x_nm, y_nm, offset), seen_v)
        tilt = self.sample.tilt[0] * x_nm + self.sample.tilt[1] * y_nm
        bow = self.motion.bow_nm(x_nm, y_nm)
        base = tilt + float(offset[2]) + self.zero_nm + self.tip.length_nm + bow
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
        molecule = self.molecule_at(place_nm)
        if change.transfer == "left":
            self.sample.lay_molecule(*place_nm)
        elif change.transfer == "taken" and molecule is not None:
            self.sample.take_molecule(molecule)

    def molecule_at(self, place_nm: tuple[float, float]) -> Doubles | None:
        """The molecule below a point of the sample, if there is one that a tip could take up."""
        law = self.preset.carbon_monoxide
        return self.sample.molecule_near(*place_nm, law.reach_nm) if law else None

    def scene(
        self,
        noise: NoiseLevels,
        bias_v: float,
        setpoint_a: float,
        gains: tuple[float, float],
    ) -> Scene:
        """What a scan sees that holds ``setpoint_a`` at ``bias_v`` with ``gains``."""
        return Scene(
            preset=self.preset,
            sample=self.sample,
            tip=self.tip,
            motion=self.motion,
            noise=noise,
            origin_nm=self.origin_nm,
            zero_nm=self.zero_nm + self.tip.length_nm + self.tunnel_gap_nm(bias_v, setpoint_a),
            bias_v=bias_v,
            gains=gains,
            setpoint_a=setpoint_a,
        )

    def _below(self, x_nm: float, y_nm: float, offset_nm: Doubles) -> tuple[float, float]:
        """Point of the sample below a position of the scanner, displaced by ``offset_nm``."""
        return (
            x_nm + float(offset_nm[0]) + self.origin_nm[0],
            y_nm + float(offset_nm[1]) + self.origin_nm[1],
        )

    def _heights_at(self, place_nm: tuple[float, float], bias_v: float) -> tuple[float, float]:
        """Height of the contour at rest and while switched."""
        patch = self._patch_at(place_nm, bias_v)
        # Height, gap and current are asked for one after the other at the same point.
        if place_nm != self._read_at:
            self._read_at, self._reading = place_nm, patch.heights_nm(*place_nm)
        return self._reading

    def _patch_at(self, place_nm: tuple[float, float], bias_v: float) -> Contour:
        # Readings at rest come often; the patch lasts until tip, surface or place has changed.
        here = Box(*place_nm, *place_nm)
        patch = self._patch
        fresh = patch is not None and patch.tip is self.tip and patch.box.holds(here)
        fresh = fresh and patch is not None and patch.bias_v == bias_v
        if patch is None or not fresh or self._patch_revision != self.sample.revision:
            box, spacing = here.grown(PATCH_NM), self.preset.grid.probe_nm
            patch = Contour(self.preset, self.sample, self.tip, box, spacing, bias_v)
            self._patch, self._patch_revision = patch, self.sample.revision
            self._read_at = None
        return patch
