"""Presets: every number of a simulated surface and its tips, read from TOML with its provenance.

Units are those of the files (nm, pm, pA, Hz), in the field's name. Each block says where its
numbers come from: ``provenance`` maps a field, or ``"*"`` for the rest of the block, to
``"published: ..."``, ``"measured: ..."`` or ``"assumed: ..."``. A block without provenance for
one of its numbers is refused.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from pydantic import Field, ValidationError

from drivers.errors import ConfigError
from sim.blocks import Block, Frozen, NotNegative, Positive, Probability, Spread


class Good(Block):
    """What counts as a good tip; it must also be clean and stable."""

    max_radius_nm: Positive
    min_gap_nm: Positive


class Steps(Block):
    """Monatomic steps: one candidate per cell along a direction, some without a change of level.

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

    per_nm2: NotNegative
    height_nm: Spread
    sigma_nm: Spread
    cluster_share: Probability
    cluster_height_nm: Spread
    cluster_sigma_nm: Spread


class Surface(Block):
    """The sample as a whole: how steeply it is mounted."""

    tilt_deg: Spread


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
    """Spontaneous changes of the tip while scanning; rates refer to ``frame_lines`` lines."""

    frame_lines: Positive
    unstable_factor: Positive
    rough_factor: Positive
    rough_nm: Positive
    gap_mean_nm: Positive
    becomes_unstable: Probability
    length_nm: Spread


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


class Landing(Block):
    """The coarse approach."""

    bad_share: Probability
    bad_depth_nm: Spread
    step_s: Positive
    lateral_step_nm: Spread
    motor_step_s: Positive
    backlash_steps: NotNegative
    min_clearance_steps: Annotated[int, Field(ge=1)]
    landing_z_nm: Positive


class Controller(Block):
    """The z controller, the scanner and the preamplifier."""

    p_gain_pm: Positive
    time_constant_us: Positive
    preamp_hz: Positive
    saturation_na: Positive
    range_xy_nm: Positive
    range_z_nm: Positive
    move_nm_per_s: Positive
    withdraw_nm_per_s: Positive
    settle_s: NotNegative
    bias_v: float
    setpoint_pa: Positive
    trace_hz: Positive


class Noise(Block):
    """Noise of an episode, drawn once."""

    pixel_pm: Spread
    line_pm: Spread
    slow_pm: Spread
    slow_s: Spread
    line_start_pm: Spread
    line_start_share: Positive
    hum_hz: Positive
    hum_pm: Spread
    current_pa: Spread


class Motion(Block):
    """Drift, creep and hysteresis."""

    drift_nm_per_min: Spread
    z_drift_share: Spread
    landing_drift_nm: Spread
    landing_drift_s: Spread
    creep_per_decade: Spread
    creep_s: tuple[Positive, ...]
    hysteresis: Spread


class Grid(Block):
    """How finely the surface is rendered."""

    coarsest_nm: Positive
    finest_nm: Positive
    probe_nm: Positive
    margin_nm: Positive


class Preset(Frozen):
    """All numbers of one simulated surface and the tips over it."""

    name: str
    title: str
    good: Good
    surface: Surface
    steps: Steps
    reconstruction: Reconstruction
    adatoms: Adatoms
    tunnelling: Tunnelling
    apexes: Apexes
    first_tip: FirstTip
    instability: Instability
    hidden: Hidden
    changes: Changes
    pulse: PulseLaw
    dip: DipLaw
    marks: Marks
    landing: Landing
    controller: Controller
    noise: Noise
    motion: Motion
    grid: Grid

    @property
    def hash(self) -> str:
        """Short fingerprint of the content; says which definition of "good" was used."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def known_presets() -> tuple[str, ...]:
    """Names that ``load_preset`` knows."""
    folder = files("sim") / "presets"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@lru_cache(maxsize=8)
def load_preset(name: str) -> Preset:
    """Read the preset ``name``.

    Raises:
        ConfigError: there is no such preset, or its file is damaged.
    """
    if name not in known_presets():
        raise ConfigError(
            f"unknown simulated surface {name!r}; known are {', '.join(known_presets())}"
        )
    text = (files("sim") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    try:
        return Preset.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"preset {name!r} cannot be read: {error}") from None
