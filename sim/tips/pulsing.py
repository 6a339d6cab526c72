"""What a voltage pulse does to the tip and to the sample below it. Lengths are nm."""

from __future__ import annotations

import math
from dataclasses import replace

from sim.sample import Bump
from sim.tips.law import Change, Law, logistic
from sim.tips.tip import Termination, Tip, bounded_radius


class Pulsing(Law):
    """The law of pulses: a threshold, below which fields only take off what is loose."""

    def pulse(
        self, tip: Tip, bias_v: float, width_s: float, lift_nm: float, feedback_on: bool
    ) -> Change:
        """A voltage pulse of sample bias ``bias_v``."""
        law = self._preset.pulse
        # Which polarity moves material depends on the tip, and nobody knows beforehand.
        right_way = bias_v * self._latents.polarity > 0
        volts = abs(bias_v) * (1.0 if right_way else law.wrong_polarity)
        threshold = self._pulse_threshold(tip, width_s, lift_nm, feedback_on)
        tip = self._desorbed_by_field(tip, volts, threshold)
        if not self._happens(logistic((volts - threshold) / law.steepness_v)):
            return Change(tip, [])
        over = max(volts - threshold, 0.0)
        if tip.termination is Termination.STRONG and self._happens(
            1 - math.exp(-law.clean_offset - law.clean_per_v * over)
        ):
            tip = self._cleaned(tip)
        # What a pulse just above threshold moves are asperities; more melts the apex.
        changed = self._mildly(tip) if over < law.strong_v else self._strongly(tip, over)
        return Change(replace(changed, gentle_dips=0), self._marks(over))

    def _pulse_threshold(
        self, tip: Tip, width_s: float, lift_nm: float, feedback_on: bool
    ) -> float:
        """Blunt tips, short pulses and a larger gap need more volts."""
        law = self._preset.pulse
        blunt = law.threshold_radius_slope * math.log(tip.radius_nm / law.threshold_radius_nm)
        short = law.threshold_width_slope * math.log10(law.reference_width_s / width_s)
        far = law.threshold_lift_per_nm * max(lift_nm, 0.0)
        retracting = law.feedback_on_factor if feedback_on else 1.0
        # A very sharp tip and a very long pulse cannot bring the threshold to nothing.
        factor = (1 + blunt) * (1 + short) * (1 + far) * retracting
        return self._latents.pulse_threshold_v * max(factor, 0.1)

    def _desorbed_by_field(self, tip: Tip, volts: float, threshold: float) -> Tip:
        law = self._preset.pulse
        if not tip.termination.is_loose:
            return tip
        excess = (volts - law.desorb_fraction * threshold) / law.desorb_steepness_v
        if not self._happens(logistic(excess)):
            return tip
        if not tip.stable and self._happens(law.desorb_steadies):
            tip = replace(tip, stable=True)
        return self._cleaned(tip)

    def _mildly(self, tip: Tip) -> Tip:
        """Minor asperities rearrange."""
        law = self._preset.pulse
        radius = tip.radius_nm * math.exp(law.mild_radius.draw(self._rng))
        changed = replace(
            tip,
            radius_nm=bounded_radius(self._preset, radius),
            apexes=self._apexes(tip.radius_nm, law.mild_gap_nm),
            length_nm=tip.length_nm + law.mild_length_nm.draw(self._rng),
        )
        return self._steadied(changed, law.mild_unstable)

    def _strongly(self, tip: Tip, over_v: float) -> Tip:
        """The apex melts; its radius forgets the old one the more, the stronger the pulse."""
        law = self._preset.pulse
        share = 1 - math.exp(-law.strong_rate_per_v * over_v)
        fresh = math.log(law.strong_radius_nm.draw(self._rng))
        log_radius = (1 - share) * math.log(tip.radius_nm) + share * fresh
        log_radius += law.strong_scatter * self._rng.normal()
        radius = bounded_radius(self._preset, math.exp(log_radius))
        changed = replace(
            tip,
            radius_nm=radius,
            apexes=self._apexes(radius, law.strong_gap_nm),
            coat=tip.coat * law.strong_coat_factor,
            length_nm=tip.length_nm + law.strong_length_nm.draw(self._rng),
        )
        return self._steadied(changed, law.strong_unstable)

    def _marks(self, over_v: float) -> list[Bump]:
        law, rng = self._preset.pulse, self._rng
        width = law.mark_base_nm + law.mark_per_v_nm * over_v
        width += rng.exponential(law.mark_extra_nm)
        mound = self._happens(law.mound_share)
        height = law.mound_height_nm.draw(rng) if mound else -law.pit_depth_nm.draw(rng)
        # Pits are narrower than mounds; the marked diameter is four deviations of a mound.
        sigma = width / (4 if mound else 8)
        flatness = 4.0 if mound else 0.0
        core = Bump(
            0, 0, height, sigma, sigma * rng.uniform(0.7, 1), rng.uniform(0, math.pi), flatness
        )
        return [core, *self._debris(width / 2, law.debris_per_nm * width)]
