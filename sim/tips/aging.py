"""Changes of the tip that nobody asked for, while it scans. Lengths are nm."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sim.scans.kernels import Doubles
from sim.tips.law import Law
from sim.tips.tip import Termination, Tip, bounded_radius


class Aging(Law):
    """The law of spontaneous changes."""

    def life_frames(self, tip: Tip) -> float:
        """Mean number of frames over smooth ground until ``tip`` changes."""
        rate = self._rates(tip)[0] * self._preset.changes.frame_lines
        return 1 / rate if rate else math.inf

    def line(self, tip: Tip, corrugation_nm: float) -> Tip:
        """The tip after one more line of a scan: usually the same one."""
        rough = corrugation_nm > self._preset.changes.rough_nm
        if not self._happens(self._rates(tip)[rough]):
            return tip
        return self._spontaneously(tip)

    def lines(self, tip: Tip, corrugation_nm: Doubles) -> tuple[int, Tip]:
        """Lines up to the first that changes the tip, or all of them; and the tip after them.

        The same as line by line: what is drawn for one line does not depend on how many follow.
        """
        smooth, rough = self._rates(tip)
        rates = np.where(corrugation_nm > self._preset.changes.rough_nm, rough, smooth)
        before = self._rng.bit_generator.state
        changing = np.flatnonzero(self._rng.random(len(rates)) < rates)
        if not changing.size:
            return len(rates), tip
        done = int(changing[0]) + 1
        # The lines after the change have drawn too early.
        self._rng.bit_generator.state = before
        self._rng.random(done)
        return done, self._spontaneously(tip)

    def moment(self) -> float:
        """Where on its line a change happens: share of the way there and back."""
        return float(self._rng.uniform())

    def _rates(self, tip: Tip) -> tuple[float, float]:
        """Chance that a line changes the tip by itself, over smooth and over rough ground."""
        law = self._preset.changes
        rate = self._latents.change_per_frame / law.frame_lines
        rate *= 1.0 if tip.stable else law.unstable_factor
        # Debris and step bunches in the way tear at the apex.
        return rate, rate * law.rough_factor

    def _spontaneously(self, tip: Tip) -> Tip:
        """The tip after a change that nobody asked for."""
        law, monoxide = self._preset.changes, self._preset.carbon_monoxide
        # What sits in front goes first: a molecule turns over, carbon monoxide is lost.
        if tip.termination is Termination.MOLECULE:
            return self._terminated(tip, Termination.MOLECULE)
        if tip.termination is Termination.CO and monoxide and self._happens(monoxide.change_loses):
            return self._cleaned(tip)
        radius = tip.radius_nm
        if law.blunting:
            factor = math.exp(law.blunting.draw(self._rng))
            radius = bounded_radius(self._preset, radius * factor)
        changed = replace(
            tip,
            radius_nm=radius,
            apexes=self._apexes(radius, law.gap_mean_nm),
            length_nm=tip.length_nm + law.length_nm.draw(self._rng),
        )
        return self._steadied(changed, law.becomes_unstable)
