"""Blocks of a preset about tips: how they are drawn, what they image with, what changes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from drivers.envelope import Limits
from sim.presets.blocks import Block, NotNegative, Positive, Probability, Spread

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

    max_radius_nm: Positive
    min_gap_nm: Positive
    min_life_frames: NotNegative = 0.0
    step_reach_nm: Positive = 30.0
    step_margin_nm: NotNegative = 0.05
    judged_by: tuple[Feature, ...] = ("herringbone", "step")


class Gentle(Block):
    """Pulses and indentations that are still gentle to tips of this material."""

    max_pulse_v: Positive
    max_depth_nm: Positive

    def within(self, limits: Limits) -> Limits:
        """``limits``, narrowed to what is gentle where they are wider."""
        ours = {"max_pulse_v": self.max_pulse_v, "max_depth_nm": self.max_depth_nm}
        return limits.narrowed(**{k: min(v, getattr(limits, k)) for k, v in ours.items()})


class Tunnelling(Block):
    """Decay of the current: ``decay_per_nm`` is 2 kappa of a clean tip."""

    decay_per_nm: Spread
    dirty_decay_per_nm: Spread
    contact_conductance_s: Positive
    weak_halo: NotNegative
    strong_halo: NotNegative


class Apexes(Block):
    """How apexes are drawn; gaps are the heights by which minor apexes fall short of the first."""

    minor_count: Annotated[int, Field(ge=1, le=3)]
    offset_min_nm: Positive
    offset_max_nm: Positive
    offset_radius_share: Probability
    min_radius_nm: Positive
    max_radius_nm: Positive


class FirstTip(Block):
    """The tip an episode starts with, before bad ones are picked."""

    radius_nm: Spread
    gap_mean_nm: Positive
    coated_share: Probability
    weak_share: Probability
    unstable_share: Probability


class Instability(Block):
    """Telegraph switching of the apex: rates and the difference between both configurations."""

    out_hz: Spread
    back_hz: Spread
    height_nm: Spread
    shift_nm: Spread
    dirty_out_hz: Spread
    dirty_back_hz: Spread
    dirty_height_nm: Spread


class Hidden(Block):
    """What differs from episode to episode and is never shown."""

    pulse_threshold_v: Spread
    negative_preferred: Probability
    depth_offset_nm: Spread
    depth_scale: Spread
    best_depth_nm: Spread
    dirt: Spread
    change_per_frame: Spread


class Changes(Block):
    """Spontaneous changes of the tip while scanning; rates refer to ``frame_lines`` lines.

    They show from the next line on, or ``within_lines``: from somewhere on the line itself.
    """

    frame_lines: Positive
    unstable_factor: Positive
    rough_factor: Positive
    rough_nm: Positive
    gap_mean_nm: Positive
    becomes_unstable: Probability
    length_nm: Spread
    within_lines: bool = False


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

    reach_nm: Positive
    pick_up_v: Positive
    lose_v: Positive
    steepness_v: Positive
    pulse_picks: Probability
    near_nm: NotNegative
    dip_picks: Probability
    touch_loses: Probability
    change_loses: Probability
    radius_nm: Spread
    ahead_nm: NotNegative
    halo: NotNegative
    molecule_factor: float
    molecule_halo: NotNegative
    lattice_gain: Positive


class LargeMolecule(Block):
    """A larger molecule at the apex, as a share of what is otherwise a weak adsorbate.

    It is blunt (``radius_nm``), hangs off to one side by ``shift_nm``, stands out by ``ahead_nm``
    and has ``lobes`` more lobes around it, ``lobe_nm`` away, that fall short by ``lobe_gap_nm`` on
    average. In a share ``unstable`` it also flips to and fro.
    """

    share: Probability
    radius_nm: Spread
    shift_nm: Spread
    ahead_nm: NotNegative
    lobes: Annotated[int, Field(ge=1, le=3)]
    lobe_nm: Spread
    lobe_gap_nm: Positive
    unstable: Probability


class Healing(Block):
    """Marks fill up by diffusion: what is left of them falls by e in ``time_s``.

    Below ``gone_nm`` nothing is left.
    """

    time_s: Positive
    gone_nm: Positive


class Dragging(Block):
    """Adatoms follow a tip that comes too close.

    Below a junction of ``max_ohm`` the tip takes along what it passes within ``reach_nm``, and
    loses it after a distance that is ``hold_nm`` on average.
    """

    max_ohm: Positive
    reach_nm: Positive
    hold_nm: Positive


class PulseLaw(Block):
    """What a voltage pulse does."""

    wrong_polarity: Positive
    threshold_radius_slope: NotNegative
    threshold_radius_nm: Positive
    threshold_width_slope: NotNegative
    reference_width_s: Positive
    threshold_lift_per_nm: NotNegative
    feedback_on_factor: Positive
    steepness_v: Positive
    desorb_fraction: Positive
    desorb_steepness_v: Positive
    desorb_steadies: Probability
    strong_v: Positive
    mild_gap_nm: Positive
    mild_radius: Spread
    mild_unstable: Probability
    strong_radius_nm: Spread
    strong_rate_per_v: Positive
    strong_scatter: Positive
    strong_gap_nm: Positive
    strong_coat_factor: Probability
    strong_unstable: Probability
    clean_offset: NotNegative
    clean_per_v: Positive
    mild_length_nm: Spread
    strong_length_nm: Spread
    mark_base_nm: Positive
    mark_per_v_nm: NotNegative
    mark_extra_nm: NotNegative
    mound_share: Probability
    mound_height_nm: Spread
    pit_depth_nm: Spread
    debris_per_nm: NotNegative


class DipLaw(Block):
    """What an indentation does; depths are penetrations past the first contact."""

    touch_desorbs: Probability
    atom_depth_nm: Positive
    atom_event: Probability
    atom_steadies: Probability
    atom_cleans: Probability
    atom_gap: Spread
    atom_radius: Spread
    fit_width: Positive
    coat_gain: NotNegative
    coat_gain_per_nm: NotNegative
    dwell_gain_per_decade: NotNegative
    anneal_count: Positive
    anneal_depth: Positive
    strong_cleans_per_nm: NotNegative
    strong_cleans_per_v: NotNegative
    weak_cleans: Probability
    pickup: Probability
    memory_nm: Positive
    blunt_memory: Probability
    blunt_slope: Positive
    blunt_offset_nm: NotNegative
    radius_floor_nm: Positive
    radius_deep: NotNegative
    radius_deep_power: Positive
    radius_miss: NotNegative
    radius_fit: NotNegative
    radius_scatter: Positive
    gap_floor_nm: Positive
    gap_fit_nm: NotNegative
    gap_bare_coat: Probability
    gap_bare_anneal: Probability
    unstable: Probability
    unstable_fit: Probability
    length_per_nm: float
    length_scatter_per_nm: NotNegative
    mound_height_nm: Positive
    mound_per_nm: NotNegative
    mound_limit_nm: Positive
    mound_scatter: NotNegative
    mound_sigma_nm: Positive
    mound_sigma_contact: NotNegative
    crater_depth_nm: Positive
    crater_per_nm: NotNegative
    crater_rim: Positive
    rim_height_nm: NotNegative
    debris_per_nm: NotNegative
    debris_base_nm: NotNegative
    debris_reach_per_nm: NotNegative
    neck_per_nm: NotNegative
    atom_area_nm2: Positive


class Marks(Block):
    """Debris that events leave around them, and what a crash does to the tip and the sample."""

    debris_height_nm: Spread
    debris_sigma_nm: Spread
    debris_reach: Positive
    crash_depth_nm: Positive
