"""Kinds of tips for a data set: one trouble at a time, or whatever the preset draws.

Tips that end in a molecule are kinds of their own on presets that say what that is like: CO on
surfaces with CO, a larger molecule under tip materials (``au111-w``).
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from drivers.errors import ConfigError
from sim.presets.preset import Preset
from sim.tips.latents import Latents
from sim.tips.tip import Apex, Termination, Tip, bounded_radius, draw_apexes, draw_first, terminated


class TipKind(StrEnum):
    """What is wrong with the tip; all but ``any`` are good tips otherwise.

    A molecule also flips to and fro in the share of tips that the preset has for it.
    """

    GOOD = "good"
    BLUNT = "blunt"
    DOUBLE = "double"
    UNSTABLE = "unstable"
    CONTAMINATED = "contaminated"
    CO = "co"
    MOLECULE = "molecule"
    ANY = "any"


#: Sections of a preset without which a kind cannot be.
SECTIONS = {TipKind.CO: "carbon_monoxide", TipKind.MOLECULE: "large_molecule"}
TERMINATIONS = {TipKind.CO: Termination.CO, TipKind.MOLECULE: Termination.MOLECULE}


def check_kind(preset: Preset, kind: TipKind) -> None:
    """Let a kind of tip pass, or refuse it.

    Raises:
        ConfigError: the preset does not say what such a tip is like.
    """
    section = SECTIONS.get(kind)
    if section and getattr(preset, section) is None:
        example = "cu111" if kind is TipKind.CO else "au111-w"
        raise ConfigError(
            f"tip {kind} needs a preset with a section {section}, such as {example}; "
            f"{preset.name} has none"
        )


def draw_kind(rng: np.random.Generator, preset: Preset, kind: TipKind) -> Tip:
    """A tip of ``kind``, its numbers spread as those of the preset's tips with that trouble.

    Raises:
        ConfigError: the preset does not say what such a tip is like.
    """
    check_kind(preset, kind)
    dirt = Latents.draw(rng, preset).dirt
    if kind is TipKind.ANY:
        return draw_first(rng, preset, dirt)
    radius = _radius(rng, preset, blunt=kind is TipKind.BLUNT)
    tip = Tip(
        radius_nm=radius,
        apexes=_apexes(rng, preset, radius, double=kind is TipKind.DOUBLE),
        stable=kind is not TipKind.UNSTABLE,
    )
    termination = TERMINATIONS.get(kind, Termination.CLEAN)
    if kind is TipKind.CONTAMINATED:
        strong = rng.uniform() * (dirt + preset.first_tip.weak_share) < dirt
        termination = Termination.STRONG if strong else Termination.WEAK
    return terminated(rng, preset, tip, termination)


def _radius(rng: np.random.Generator, preset: Preset, *, blunt: bool) -> float:
    """A radius on the wanted side of the limit."""
    while True:
        radius = bounded_radius(preset, preset.first_tip.radius_nm.draw(rng))
        if (radius >= preset.good.max_radius_nm) is blunt:
            return radius


def _apexes(
    rng: np.random.Generator, preset: Preset, radius_nm: float, *, double: bool
) -> tuple[Apex, ...]:
    """Minor apexes, the first of them on the wanted side of the limit."""
    while True:
        apexes = draw_apexes(rng, preset, radius_nm, preset.first_tip.gap_mean_nm)
        if (min(apex.gap_nm for apex in apexes) <= preset.good.min_gap_nm) is double:
            return apexes
