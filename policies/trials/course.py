"""What is the same for all policies: the worlds, the looks, the limits and when it ends."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from drivers.actions import Positive, TunnellingPoint
from drivers.envelope import Limits
from drivers.errors import ConfigError
from drivers.materials import borne
from drivers.scan import Frame, ScanSettings
from policies.plan import RepairPlan
from sim.environments.worlds import changed_law, episode_preset
from sim.presets.blocks import Spread
from sim.presets.preset import Preset, load_preset
from sim.world import World

RANDOMISED: Literal["randomised"] = "randomised"
#: Worlds in which one hidden parameter lies outside of its range are named after it.
SHIFTED = "shifted:"
#: Stream of the side to which a parameter is shifted.
STREAM = 102


class Course(BaseModel):
    """One kind of repair.

    Attributes:
        preset: name of the simulated microscope.
        worlds: ``randomised``, or ``shifted:`` and the name of a hidden parameter.
        pixels: points per line, and lines.
        forward_s: time of one forward line (s).
        backward_s: time of one backward line (s).
        asked_at: shares of a scan after which one that may be cut short is judged by its lines.
        travel_nm_per_s: speed on the way to the place of an action (nm/s).
        bias_v: sample bias of the looks (V).
        setpoint_pa: current setpoint of the looks (pA).
        plan: when a repair ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: str = "au111"
    worlds: str = RANDOMISED
    pixels: int = Field(96, ge=16, le=256, multiple_of=16)
    forward_s: Positive = 0.15
    backward_s: Positive = 0.10
    asked_at: tuple[float, ...] = (1 / 3, 1 / 2)
    travel_nm_per_s: Positive = 200.0
    bias_v: float = 0.5
    setpoint_pa: Positive = 50.0
    plan: RepairPlan = RepairPlan(max_actions=100, max_hours=6.0)

    @property
    def at(self) -> TunnellingPoint:
        """The tunnelling point of looks and, where a rule has none of its own, of actions."""
        return TunnellingPoint(bias_v=self.bias_v, setpoint_a=self.setpoint_pa * 1e-12)

    @property
    def pauses(self) -> tuple[int, ...]:
        """Growing numbers of lines after which a scan may be cut short; the last is its end."""
        return (*(round(share * self.pixels) for share in self.asked_at), self.pixels)

    @property
    def scan_s(self) -> float:
        """Time of a whole scan (s)."""
        return self.pixels * (self.forward_s + self.backward_s)

    def scan(self, frame: Frame) -> ScanSettings:
        """The scan that looks at ``frame``."""
        return ScanSettings(
            frame=frame,
            pixels=self.pixels,
            lines=self.pixels,
            forward_s=self.forward_s,
            backward_s=self.backward_s,
            at=self.at,
        )

    def limits(self) -> Limits:
        """The envelope, narrowed to what a tip of the preset's material bears."""
        return borne(Limits(), load_preset(self.preset).tip_material)

    def open_world(self, number: int) -> World:
        """The world of one episode: the same course and number give the same one.

        Raises:
            ConfigError: the preset or the worlds are unknown.
        """
        preset = episode_preset(load_preset(self.preset), RANDOMISED, number)
        if self.worlds != RANDOMISED:
            preset = _shifted(preset, self.worlds.removeprefix(SHIFTED), number)
        return World(preset, number)


def hidden_parameters(preset: str) -> tuple[str, ...]:
    """Names of the hidden parameters that can be shifted, one at a time."""
    hidden = load_preset(preset).hidden
    names = type(hidden).model_fields
    return tuple(name for name in names if isinstance(getattr(hidden, name), Spread))


def _shifted(preset: Preset, name: str, number: int) -> Preset:
    law = getattr(preset.hidden, name, None)
    if not isinstance(law, Spread):
        known = ", ".join(hidden_parameters(preset.name))
        raise ConfigError(f"no hidden parameter {name!r} can be shifted; known are {known}")
    outside = changed_law(law, "shifted", np.random.default_rng([number, STREAM]))
    hidden = preset.hidden.model_copy(update={name: outside})
    return preset.model_copy(update={"hidden": hidden})
