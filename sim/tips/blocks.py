"""Blocks of a preset about tips: how they are drawn, what they image with, what changes them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.presets.blocks import Block
from sim.presets.quantities import (
    Amount,
    Area,
    Conductance,
    Count,
    Decays,
    Duration,
    Exponents,
    Factor,
    Factors,
    Frequencies,
    Height,
    Heights,
    Length,
    Lengths,
    Probability,
    Reach,
    Relief,
    Resistance,
    Shares,
    Shifts,
    SignedFactor,
    Sizes,
    Voltage,
    Voltages,
    Width,
)

#: What a picture must show before anybody can tell from it what the tip is like.
Feature = Literal["herringbone", "step", "adatom", "co", "corner_holes", "dimers", "lattice"]


class Good(Block):
    """What counts as a good tip; it must also be clean and stable.

    Good for terraces: ``max_radius_nm``, ``min_gap_nm`` to the first minor apex, and a mean life
    of ``min_life_frames`` before it changes by itself. Good for steps: besides, every minor apex
    within ``step_reach_nm`` falls short by the height of a step and ``step_margin_nm`` more. A
    picture has to show all of ``judged_by``: a bare terrace looks the same to sharp and to blunt
    tips.
    """

    max_radius_nm: Height
    min_gap_nm: Height
    min_life_frames: Count = 0.0
    step_reach_nm: Length = 30.0
    step_margin_nm: Relief = 0.05
    judged_by: tuple[Feature, ...] = ("herringbone", "step")


class Tunnelling(Block):
    """Decay of the current: ``decay_per_nm`` is 2 kappa of a clean tip."""

    decay_per_nm: Decays
    dirty_decay_per_nm: Decays
    contact_conductance_s: Conductance
    weak_halo: Amount
    strong_halo: Amount


class Apexes(Block):
    """How apexes are drawn; gaps are the heights by which minor apexes fall short of the first."""

    minor_count: Annotated[int, Field(ge=1, le=3)]
    offset_min_nm: Length
    offset_max_nm: Length
    offset_radius_share: Probability
    min_radius_nm: Length
    max_radius_nm: Length

    @model_validator(mode="after")
    def _least_below_most(self) -> Self:
        if not self.offset_min_nm < self.offset_max_nm:
            raise ValueError("offset_min_nm must be below offset_max_nm")
        if not self.min_radius_nm < self.max_radius_nm:
            raise ValueError("min_radius_nm must be below max_radius_nm")
        return self


class FirstTip(Block):
    """The tip an episode starts with, before bad ones are picked."""

    radius_nm: Sizes
    gap_mean_nm: Height
    coated_share: Probability
    weak_share: Probability
    unstable_share: Probability


class Instability(Block):
    """Telegraph switching of the apex: rates and the difference between both configurations."""

    out_hz: Frequencies
    back_hz: Frequencies
    height_nm: Heights
    shift_nm: Lengths
    dirty_out_hz: Frequencies
    dirty_back_hz: Frequencies
    dirty_height_nm: Heights


class Hidden(Block):
    """What differs from episode to episode and is never shown."""

    pulse_threshold_v: Voltages
    negative_preferred: Probability
    depth_offset_nm: Shifts
    depth_scale: Factors
    best_depth_nm: Heights
    dirt: Shares
    change_per_frame: Shares


class Changes(Block):
    """Spontaneous changes of the tip while scanning; rates refer to ``frame_lines`` lines.

    They show from the next line on, or ``within_lines``: from somewhere on the line itself.
    Over rough ground the tip takes along what lies within ``takes_nm`` of its line. ``blunting``
    is the logarithm of the factor by which the radius changes.
    """

    frame_lines: Annotated[float, Field(ge=1, le=1e6)]
    unstable_factor: Factor
    rough_factor: Factor
    rough_nm: Height
    gap_mean_nm: Height
    becomes_unstable: Probability
    length_nm: Shifts
    within_lines: bool = False
    takes_nm: Reach = 0.0
    blunting: Exponents | None = None


class CarbonMonoxide(Block):
    """A molecule of CO at the apex: how it is picked up and lost, and what it makes of a picture.

    It comes from one that lies within ``reach_nm``: by a pulse between ``pick_up_v`` and ``lose_v``
    (both softened by ``steepness_v``) with probability ``pulse_picks``, or by an indentation that
    ends less than ``near_nm`` short of contact or no deeper than one atom, with ``dip_picks``. It
    is lost by pulses above ``lose_v``, in ``touch_loses`` of all contacts by one atom, by all
    deeper ones, and in ``change_loses`` of spontaneous changes.

    It images with ``radius_nm`` and stands out by ``ahead_nm``. Molecules of its kind come out
    ``molecule_factor`` times as high as with metal, with ``molecule_halo`` around them; lattices
    ``lattice_gain`` times.
    """

    reach_nm: Length
    pick_up_v: Voltage
    lose_v: Voltage
    steepness_v: Width
    pulse_picks: Probability
    near_nm: Relief
    dip_picks: Probability
    touch_loses: Probability
    change_loses: Probability
    radius_nm: Sizes
    ahead_nm: Relief
    halo: Amount
    molecule_factor: SignedFactor
    molecule_halo: Amount
    lattice_gain: Factor

    @model_validator(mode="after")
    def _picked_up_before_lost(self) -> Self:
        if not self.pick_up_v < self.lose_v:
            raise ValueError("pick_up_v must be below lose_v")
        return self


class LargeMolecule(Block):
    """A larger molecule at the apex, as a share of what is otherwise a weak adsorbate.

    It is blunt (``radius_nm``), hangs off to one side by ``shift_nm``, stands out by ``ahead_nm``
    and has ``lobes`` more lobes around it, ``lobe_nm`` away, that fall short by ``lobe_gap_nm`` on
    average. In a share ``unstable`` it also flips to and fro.
    """

    share: Probability
    radius_nm: Sizes
    shift_nm: Lengths
    ahead_nm: Relief
    lobes: Annotated[int, Field(ge=1, le=3)]
    lobe_nm: Lengths
    lobe_gap_nm: Height
    unstable: Probability


class Healing(Block):
    """Marks fill up by diffusion: what is left of them falls by e in ``time_s``.

    Below ``gone_nm`` nothing is left.
    """

    time_s: Duration
    gone_nm: Height


class Dragging(Block):
    """Adatoms follow a tip that comes too close.

    Below a junction of ``max_ohm`` the tip takes along what it passes within ``reach_nm``, and
    loses it after a distance that is ``hold_nm`` on average.
    """

    max_ohm: Resistance
    reach_nm: Length
    hold_nm: Length


class PulseLaw(Block):
    """What a voltage pulse does."""

    wrong_polarity: Factor
    threshold_radius_slope: Amount
    threshold_radius_nm: Length
    threshold_width_slope: Amount
    reference_width_s: Duration
    threshold_lift_per_nm: Amount
    feedback_on_factor: Factor
    steepness_v: Width
    desorb_fraction: Factor
    desorb_steepness_v: Width
    desorb_steadies: Probability
    strong_v: Voltage
    mild_gap_nm: Height
    mild_radius: Exponents
    mild_unstable: Probability
    strong_radius_nm: Sizes
    strong_rate_per_v: Factor
    strong_scatter: Factor
    strong_gap_nm: Height
    strong_coat_factor: Probability
    strong_unstable: Probability
    clean_offset: Amount
    clean_per_v: Factor
    mild_length_nm: Shifts
    strong_length_nm: Shifts
    mark_base_nm: Length
    mark_per_v_nm: Reach
    mark_extra_nm: Reach
    mound_share: Probability
    mound_height_nm: Heights
    pit_depth_nm: Heights
    debris_per_nm: Amount


class DipLaw(Block):
    """What an indentation does; depths are penetrations past the first contact."""

    touch_desorbs: Probability
    atom_depth_nm: Height
    atom_event: Probability
    atom_steadies: Probability
    atom_cleans: Probability
    atom_gap: Shifts
    atom_radius: Exponents
    fit_width: Factor
    coat_gain: Amount
    coat_gain_per_nm: Amount
    dwell_gain_per_decade: Amount
    anneal_count: Factor
    anneal_depth: Factor
    strong_cleans_per_nm: Amount
    strong_cleans_per_v: Amount
    weak_cleans: Probability
    pickup: Probability
    memory_nm: Height
    blunt_memory: Probability
    blunt_slope: Factor
    blunt_offset_nm: Relief
    radius_floor_nm: Height
    radius_deep: Amount
    radius_deep_power: Factor
    radius_miss: Amount
    radius_fit: Amount
    radius_scatter: Factor
    gap_floor_nm: Height
    gap_fit_nm: Relief
    gap_bare_coat: Probability
    gap_bare_anneal: Probability
    unstable: Probability
    unstable_fit: Probability
    length_per_nm: SignedFactor
    length_scatter_per_nm: Amount
    mound_height_nm: Height
    mound_per_nm: Amount
    mound_limit_nm: Height
    mound_scatter: Amount
    mound_sigma_nm: Height
    mound_sigma_contact: Amount
    crater_depth_nm: Height
    crater_per_nm: Amount
    crater_rim: Factor
    rim_height_nm: Relief
    debris_per_nm: Amount
    debris_base_nm: Reach
    debris_reach_per_nm: Amount
    neck_per_nm: Amount
    atom_area_nm2: Area


class Marks(Block):
    """Debris that events leave around them, and what a crash does to the tip and the sample."""

    debris_height_nm: Heights
    debris_sigma_nm: Sizes
    debris_reach: Factor
    crash_depth_nm: Height
