"""Blocks of the ``[spectrum]`` and ``[good_spectrum]`` sections of a preset.

Energies are eV from the Fermi level of the side they belong to. Weights compare a state with the
bulk at the Fermi level of the sample, or with the flat density of the tip, which both count as 1.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from sim.presets.blocks import Block
from sim.presets.quantities import (
    Amount,
    Delay,
    Energies,
    Energy,
    EnergyWidths,
    Factor,
    Factors,
    Height,
    Length,
    Negative,
    Probability,
    SignedFactor,
    Slopes,
    Temperature,
    Voltage,
    Width,
)


class StepScattering(Block):
    """What a step reflects: ``loss`` of the density right at it, in phase over ``coherence_nm``."""

    loss: Probability
    coherence_nm: Length


class BoundState(Block):
    """A level ``below_ev`` under the bottom of a band, ``sigma_nm`` (deviation) around adatoms."""

    sigma_nm: Length
    below_ev: Amount
    width_ev: Width
    weight: Factor


class Shadow(Block):
    """``loss`` of a density on top of a molecule, ``sigma_nm`` (deviation) around its middle."""

    sigma_nm: Length
    loss: Probability


class SurfaceState(Block):
    """A Shockley state: a band with its bottom at ``onset_ev`` and an effective ``mass``.

    In two dimensions that is a step in the density of states; ``linewidth_ev`` (full width at half
    maximum) is what the lifetime makes of it. Steps, adatoms and molecules change it nearby.
    """

    onset_ev: Energy
    mass: Factor
    linewidth_ev: Width
    weight: Factor
    step: StepScattering | None = None
    adatom: BoundState | None = None
    molecule: Shadow | None = None


class Gap(Block):
    """A gap between two edges of width ``edge_ev``; ``residual`` of the density is left in it."""

    valence_ev: Negative
    conduction_ev: Voltage
    edge_ev: Width
    residual: Annotated[float, Field(gt=0, lt=1)]


class SampleLevel(Block):
    """A localised state of the surface: a Lorentzian, ``width_ev`` wide at half maximum."""

    energy_ev: Energy
    width_ev: Width
    weight: Factor


class TipStatesLaw(Block):
    """How the electronic state of an apex is drawn.

    The number of levels is a Poisson number; its mean runs from ``bare_levels`` to
    ``coated_levels`` as the apex gets covered by metal of the sample, and is ``dirty_levels`` for
    one that does not end in clean metal. ``floor`` is the least density left.
    """

    bare_levels: Amount
    coated_levels: Amount
    dirty_levels: Amount
    energy_ev: Energies
    width_ev: EnergyWidths
    weight: Factors
    slope_per_ev: Slopes
    floor: Annotated[float, Field(gt=0, lt=1)]


class SpectrumLaw(Block):
    """What spectra of the surface show, and within which limits they can be taken.

    The bulk has the density 1 + slope E + curvature E^2. It holds up to
    ``max_bias_v``; ``settle_s`` is waited at every bias before averaging begins.
    """

    temperature_k: Temperature
    slope_per_ev: SignedFactor
    curvature_per_ev2: Amount
    max_bias_v: Voltage
    settle_s: Delay
    tip: TipStatesLaw
    surface_state: SurfaceState | None = None
    gap: Gap | None = None
    levels: tuple[SampleLevel, ...] = ()

    @model_validator(mode="after")
    def _bulk_stays_positive(self) -> Self:
        reach = self.max_bias_v
        if 1 - abs(self.slope_per_ev) * reach + self.curvature_per_ev2 * reach**2 <= 0:
            raise ValueError("slope_per_ev makes the density negative within max_bias_v")
        return self


class GoodSpectrum(Block):
    """What counts as an electronically good tip: its dI/dV is compared with that of a flat one.

    Between ``from_v`` and ``to_v`` the steepest rise must lie within ``max_onset_error_v`` of its
    place (asked only of surfaces with a surface state), and the ratio of both curves may differ
    from its median by no more than ``max_deviation``. Both are worked out for a barrier of
    ``barrier_ev`` and ``gap_nm``, without heat and noise.
    """

    from_v: Negative
    to_v: Voltage
    max_onset_error_v: Voltage
    max_deviation: Probability
    barrier_ev: Voltage
    gap_nm: Height
