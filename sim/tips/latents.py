"""What differs from episode to episode and is never shown. Lengths are nm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.presets.preset import Preset


@dataclass(frozen=True, slots=True)
class Latents:
    """Hidden parameters of one episode.

    Attributes:
        pulse_threshold_v: pulse height at which half of the pulses do something.
        polarity: sign of the sample bias that works better.
        depth_offset_nm: error of the depth, from the unknown gap.
        depth_scale: error of the z calibration.
        best_depth_nm: penetration that suits this shank best.
        dirt: how dirty tip and sample are, 0..1.
        change_per_frame: mean number of spontaneous changes per frame.
    """

    pulse_threshold_v: float
    polarity: int
    depth_offset_nm: float
    depth_scale: float
    best_depth_nm: float
    dirt: float
    change_per_frame: float

    @classmethod
    def draw(cls, rng: np.random.Generator, preset: Preset) -> Latents:
        """The hidden parameters of a new episode."""
        hidden = preset.hidden
        return cls(
            pulse_threshold_v=hidden.pulse_threshold_v.draw(rng),
            polarity=-1 if rng.uniform() < hidden.negative_preferred else 1,
            depth_offset_nm=hidden.depth_offset_nm.draw(rng),
            depth_scale=hidden.depth_scale.draw(rng),
            best_depth_nm=hidden.best_depth_nm.draw(rng),
            dirt=hidden.dirt.draw(rng),
            change_per_frame=hidden.change_per_frame.draw(rng),
        )

    def contact_depth_nm(self, gap_nm: float) -> float:
        """How far a tip must be pushed across a nominal gap of ``gap_nm`` until it touches."""
        return max(gap_nm - self.depth_offset_nm, 0.0) / self.depth_scale

    def penetration_nm(self, depth_nm: float, gap_nm: float) -> float:
        """How far past first contact a tip gets that is pushed by ``depth_nm`` across ``gap_nm``.

        Negative where it stays short of contact.
        """
        return (depth_nm - self.contact_depth_nm(gap_nm)) * self.depth_scale
