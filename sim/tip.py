"""The tip: the apexes that image, what they end in, and how steady they are. Lengths in nm."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from sim.preset import Good, Preset


class Termination(StrEnum):
    """What the foremost apex ends in."""

    CLEAN = "clean"
    WEAK = "weak"
    STRONG = "strong"


@dataclass(frozen=True, slots=True)
class Apex:
    """A minor apex: where it sits beside the first one, and how much shorter it is (nm)."""

    dx_nm: float
    dy_nm: float
    gap_nm: float


@dataclass(frozen=True, slots=True)
class Flicker:
    """Telegraph switching to a second configuration of the apex.

    Attributes:
        out_hz: rate of leaving the usual configuration.
        back_hz: rate of coming back to it.
        height_nm: how much longer (or shorter) the tip is in the second configuration.
        dx_nm: sideways shift of the whole apex in the second configuration.
        dy_nm: the same along y.
    """

    out_hz: float
    back_hz: float
    height_nm: float
    dx_nm: float = 0.0
    dy_nm: float = 0.0

    @property
    def duty(self) -> float:
        """Share of the time spent in the second configuration."""
        return self.out_hz / (self.out_hz + self.back_hz)


@dataclass(frozen=True, slots=True)
class Tip:
    """State of a tip; every change makes a new one.

    Attributes:
        radius_nm: radius of curvature of the first apex.
        apexes: minor apexes, the one with the smallest gap first.
        termination: what the first apex ends in.
        stable: whether the apex keeps its shape while imaging.
        decay_per_nm: 2 kappa, decay of the current with distance.
        flicker: telegraph switching, of an unstable or a dirty tip.
        coat: share of the apex covered by metal of the sample, 0..1.
        gentle_dips: gentle indentations in a row, which anneal the apex.
        length_nm: how much longer the tip is than at the start.
    """

    radius_nm: float
    apexes: tuple[Apex, ...] = ()
    termination: Termination = Termination.CLEAN
    stable: bool = True
    decay_per_nm: float = 22.0
    flicker: Flicker | None = None
    coat: float = 0.0
    gentle_dips: int = 0
    length_nm: float = 0.0

    @property
    def gap_nm(self) -> float:
        """Height by which the first minor apex falls short; infinite for a single apex."""
        return min((apex.gap_nm for apex in self.apexes), default=math.inf)

    @property
    def duty(self) -> float:
        """Share of the time that the apex is switched; 0 for a steady one."""
        return self.flicker.duty if self.flicker else 0.0

    @property
    def clean(self) -> bool:
        """Whether bare metal images."""
        return self.termination is Termination.CLEAN

    def is_good(self, good: Good) -> bool:
        """Whether the tip meets the definition of a good one."""
        sharp = self.radius_nm < good.max_radius_nm and self.gap_nm > good.min_gap_nm
        return sharp and self.clean and self.stable


def draw_apexes(
    rng: np.random.Generator, preset: Preset, radius_nm: float, mean_gap_nm: float
) -> tuple[Apex, ...]:
    """Minor apexes with exponential gaps; blunt tips have theirs farther out."""
    law = preset.apexes
    gaps = sorted(rng.exponential(mean_gap_nm, law.minor_count))
    # The shoulders of a blunt apex lie far out, so do the asperities on them.
    bluntness = math.log(radius_nm / law.min_radius_nm) / math.log(
        law.max_radius_nm / law.min_radius_nm
    )
    apexes = []
    for gap in gaps:
        share = law.offset_radius_share
        place = (1 - share) * rng.uniform() + share * bluntness
        offset = law.offset_min_nm * (law.offset_max_nm / law.offset_min_nm) ** place
        angle = rng.uniform(0, 2 * math.pi)
        apexes.append(Apex(offset * math.cos(angle), offset * math.sin(angle), float(gap)))
    return tuple(apexes)


def draw_first(rng: np.random.Generator, preset: Preset, dirt: float) -> Tip:
    """A tip as it comes to the first approach, good or bad; ``dirt`` is the chance of an oxide."""
    first = preset.first_tip
    radius = bounded_radius(preset, first.radius_nm.draw(rng))
    coat = float(rng.uniform()) if rng.uniform() < first.coated_share else 0.0
    u = rng.uniform()
    termination = Termination.CLEAN
    if u < dirt:
        termination = Termination.STRONG
    elif u < dirt + first.weak_share:
        termination = Termination.WEAK
    tip = Tip(
        radius_nm=radius,
        apexes=draw_apexes(rng, preset, radius, first.gap_mean_nm),
        stable=bool(rng.uniform() >= first.unstable_share),
        coat=coat,
    )
    return terminated(rng, preset, tip, termination)


def draw_bad(rng: np.random.Generator, preset: Preset, dirt: float) -> Tip:
    """A tip that is not good, drawn like any first tip otherwise."""
    while True:
        tip = draw_first(rng, preset, dirt)
        if not tip.is_good(preset.good):
            return tip


def bounded_radius(preset: Preset, radius_nm: float) -> float:
    """``radius_nm``, kept between an atom and the shank."""
    return min(max(radius_nm, preset.apexes.min_radius_nm), preset.apexes.max_radius_nm)


def terminated(rng: np.random.Generator, preset: Preset, tip: Tip, termination: Termination) -> Tip:
    """``tip`` with another termination, and the decay and the flicker that go with it."""
    law = preset.tunnelling
    clean = termination is Termination.CLEAN
    decay = (law.decay_per_nm if clean else law.dirty_decay_per_nm).draw(rng)
    changed = replace(tip, termination=termination, decay_per_nm=decay)
    return steadied(rng, preset, changed, tip.stable)


def steadied(rng: np.random.Generator, preset: Preset, tip: Tip, stable: bool) -> Tip:
    """``tip`` made stable or unstable; a dirty stable tip still shows short spikes."""
    law = preset.instability
    if not stable:
        angle, shift = rng.uniform(0, 2 * math.pi), law.shift_nm.draw(rng)
        flicker = Flicker(
            out_hz=law.out_hz.draw(rng),
            back_hz=law.back_hz.draw(rng),
            height_nm=law.height_nm.draw(rng) * (1 if rng.uniform() < 0.5 else -1),
            dx_nm=shift * math.cos(angle),
            dy_nm=shift * math.sin(angle),
        )
        return replace(tip, stable=False, flicker=flicker)
    # An adsorbate hops even on a firm apex: short spikes, not whole lines.
    if tip.clean:
        return replace(tip, stable=True, flicker=None)
    spikes = Flicker(
        out_hz=law.dirty_out_hz.draw(rng),
        back_hz=law.dirty_back_hz.draw(rng),
        height_nm=law.dirty_height_nm.draw(rng),
    )
    return replace(tip, stable=True, flicker=spikes)
