"""What the environment offers, charges and shows; lengths in nm as people read them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from drivers.complaints import complaint, shown
from drivers.errors import ConfigError
from drivers.sample_map import RELIEF_M

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class _Frozen(BaseModel):
    """Settings whose values may be of one kind only.

    Raises:
        ConfigError: a setting is unknown or not what it should be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _told_as_others(cls, given: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Wrong settings are told in the words for other wrong inputs."""
        try:
            return handler(given)
        except ValidationError as error:
            raise ConfigError(cls._what_is_wrong(error)) from None

    @classmethod
    def _what_is_wrong(cls, error: ValidationError) -> str:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or cls.__name__
        if first["type"] == "extra_forbidden":
            return f"unknown setting {name!r}; known are {', '.join(cls.model_fields)}"
        says = complaint(error).replace("Input should", "must", 1)
        return f"{name} {says}, got {shown(first['input'])}"


class Catalogue(_Frozen):
    """The actions there are; each combination of level, polarity and duration is one.

    The usual ranges: pulses of 2 to 10 V for 10 to 500 ms (Krull et al., Commun. Phys. 3, 54
    (2020)), indentations of 0.2 to 6 nm, most of them gentle.

    Attributes:
        pulses_v: heights of the pulses (V), each with both polarities of the sample.
        pulses_s: durations of the pulses (s).
        depths_nm: depths of the indentations below the tunnelling point (nm).
        dwells_s: times in contact (s).
        contact_bias_v: bias in contact (V).
        lift: height of the retraction as a multiple of the depth.
        ramp_s: time of the way down and of the way up (s).
        waits_s: how long it can wait (s).
        gains: gain of the feedback as a multiple of the preset's; its bandwidth goes with it.
        coarse_steps: lateral steps of a coarse move.
        retract_steps: steps that it retracts before.
        travel_nm_per_s: speed on the way to the place of an action (nm/s).
    """

    pulses_v: tuple[Positive, ...] = (2.5, 3.5, 4.5, 6.0, 8.0)
    pulses_s: tuple[Positive, ...] = (0.02, 0.2)
    depths_nm: tuple[Positive, ...] = (0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0, 3.0, 5.0)
    dwells_s: tuple[NotNegative, ...] = (0.1,)
    contact_bias_v: float = 0.02
    lift: float = Field(3.0, ge=1)
    ramp_s: Positive = 0.1
    waits_s: tuple[Positive, ...] = (60.0,)
    gains: tuple[Positive, ...] = (0.4, 1.0, 2.5)
    coarse_steps: Count = 20
    retract_steps: Count = 50
    travel_nm_per_s: Positive = 100.0


class Reward(_Frozen):
    """What an episode costs and pays; the unit of the reward is arbitrary.

    Attributes:
        per_s: cost of an instrument second (1/s).
        per_nm2: cost of surface that an action spoils for good (1/nm^2).
        per_risk: cost of an action as large as the envelope allows (1); smaller ones cost their
            share of that limit, a coarse move counts in full.
        refused: cost of asking for what is not allowed (1).
        good: paid for declaring a tip good that is good in truth (1).
        wrong: cost of declaring one good that is not (1).
    """

    per_s: NotNegative = 0.001
    per_nm2: NotNegative = 0.0005
    per_risk: NotNegative = 0.05
    refused: NotNegative = 0.1
    good: NotNegative = 10.0
    wrong: NotNegative = 10.0


class EnvironmentConfig(_Frozen):
    """One kind of episode.

    Attributes:
        pixels: points and lines of the scans.
        frame_nm: side of the square frames (nm), the same on all surfaces: what an action spoils
            must fit in, and does not fit into the usual frame of a lattice.
        flat_pm: relief below which ground counts as flat (pm): more than the corrugation of the
            surface, less than an adatom or a step.
        forward_s: time of a forward line (s).
        backward_s: time of a backward line (s).
        max_actions: actions after which an episode is cut off.
        max_hours: instrument hours after which it is cut off.
        remembered: how many of the last actions an observation tells about.
        episodes: numbers that episodes are drawn from, the second not included; disjoint ranges
            keep tuning, training and test apart.
        catalogue: the actions.
        reward: what they cost.
    """

    pixels: int = Field(64, ge=16, le=256, multiple_of=16)
    frame_nm: Positive = 24.0
    flat_pm: Positive = RELIEF_M / 1e-12
    forward_s: Positive = 0.15
    backward_s: Positive = 0.10
    max_actions: Count = 100
    max_hours: Positive = 4.0
    remembered: Count = 8
    episodes: tuple[int, int] = (0, 2**31)
    catalogue: Catalogue = Catalogue()
    reward: Reward = Reward()

    @model_validator(mode="after")
    def _some_episodes(self) -> Self:
        first, end = self.episodes
        if not 0 <= first < end:
            raise ConfigError(f"episodes {self.episodes} must be a range of numbers of at least 0")
        return self
