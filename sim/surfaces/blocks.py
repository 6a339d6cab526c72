"""Blocks of a preset that describe the surface: its steps, what covers it, what lies on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from sim.presets.blocks import Block, Frozen, NotNegative, Positive, Probability, Spread


def _even(spread: Spread) -> Spread:
    # Places on the surface have uniform numbers to offer, no generator to draw from.
    if spread.law != "uniform" or spread.a > spread.b:
        raise ValueError("expected law uniform with a <= b")
    return spread


#: A uniform distribution.
Even = Annotated[Spread, AfterValidator(_even)]
#: More would not fit into the places that ``scatter`` has for them.
Density = Annotated[float, Field(ge=0, le=0.0625)]


class Mounting(Block):
    """The sample as a whole: how steeply it is mounted."""

    tilt_deg: Spread


class Steps(Block):
    """Steps between terraces: one candidate per cell along a direction, some without any change.

    ``trend`` is the mean number of levels climbed per cell, ``jitter`` (0..1) the spread that
    makes terraces wide and narrow; meander is a bend of the edge, kinks a triangular one.
    """

    height_nm: Positive
    cell_nm: Positive
    position_jitter: Probability
    trend: float
    jitter: Probability
    edge_nm: Positive
    meander_nm: Spread
    meander_period_nm: Spread
    kink_nm: Spread
    kink_period_nm: Spread


class Reconstruction(Block):
    """Herringbone: pairs of ridges; ``bend_deg`` is half the change of course at an elbow."""

    period_nm: Positive
    hcp_width_nm: Positive
    ridge_width_nm: Positive
    amplitude_nm: Positive
    hcp_depth: NotNegative
    elbow_spacing_nm: Positive
    elbow_rounding: Positive
    pinch_nm: NotNegative
    bend_deg: Positive
    wander_nm: NotNegative
    wander_period_nm: Spread
    step_shift: NotNegative


class Adatoms(Block):
    """Adatoms and small clusters, scattered by hashed cells."""

    per_nm2: Density
    height_nm: Even
    sigma_nm: Even
    cluster_share: Probability
    cluster_height_nm: Even
    cluster_sigma_nm: Even


class Spot(Frozen):
    """A point defect or a molecule: a Gaussian of half axes ``wide_nm`` and ``tall_nm``.

    On a lattice the axes lie along its first and second direction. Negative heights are dents;
    ``halo`` digs a moat around a mound, or heaps a rim around a dent.
    """

    per_nm2: Density
    height_nm: Even
    wide_nm: Positive
    tall_nm: Positive
    halo: NotNegative


class Molecules(Block):
    """Molecules of one kind, scattered like adatoms."""

    spot: Spot


class Waves(Block):
    """Standing waves of the surface state that the spectrum describes.

    ``step_nm`` is the height of the wave at a step, ``scatterer_nm`` that one nm away from an
    adatom or a molecule; ``core_nm`` keeps the latter finite. Waves fade over ``coherence_nm``
    and are drawn out to ``reach_nm``.
    """

    step_nm: NotNegative
    scatterer_nm: NotNegative
    phase_deg: float
    core_nm: Positive
    coherence_nm: Positive
    reach_nm: Positive


class Periodic(Block):
    """What all atomically resolved surfaces have in common.

    Heights are those an infinitely sharp tip would show. The tip's radius blurs them by
    ``apex_share`` of what it does to a mound: the last atom resolves more than the curvature of
    the apex. Whatever differs from the bare terrace by ``cover_nm`` hides half of the lattice.
    ``turn_deg`` is the angle between the first lattice vector and the direction across the steps.
    """

    apex_share: Probability
    cover_nm: Positive
    turn_deg: Spread


class Lattice(Periodic):
    """A triangular lattice of equal atoms."""

    period_nm: Positive
    corrugation_nm: Positive


class Dimers(Periodic):
    """Rows of dimers that turn by a right angle from one terrace to the next.

    Dangling bonds sit ``bond_offset_nm`` to either side of a row's middle.
    """

    row_nm: Positive
    dimer_nm: Positive
    row_height_nm: NotNegative
    dimer_height_nm: NotNegative
    bond_offset_nm: NotNegative
    bonds: Spot
    missing: Spot
    split: Spot


class AdatomCell(Periodic):
    """The 7x7 cell of the dimer-adatom-stacking-fault model, twelve adatoms around corner holes.

    Heights added in filled states (negative bias): ``faulted_nm`` for the adatoms of the faulted
    half, ``corner_nm`` for those next to a corner hole, ``rest_nm`` for the rest atoms between
    them. In empty states ``centre_nm`` is added to those away from corner holes. The change from
    one to the other is ``polarity_v`` wide.
    """

    cell_nm: Positive
    adatom_nm: Positive
    adatom_sigma_nm: Positive
    hole_nm: NotNegative
    hole_sigma_nm: Positive
    faulted_nm: NotNegative
    corner_nm: NotNegative
    centre_nm: NotNegative
    rest_nm: NotNegative
    rest_sigma_nm: Positive
    polarity_v: Positive
    vacancies: Spot
    reacted: Spot
