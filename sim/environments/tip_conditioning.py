"""``tipsmith/TipConditioning-v0``: bring one bad tip to a good state, and say when it is."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from drivers.envelope import Limits
from sim.environments.batch import Batch, play
from sim.environments.config import EnvironmentConfig
from sim.environments.inputs import choice_numbers, optional_seed, own_options, whole_number
from sim.environments.memory import (
    INFO,
    Bools,
    lay_out,
    observation_space,
    over,
    shapes,
)
from sim.environments.setup import StopRule, prepare
from sim.environments.worlds import Worlds
from sim.presets.preset import Preset
from sim.scans.kernels import Floats

Observation = dict[str, Floats]
Info = dict[str, Any]


class TipConditioning(gymnasium.Env[Observation, np.int64]):
    """One world: each step acts on the tip or the instrument and looks at what came of it.

    Observations are a dictionary of single precision arrays: ``scan`` (2, pixels, pixels) is the
    last scan there and back less its plane (nm), 0 where it was not scanned; ``history`` has a row
    for each of the last actions, latest first, with the columns ``memory.TOLD`` (one for each kind)
    and ``memory.FEATURES``; ``numbers`` are those of ``memory.NUMBERS``. The truth is in ``info``.

    Actions are the numbers of ``choices``; ``action_masks`` says which are allowed. One that is not
    is refused: it costs, and nothing happens. An episode ends with the declaration that the tip is
    good; it is cut off when time or actions run out.

    Args:
        preset: name of the simulated surface, path of one of one's own, or its numbers.
        worlds: ``nominal``, ``randomised`` or ``shifted``: see ``sim.environments.worlds``.
        config: what is offered, charged and shown.
        limits: the envelope; the built-in ceilings if None.
        stop_rule: ends scans early; none if None.

    Raises:
        ConfigError: an argument is not what it should be.
        Refused: the envelope does not allow the scans.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(
        self,
        preset: Preset | str = "au111",
        worlds: Worlds = "randomised",
        config: EnvironmentConfig | None = None,
        limits: Limits | None = None,
        stop_rule: StopRule | None = None,
    ) -> None:
        self._setup = prepare(preset, worlds, config, limits, stop_rule)
        self._stop_rule = stop_rule
        self.choices = self._setup.choices
        self.good_definition = self._setup.preset.good_definition
        self.observation_space = observation_space(self._setup.config)  # type: ignore[assignment]
        self.action_space = spaces.Discrete(len(self.choices))
        plan = shapes(self._setup.config, 1, len(self.choices))
        self._memory = over(plan, lay_out(plan, bytearray))
        self._crew = Batch(self._setup, self._memory)
        self._started = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Start an episode: one drawn from ``seed``, or ``options["episode"]`` itself.

        Raises:
            ConfigError: the seed or the episode is no whole number of at least 0.
        """
        told = own_options(options)
        super().reset(seed=optional_seed(seed))
        drawn = int(self.np_random.integers(*self._setup.config.episodes))
        self._memory.start[0] = whole_number("episode", told.get("episode", drawn))
        self._play()
        self._started = True
        return self._observation(), self._info()

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, Info]:
        """Carry out one choice and scan.

        Raises:
            gymnasium.error.ResetNeeded: no episode has been started.
            ConfigError: it is no whole number, or there is no such choice.
        """
        if not self._started:
            raise gymnasium.error.ResetNeeded("no episode is running; call reset before step")
        number = choice_numbers(action, len(self.choices))
        memory = self._memory
        memory.start[0] = -1
        memory.actions[0] = number
        self._play()
        self._started = not (memory.terminated[0] or memory.truncated[0])
        return (
            self._observation(),
            float(memory.rewards[0]),
            bool(memory.terminated[0]),
            bool(memory.truncated[0]),
            self._info(),
        )

    def action_masks(self) -> Bools:
        """Which choices are allowed now, shape (choices,)."""
        masks: Bools = self._memory.masks[0].copy()
        return masks

    def _play(self) -> None:
        play([self._crew], self._setup, self._memory, self._stop_rule)

    def _observation(self) -> Observation:
        return {name: array[0] for name, array in self._memory.observations().items()}

    def _info(self) -> Info:
        values = zip(INFO.items(), self._memory.info[0], strict=True)
        told: Info = {name: kind(value) for (name, kind), value in values}
        return {**told, "good_definition": self.good_definition}
