"""What an indentation does to the tip and to the sample below it. Lengths are nm."""

from __future__ import annotations

import math
from dataclasses import replace

from sim.sample import Bump
from sim.tips.law import Change, Law
from sim.tips.tip import Termination, Tip, bounded_radius, dirt_picked_up


class Indenting(Law):
    """The law of indentations: near misses, contacts by one atom, and plastic ones."""

    def dip(self, tip: Tip, penetration_nm: float, bias_v: float, dwell_s: float) -> Change:
        """An indentation that gets ``penetration_nm`` past first contact, or stays short of it."""
        law = self._preset.dip
        if penetration_nm <= 0:
            # The field and the attraction of a near miss can still pull an adsorbate off.
            if tip.termination.is_loose and self._happens(law.touch_desorbs):
                tip = self._cleaned(tip)
            return Change(tip, [])
        if penetration_nm < law.atom_depth_nm:
            return self._atom_contact(tip)
        return self.plastic(tip, penetration_nm, bias_v, dwell_s)

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
        if touched.termination.is_loose and self._happens(law.atom_cleans):
            touched = self._cleaned(touched)
        marks = self._preset.marks
        sigma = marks.debris_sigma_nm.draw(rng)
        return Change(touched, [Bump(0, 0, marks.debris_height_nm.draw(rng), sigma, sigma)])

    def plastic(self, tip: Tip, depth_nm: float, bias_v: float, dwell_s: float) -> Change:
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
            case Termination.WEAK | Termination.MOLECULE:
                return self._cleaned(tip) if self._happens(law.weak_cleans) else tip
            case Termination.CO:
                return self._cleaned(tip)
            case Termination.CLEAN:
                if self._happens(law.pickup * self._latents.dirt):
                    return self._terminated(tip, dirt_picked_up(self._rng, self._preset))
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
