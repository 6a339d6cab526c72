"""Blocks of a preset that describe the surface: its steps, what covers it, what lies on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from sim.presets.blocks import Block, Frozen, Spread
from sim.presets.quantities import (
    Amount,
    Angle,
    Angles,
    Bend,
    Distances,
    Factor,
    Height,
    Length,
    Lengths,
    Probability,
    Reach,
    Relief,
    Shifts,
    SignedFactor,
    Sizes,
    Tilts,
    Width,
)


def _even(spread: Spread) -> Spread:
    # Places on the surface have uniform numbers to offer, no generator to draw from.
    if spread.law != "uniform":
        raise ValueError(f"expected law uniform, got {spread.law}")
    return spread


#: Uniform heights of mounds and dents.
Bumps = Annotated[Shifts, AfterValidator(_even)]
#: Uniform widths.
Widths = Annotated[Sizes, AfterValidator(_even)]
#: More would not fit into the places that ``scatter`` has for them.
Density = Annotated[float, Field(ge=0, le=0.0625)]


class Mounting(Block):
    """The sample as a whole: how steeply it is mounted."""

    tilt_deg: Tilts


class Steps(Block):
    """Steps between terraces: one candidate per cell along a direction, some without any change.

    ``trend`` is the mean number of levels climbed per cell, ``jitter`` (0..1) the spread that
    makes terraces wide and narrow; meander is a bend of the edge, kinks a triangular one. Edges
    of every other upper terrace have only ``even_share`` of either, as those along rows of dimers.
    """

    height_nm: Height
    cell_nm: Length
    position_jitter: Probability
    trend: SignedFactor
    jitter: Probability
    edge_nm: Length
    meander_nm: Lengths
    meander_period_nm: Distances
    kink_nm: Lengths
    kink_period_nm: Distances
    even_share: Probability = 1.0


class Reconstruction(Block):
    """Herringbone: pairs of ridges; ``bend_deg`` is half the change of course at an elbow."""

    period_nm: Length
    hcp_width_nm: Length
    ridge_width_nm: Length
    amplitude_nm: Height
    hcp_depth: Amount
    elbow_spacing_nm: Length
    elbow_rounding: Factor
    pinch_nm: Reach
    bend_deg: Bend
    wander_nm: Reach
    wander_period_nm: Distances
    step_shift: Amount


class Adatoms(Block):
    """Adatoms and small clusters, scattered by hashed cells."""

    per_nm2: Density
    height_nm: Bumps
    sigma_nm: Widths
    cluster_share: Probability
    cluster_height_nm: Bumps
    cluster_sigma_nm: Widths


class Spot(Frozen):
    """A point defect or a molecule: a Gaussian of half axes ``wide_nm`` and ``tall_nm``.

    On a lattice the axes lie along its first and second direction. Negative heights are dents;
    ``halo`` digs a moat around a mound, or heaps a rim around a dent.
    """

    per_nm2: Density
    height_nm: Bumps
    wide_nm: Length
    tall_nm: Length
    halo: Amount


class Molecules(Block):
    """Molecules of one kind, scattered like adatoms."""

    spot: Spot


class Waves(Block):
    """Standing waves of the surface state that the spectrum describes.

    ``step_nm`` is the height of the wave at a step, ``scatterer_nm`` that one nm away from an
    adatom or a molecule; ``core_nm`` keeps the latter finite. Waves fade over ``coherence_nm``
    and are drawn out to ``reach_nm``.
    """

    step_nm: Relief
    scatterer_nm: Relief
    phase_deg: Angle
    core_nm: Length
    coherence_nm: Length
    reach_nm: Length


class Periodic(Block):
    """What all atomically resolved surfaces have in common.

    Heights are those an infinitely sharp tip would show. The tip's radius blurs them by
    ``apex_share`` of what it does to a mound: the last atom resolves more than the curvature of
    the apex. An adsorbate there is wider and looser than an atom; then ``dirty_apex_share`` counts.
    Whatever differs from the bare terrace by ``cover_nm`` hides half of the lattice.
    ``turn_deg`` is the angle between the first lattice vector and the direction across the steps.
    """

    apex_share: Probability
    dirty_apex_share: Probability
    cover_nm: Height
    turn_deg: Angles


class Lattice(Periodic):
    """A triangular lattice of equal atoms."""

    period_nm: Length
    corrugation_nm: Height


class Dimers(Periodic):
    """Rows of dimers that turn by a right angle from one terrace to the next.

    In filled states (negative bias) a dimer is one bean across its row; in empty states a node
    ``node_nm`` deep parts its atoms. The change from one to the other is ``polarity_v`` wide.
    Dangling bonds sit ``bond_offset_nm`` to either side of a row's middle.
    """

    row_nm: Length
    dimer_nm: Length
    row_height_nm: Relief
    dimer_height_nm: Relief
    node_nm: Relief
    polarity_v: Width
    bond_offset_nm: Reach
    bonds: Spot
    missing: Spot
    split: Spot


class AdatomCell(Periodic):
    """The 7x7 cell of the dimer-adatom-stacking-fault model, twelve adatoms around corner holes.

    Heights added in filled states (negative bias): ``faulted_nm`` for the adatoms of the faulted
    half, ``corner_nm`` for those next to a corner hole, ``rest_nm`` for the rest atoms between
    them. In empty states ``centre_nm`` is added to those away from corner holes. The change from
    one to the other is ``polarity_v`` wide. Domains ``domain_nm`` across are out of step with each
    other, on one terrace as from terrace to terrace.
    """

    cell_nm: Length
    adatom_nm: Height
    adatom_sigma_nm: Length
    hole_nm: Relief
    hole_sigma_nm: Length
    faulted_nm: Relief
    corner_nm: Relief
    centre_nm: Relief
    rest_nm: Relief
    rest_sigma_nm: Length
    polarity_v: Width
    domain_nm: Length
    vacancies: Spot
    reacted: Spot
