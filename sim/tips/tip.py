"""The tip: the apexes that image, what they end in, and how steady they are. Lengths in nm."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from drivers.errors import ConfigError
from sim.presets.preset import Preset
from sim.tips.blocks import CarbonMonoxide, Good, LargeMolecule
from sim.tips.states import TipStates


class Termination(StrEnum):
    """What the foremost apex ends in."""

    CLEAN = "clean"
    WEAK = "weak"
    STRONG = "strong"
    CO = "co"
    MOLECULE = "molecule"

    @property
    def is_dirt(self) -> bool:
        """Whether it lowers the barrier and hops; carbon monoxide sits still and does not."""
        return self not in (Termination.CLEAN, Termination.CO)

    @property
    def is_loose(self) -> bool:
        """Whether a field or a touch that leaves the metal alone can take it off."""
        return self in (Termination.WEAK, Termination.MOLECULE)


@dataclass(frozen=True, slots=True)
class Apex:
    """A minor apex: where it sits beside the first one, and how much shorter it is (nm)."""

    dx_nm: float
    dy_nm: float
    gap_nm: float


@dataclass(frozen=True, slots=True)
class Adsorbate:
    """A molecule that hangs in front of the metal and images in its place.

    Attributes:
        radius_nm: radius that it images with.
        ahead_nm: by how much the metal falls short of it.
        lobes: what it images with, seen from the first apex of the metal; the first has no gap.
    """

    radius_nm: float
    ahead_nm: float
    lobes: tuple[Apex, ...]


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
        electronic: the states of the apex itself; None if its density of states is flat.
        adsorbate: the molecule it ends in, where that has a shape of its own.
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
    electronic: TipStates | None = None
    adsorbate: Adsorbate | None = None

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

    @property
    def imaging_radius_nm(self) -> float:
        """Radius of what images: the molecule in front, or the metal."""
        return self.adsorbate.radius_nm if self.adsorbate else self.radius_nm

    @property
    def imaging_apexes(self) -> tuple[Apex, ...]:
        """Everything that images, the foremost first."""
        metal = (Apex(0.0, 0.0, 0.0), *self.apexes)
        if not self.adsorbate:
            return metal
        behind = self.adsorbate.ahead_nm
        return (
            *self.adsorbate.lobes,
            *(replace(apex, gap_nm=apex.gap_nm + behind) for apex in metal),
        )

    def same_apex(self, other: Tip) -> bool:
        """Whether the atoms that conduct are still those of ``other``."""
        shape = self.radius_nm, self.apexes, self.termination, self.adsorbate
        return shape == (other.radius_nm, other.apexes, other.termination, other.adsorbate)

    def is_good(self, good: Good, life_frames: float = math.inf) -> bool:
        """Whether the tip meets the definition of a good one, with a mean life as given."""
        sharp = self.radius_nm < good.max_radius_nm and self.gap_nm > good.min_gap_nm
        lasting = life_frames >= good.min_life_frames
        return sharp and lasting and self.clean and self.stable

    def is_step_good(self, good: Good, step_nm: float, life_frames: float = math.inf) -> bool:
        """Whether the tip is good for steps of ``step_nm``, too: no minor apex doubles them."""
        least = step_nm + good.step_margin_nm
        near = (a for a in self.apexes if math.hypot(a.dx_nm, a.dy_nm) <= good.step_reach_nm)
        return self.is_good(good, life_frames) and all(apex.gap_nm >= least for apex in near)


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
        termination = dirt_picked_up(rng, preset)
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
    """``tip`` with another termination, and the shape, decay and flicker that go with it.

    Raises:
        ConfigError: the preset does not say what such a termination is like.
    """
    law = preset.tunnelling
    decay = (law.dirty_decay_per_nm if termination.is_dirt else law.decay_per_nm).draw(rng)
    # What a molecule made unsteady is steady without it.
    stable = tip.stable or tip.termination is Termination.MOLECULE
    adsorbate = None
    if termination is Termination.CO:
        adsorbate = _carbon_monoxide(rng, preset.carbon_monoxide)
    elif termination is Termination.MOLECULE:
        adsorbate, firm = _large_molecule(rng, preset.large_molecule)
        stable = stable and firm
    changed = replace(tip, termination=termination, decay_per_nm=decay, adsorbate=adsorbate)
    return steadied(rng, preset, changed, stable)


def dirt_picked_up(rng: np.random.Generator, preset: Preset) -> Termination:
    """What a weak adsorbate turns out to be: something small, or a large molecule."""
    law = preset.large_molecule
    return Termination.MOLECULE if law and rng.uniform() < law.share else Termination.WEAK


def _carbon_monoxide(rng: np.random.Generator, law: CarbonMonoxide | None) -> Adsorbate:
    if law is None:
        raise ConfigError("the preset has no section carbon_monoxide, so no tip can end in CO")
    return Adsorbate(law.radius_nm.draw(rng), law.ahead_nm, (Apex(0.0, 0.0, 0.0),))


def _large_molecule(rng: np.random.Generator, law: LargeMolecule | None) -> tuple[Adsorbate, bool]:
    """A molecule with its lobes around its middle; and whether it sits firmly."""
    if law is None:
        raise ConfigError("the preset has no section large_molecule, so no tip can end in one")
    x, y = _offset(rng, law.shift_nm.draw(rng))
    lobes = [Apex(x, y, 0.0)]
    for gap in rng.exponential(law.lobe_gap_nm, law.lobes):
        dx, dy = _offset(rng, law.lobe_nm.draw(rng))
        lobes.append(Apex(x + dx, y + dy, float(gap)))
    firm = bool(rng.uniform() >= law.unstable)
    return Adsorbate(law.radius_nm.draw(rng), law.ahead_nm, tuple(lobes)), firm


def _offset(rng: np.random.Generator, distance_nm: float) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * math.pi)
    return distance_nm * math.cos(angle), distance_nm * math.sin(angle)


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
    # Dirt hops even on a firm apex: short spikes, not whole lines.
    if not tip.termination.is_dirt:
        return replace(tip, stable=True, flicker=None)
    spikes = Flicker(
        out_hz=law.dirty_out_hz.draw(rng),
        back_hz=law.dirty_back_hz.draw(rng),
        height_nm=law.dirty_height_nm.draw(rng),
    )
    return replace(tip, stable=True, flicker=spikes)
