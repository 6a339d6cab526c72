"""What a pulse, an indentation, a landing or a scan does to the tip and to the sample below it.

No transition probabilities have been published. The shapes follow what has: thresholds and both
signs of marks for pulses between gold and gold, transfer of the last atom at first contact (Limot
et al., Phys. Rev. Lett. 94, 126102), annealing by repeated gentle contact (Sabater et al., Phys.
Rev. Lett. 108, 205502), imprints that mirror the apex. What one cannot know varies from episode to
episode (``Latents``) and is never shown. Lengths are nm; marks are relative to the tip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sim.preset import Preset
from sim.sample import Bump
from sim.tip import (
    Apex,
    Termination,
    Tip,
    bounded_radius,
    draw_apexes,
    steadied,
    terminated,
)


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


@dataclass(frozen=True, slots=True)
class Change:
    """What happened: the tip afterwards, and marks relative to its position."""

    tip: Tip
    marks: list[Bump]


class Conditioning:
    """The laws of one episode: preset, hidden parameters, and the generator of chance."""

    def __init__(self, preset: Preset, latents: Latents, rng: np.random.Generator) -> None:
        self._preset = preset
        self._latents = latents
        self._rng = rng

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
        if not self._happens(_logistic((volts - threshold) / law.steepness_v)):
            return Change(tip, [])
        over = max(volts - threshold, 0.0)
        if tip.termination is Termination.STRONG and self._happens(
            1 - math.exp(-law.clean_offset - law.clean_per_v * over)
        ):
            tip = self._cleaned(tip)
        # What a pulse just above threshold moves are asperities; more melts the apex.
        changed = self._mildly(tip) if over < law.strong_v else self._strongly(tip, over)
        return Change(replace(changed, gentle_dips=0), self._pulse_marks(over))

    def dip(self, tip: Tip, penetration_nm: float, bias_v: float, dwell_s: float) -> Change:
        """An indentation that gets ``penetration_nm`` past first contact, or stays short of it."""
        law = self._preset.dip
        if penetration_nm <= 0:
            # The field and the attraction of a near miss can still pull an adsorbate off.
            if tip.termination is Termination.WEAK and self._happens(law.touch_desorbs):
                tip = self._cleaned(tip)
            return Change(tip, [])
        if penetration_nm < law.atom_depth_nm:
            return self._atom_contact(tip)
        return self._plastic(tip, penetration_nm, bias_v, dwell_s)

    def scan_line(self, tip: Tip, corrugation_nm: float) -> Tip:
        """The tip after one more line of a scan: usually the same one."""
        law = self._preset.changes
        rate = self._latents.change_per_frame / law.frame_lines
        rate *= 1.0 if tip.stable else law.unstable_factor
        # Debris and step bunches in the way tear at the apex.
        rate *= law.rough_factor if corrugation_nm > law.rough_nm else 1.0
        if not self._happens(rate):
            return tip
        changed = replace(
            tip,
            apexes=self._apexes(tip.radius_nm, law.gap_mean_nm),
            length_nm=tip.length_nm + law.length_nm.draw(self._rng),
        )
        return self._steadied(changed, law.becomes_unstable)

    def landing(self, tip: Tip) -> Change:
        """The coarse approach reaches the sample, gently as a rule."""
        law = self._preset.landing
        if not self._happens(law.bad_share):
            return Change(tip, [])
        return self._plastic(tip, law.bad_depth_nm.draw(self._rng), 0.0, 0.0)

    def crash(self, tip: Tip) -> Change:
        """The tip is driven into the sample."""
        change = self._plastic(tip, self._preset.marks.crash_depth_nm, 0.0, 0.0)
        # Whatever came up from the sample sticks, and nothing sits firmly any more.
        ruined = self._terminated(replace(change.tip, stable=False), Termination.STRONG)
        return Change(ruined, change.marks)

    def _happens(self, probability: float) -> bool:
        return bool(self._rng.uniform() < probability)

    def _apexes(self, radius_nm: float, mean_gap_nm: float) -> tuple[Apex, ...]:
        return draw_apexes(self._rng, self._preset, radius_nm, mean_gap_nm)

    def _terminated(self, tip: Tip, termination: Termination) -> Tip:
        return terminated(self._rng, self._preset, tip, termination)

    def _cleaned(self, tip: Tip) -> Tip:
        return self._terminated(tip, Termination.CLEAN)

    def _steadied(self, tip: Tip, unstable: float) -> Tip:
        return steadied(self._rng, self._preset, tip, not self._happens(unstable))

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
        if tip.termination is not Termination.WEAK:
            return tip
        excess = (volts - law.desorb_fraction * threshold) / law.desorb_steepness_v
        if not self._happens(_logistic(excess)):
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

    def _pulse_marks(self, over_v: float) -> list[Bump]:
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

    def _debris(self, reach_nm: float, count: float) -> list[Bump]:
        law, rng = self._preset.marks, self._rng
        bits = []
        for _ in range(rng.poisson(count)):
            distance = reach_nm * law.debris_reach * math.sqrt(rng.uniform())
            angle = rng.uniform(0, 2 * math.pi)
            sigma = law.debris_sigma_nm.draw(rng)
            place = distance * math.cos(angle), distance * math.sin(angle)
            bits.append(Bump(*place, law.debris_height_nm.draw(rng), sigma, sigma))
        return bits

    def _atom_contact(self, tip: Tip) -> Change:
        """First contact: the last atom may stay behind on the sample."""
        law, rng = self._preset.dip, self._rng
        touched = replace(tip, gentle_dips=tip.gentle_dips + 1)
        if not self._happens(law.atom_event):
            return Change(touched, [])
        # Losing or gaining one atom changes by how much the others fall short.
        apexes = list(touched.apexes)
        if apexes:
            gap = max(apexes[0].gap_nm + law.atom_gap.draw(rng), 0.0)
            apexes[0] = replace(apexes[0], gap_nm=gap)
        touched = replace(
            touched,
            apexes=tuple(sorted(apexes, key=lambda apex: apex.gap_nm)),
            radius_nm=bounded_radius(
                self._preset, tip.radius_nm * math.exp(law.atom_radius.draw(rng))
            ),
        )
        if not touched.stable and self._happens(law.atom_steadies):
            touched = self._steadied(touched, 0.0)
        if touched.termination is Termination.WEAK and self._happens(law.atom_cleans):
            touched = self._cleaned(touched)
        marks = self._preset.marks
        sigma = marks.debris_sigma_nm.draw(rng)
        return Change(touched, [Bump(0, 0, marks.debris_height_nm.draw(rng), sigma, sigma)])

    def _plastic(self, tip: Tip, depth_nm: float, bias_v: float, dwell_s: float) -> Change:
        """Plastic indentation: neck, rupture, and a new apex that remembers some of the old one."""
        law, rng = self._preset.dip, self._rng
        best = self._latents.best_depth_nm
        fit = math.exp(-0.5 * (math.log(depth_nm / best) / law.fit_width) ** 2)
        longer = 1 + law.dwell_gain_per_decade * math.log10(1 + 10 * dwell_s)
        gain = (law.coat_gain + law.coat_gain_per_nm * min(depth_nm, 2.0)) * longer
        coat = min(1.0, tip.coat + gain)
        # Only gentle contact anneals; one deep push starts the count again.
        dips = tip.gentle_dips + 1 if depth_nm < law.anneal_depth * best else 0
        annealed = 1 - math.exp(-dips / law.anneal_count)
        coated = law.gap_bare_coat + (1 - law.gap_bare_coat) * coat
        steady = law.gap_bare_anneal + (1 - law.gap_bare_anneal) * annealed
        radius = self._new_radius(tip.radius_nm, depth_nm, fit * coated)
        length = rng.normal(law.length_per_nm * depth_nm, law.length_scatter_per_nm * depth_nm)
        marks = self._imprint(tip, depth_nm)
        changed = replace(
            tip,
            radius_nm=radius,
            apexes=self._apexes(radius, law.gap_floor_nm + law.gap_fit_nm * fit * coated * steady),
            coat=coat,
            gentle_dips=dips,
            length_nm=tip.length_nm + length,
        )
        changed = self._wiped(changed, depth_nm, bias_v)
        unstable = law.unstable - law.unstable_fit * fit * coated
        return Change(self._steadied(changed, unstable), marks)

    def _new_radius(self, old_nm: float, depth_nm: float, fit: float) -> float:
        law = self._preset.dip
        miss = depth_nm - self._latents.best_depth_nm
        target = law.radius_floor_nm + law.radius_miss * abs(miss)
        target += law.radius_deep * max(miss, 0.0) ** law.radius_deep_power
        fresh = math.log(target) - law.radius_fit * fit + law.radius_scatter * self._rng.normal()
        # A shallow dip cannot reshape a very blunt tip.
        shallow = old_nm > law.blunt_slope * depth_nm + law.blunt_offset_nm
        memory = law.blunt_memory if shallow else math.exp(-depth_nm / law.memory_nm)
        log_radius = memory * math.log(old_nm) + (1 - memory) * fresh
        return bounded_radius(self._preset, math.exp(log_radius))

    def _wiped(self, tip: Tip, depth_nm: float, bias_v: float) -> Tip:
        """Contact wipes dirt off, and now and then picks some up."""
        law = self._preset.dip
        match tip.termination:
            case Termination.STRONG:
                force = law.strong_cleans_per_nm * depth_nm + law.strong_cleans_per_v * abs(bias_v)
                return self._cleaned(tip) if self._happens(1 - math.exp(-force)) else tip
            case Termination.WEAK:
                return self._cleaned(tip) if self._happens(law.weak_cleans) else tip
            case Termination.CLEAN:
                if self._happens(law.pickup * self._latents.dirt):
                    return self._terminated(tip, Termination.WEAK)
                return tip

    def _imprint(self, tip: Tip, depth_nm: float) -> list[Bump]:
        """A mound below every apex that reached the sample; a crater where the push was deep."""
        law, rng = self._preset.dip, self._rng
        marks = []
        # Minor apexes arrive later by their gap, and only if the push goes deep enough.
        touching = [(0.0, 0.0, 0.0), *((a.dx_nm, a.dy_nm, a.gap_nm) for a in tip.apexes)]
        for dx, dy, gap in touching:
            reached = depth_nm - gap
            if reached <= 0:
                continue
            height = min(law.mound_height_nm + law.mound_per_nm * reached, law.mound_limit_nm)
            contact = math.sqrt(2 * tip.radius_nm * reached)
            sigma = law.mound_sigma_nm + law.mound_sigma_contact * contact
            tall = sigma * rng.uniform(0.85, 1.0)
            height *= math.exp(law.mound_scatter * rng.normal())
            marks.append(Bump(dx, dy, height, sigma, tall, rng.uniform(0, math.pi)))
        if depth_nm > law.crater_depth_nm:
            # What the crater lost is piled up around it.
            radius = 0.5 * math.sqrt(2 * tip.radius_nm * depth_nm)
            rim = radius * law.crater_rim
            marks.append(Bump(0, 0, law.rim_height_nm, rim, rim * rng.uniform(0.75, 1.0), 0.0, 8.0))
            pit = law.rim_height_nm + law.crater_per_nm * depth_nm
            marks.append(Bump(0, 0, -pit, radius, radius, 0.0, 5.0))
        # Half the diameter that operators keep clear of afterwards.
        reach = law.debris_base_nm + law.debris_reach_per_nm * depth_nm
        return marks + self._debris(reach, law.debris_per_nm * depth_nm)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-min(max(x, -60.0), 60.0)))
