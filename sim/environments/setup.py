"""What all episodes of an environment have in common, worked out once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from drivers.actions import MoveTo
from drivers.envelope import Limits, check_action, check_scan
from drivers.errors import ConfigError, Refused
from drivers.materials import borne
from drivers.microscope import Feedback, MicroscopeState
from drivers.scan import Frame, ScanSettings
from sim.environments.catalogue import NM, PM, Choice, Kind, choices, tunnelling_point
from sim.environments.config import EnvironmentConfig
from sim.environments.inputs import expect, whole_number
from sim.environments.memory import Bools
from sim.environments.worlds import WORLDS, Worlds
from sim.presets.preset import Preset, load_preset
from sim.scans.kernels import Doubles, Floats

#: Share of the piezo range that is used; at its very edge frames may be refused.
USABLE = 0.95
#: Kinds of choices that need tunnelling contact.
IN_CONTACT = (Kind.PULSE, Kind.INDENTATION, Kind.ANOTHER_SPOT, Kind.SCAN_AGAIN)


class StopRule(Protocol):
    """Says which scans are not worth finishing, for all worlds at once.

    Attributes:
        lines: growing numbers of lines after which it is asked.
    """

    lines: Sequence[int]

    def __call__(self, heights_m: Floats) -> Bools:
        """Whether each scan is to be stopped, shape (n,).

        Args:
            heights_m: forward and backward heights of the lines so far (m), shape
                (n, 2, lines, pixels).
        """
        ...


@dataclass(frozen=True)
class Setup:
    """One kind of episode, ready to be played.

    Attributes:
        preset: the numbers, before ``worlds`` changes any.
        worlds: which worlds episodes happen in.
        config: what is offered, charged and shown.
        limits: the envelope.
        state: the instrument as the envelope wants to know it; its range does not change.
        choices: the discrete actions.
        allowed: which of them the envelope allows at all, shape (choices,).
        spoiled_m: diameter of the disc that each of them spoils (m), shape (choices,).
        in_contact: which of them need tunnelling contact, shape (choices,).
        onwards: which of them need a frame that is still to come, shape (choices,).
        frames: frames that cover the range, the middle one first.
        ends: numbers of lines after which a scan pauses; the last is its end.
    """

    preset: Preset
    worlds: Worlds
    config: EnvironmentConfig
    limits: Limits
    state: MicroscopeState
    choices: tuple[Choice, ...]
    allowed: Bools
    spoiled_m: Doubles
    in_contact: Bools
    onwards: Bools
    frames: tuple[ScanSettings, ...]
    ends: tuple[int, ...]


def prepare(
    preset: Preset | str,
    worlds: Worlds,
    config: EnvironmentConfig | None,
    limits: Limits | None,
    stop_rule: StopRule | None,
) -> Setup:
    """Put a setup together.

    Raises:
        ConfigError: an argument is of another type, the preset or the kind of worlds is unknown,
            the frame does not fit the range, or the stop rule wants to be asked after lines that
            there are not.
        FileError: the preset's file cannot be read.
        Refused: the envelope does not allow the scans.
    """
    _check_types(preset, config, limits, stop_rule)
    if worlds not in WORLDS:
        raise ConfigError(f"unknown worlds {worlds!r}; known are {', '.join(WORLDS)}")
    preset = load_preset(preset) if isinstance(preset, str) else preset
    config = config or EnvironmentConfig()
    limits = borne(limits or Limits(), preset.tip_material)
    state = _state(preset)
    frames = _frames(preset, config)
    for frame in frames:
        check_scan(frame, state, limits)
    offered = choices(config.catalogue, preset.controller)
    allowed = np.array([_is_allowed(choice, config, state, limits) for choice in offered])
    stops = tuple(stop_rule.lines) if stop_rule else ()
    ends = (*stops, config.pixels)
    if any(not 0 < end < later for end, later in pairwise(ends)):
        raise ConfigError(
            f"the stop rule asks after {stops} lines; expected growing numbers between 1 and "
            f"{config.pixels - 1}"
        )
    return Setup(
        preset=preset,
        worlds=worlds,
        config=config,
        limits=limits,
        state=state,
        choices=offered,
        allowed=allowed,
        spoiled_m=np.array([choice.spoiled_m for choice in offered]),
        in_contact=np.array([choice.kind in IN_CONTACT for choice in offered]),
        onwards=np.array([choice.kind is Kind.ANOTHER_SPOT for choice in offered]),
        frames=frames,
        ends=ends,
    )


def _check_types(
    preset: object, config: object, limits: object, stop_rule: StopRule | None
) -> None:
    expect("preset", preset, Preset | str, "a name, the path of a .toml file, or a Preset")
    expect("config", config, EnvironmentConfig | None, "an EnvironmentConfig or None")
    expect("limits", limits, Limits | None, "drivers.Limits or None")
    if stop_rule is None:
        return
    lines = getattr(stop_rule, "lines", None)
    if not (callable(stop_rule) and isinstance(lines, Sequence)):
        raise ConfigError(
            f"stop_rule must be a callable with a list of lines, got {type(stop_rule).__name__}"
        )
    for line in lines:
        whole_number("each of the stop rule's lines", line)


def travel(config: EnvironmentConfig, x_m: float, y_m: float) -> MoveTo:
    """The way to the place of an action."""
    speed = config.catalogue.travel_nm_per_s * NM
    return MoveTo(x_m=x_m, y_m=y_m, speed_m_per_s=speed)


def _is_allowed(
    choice: Choice, config: EnvironmentConfig, state: MicroscopeState, limits: Limits
) -> bool:
    steps = (travel(config, 0.0, 0.0), *choice.actions) if choice.spoiled_m else choice.actions
    try:
        for action in steps:
            check_action(action, state, limits)
    except Refused:
        return False
    return True


def _frames(preset: Preset, config: EnvironmentConfig) -> tuple[ScanSettings, ...]:
    """Frames side by side over the usable range, from the middle outwards."""
    reach = USABLE * preset.controller.range_xy_nm
    across = int(reach / config.frame_nm)
    if not across:
        raise ConfigError(
            f"frame_nm {config.frame_nm:g} is larger than the usable range of {reach:g} nm"
        )
    middle = (across - 1) / 2
    places = [(i - middle, j - middle) for i in range(across) for j in range(across)]
    # Ring by ring, and once around each, so that the next frame is a neighbour as a rule.
    places.sort(key=lambda place: (max(map(abs, place)), math.atan2(place[1], place[0])))
    return tuple(_frame(preset, config, column, row) for column, row in places)


def _frame(preset: Preset, config: EnvironmentConfig, column: float, row: float) -> ScanSettings:
    size = config.frame_nm * NM
    return ScanSettings(
        frame=Frame(x_m=column * size, y_m=row * size, width_m=size, height_m=size),
        pixels=config.pixels,
        lines=config.pixels,
        forward_s=config.forward_s,
        backward_s=config.backward_s,
        at=tunnelling_point(preset.controller),
    )


def _state(preset: Preset) -> MicroscopeState:
    """The instrument at its beginning, as far as the envelope asks for it."""
    control = preset.controller
    lateral = control.range_xy_nm * NM
    return MicroscopeState(
        time_s=0.0,
        bias_v=control.bias_v,
        setpoint_a=control.setpoint_pa * PM,
        current_a=control.setpoint_pa * PM,
        x_m=0.0,
        y_m=0.0,
        z_m=0.0,
        feedback=Feedback.ON,
        scanning=False,
        range_m=(lateral, lateral, control.range_z_nm * NM),
    )
