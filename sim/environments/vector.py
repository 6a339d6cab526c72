"""Many worlds of ``tipsmith/TipConditioning-v0`` in step, in this process or in several."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from drivers.envelope import Limits
from drivers.errors import ConfigError
from sim.environments.batch import Batch, Crew, RemoteBatch, play
from sim.environments.config import EnvironmentConfig
from sim.environments.inputs import (
    choice_numbers,
    one_for_each,
    optional_seed,
    own_options,
    whole_number,
)
from sim.environments.memory import INFO, Bools, Memory, lay_out, observation_space, over, shapes
from sim.environments.setup import Setup, StopRule, prepare
from sim.environments.tip_conditioning import Info, Observation
from sim.environments.worlds import Worlds
from sim.presets.preset import Preset
from sim.scans.kernels import Doubles


class VectorTipConditioning(VectorEnv[Observation, np.ndarray, np.ndarray]):
    """``TipConditioning`` many times over: the same seeds and actions do the same in each.

    A world whose episode has ended starts the next one with the step after (``NEXT_STEP``).

    Args:
        num_envs: how many worlds.
        preset: see ``TipConditioning``.
        worlds: the same.
        config: the same.
        limits: the same.
        stop_rule: the same; it is asked about all worlds at once, in this process.
        workers: processes that the worlds are spread over; 0 keeps them in this one.

    Raises:
        ConfigError: an argument is not what it should be.
        Refused: the envelope does not allow the scans.
    """

    def __init__(
        self,
        num_envs: int = 1,
        preset: Preset | str = "au111",
        worlds: Worlds = "randomised",
        config: EnvironmentConfig | None = None,
        limits: Limits | None = None,
        stop_rule: StopRule | None = None,
        workers: int = 0,
    ) -> None:
        num_envs, workers = whole_number("num_envs", num_envs, 1), whole_number("workers", workers)
        if workers > num_envs:
            raise ConfigError(f"workers {workers} must not exceed num_envs {num_envs}")
        self._setup = prepare(preset, worlds, config, limits, stop_rule)
        self._stop_rule = stop_rule
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.num_envs = num_envs
        self.choices = self._setup.choices
        self.good_definition = self._setup.preset.good_definition
        self.single_observation_space = observation_space(self._setup.config)
        self.single_action_space = spaces.Discrete(len(self.choices))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._chances: list[np.random.Generator] = []
        self._memory, self._crews = _hire(self._setup, num_envs, workers)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Start an episode in every world.

        Args:
            seed: world i is seeded with the i-th of a list, or with ``seed + i``.
            options: ``episode`` may hold the numbers of the episodes themselves.

        Raises:
            ConfigError: there are not as many seeds or episodes as worlds, or one is no whole
                number of at least 0.
        """
        told = own_options(options)
        self._seed(seed)
        drawn = self._draw(np.ones(self.num_envs, np.bool_))
        numbers = one_for_each("episodes", told.get("episode", drawn), self.num_envs)
        self._memory.start[:] = [whole_number("episode", number) for number in numbers]
        self._play()
        return self._memory.observations(), self._info()

    def step(
        self, actions: np.ndarray
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Carry out one choice in every world; one whose episode has ended starts the next one.

        Raises:
            gymnasium.error.ResetNeeded: no episodes have been started.
            ConfigError: one is no whole number, there is no such choice, or not one for every
                world.
        """
        if not self._chances:
            raise gymnasium.error.ResetNeeded("no episodes have been started; call reset first")
        memory = self._memory
        memory.actions[:] = choice_numbers(actions, len(self.choices), self.num_envs)
        memory.start[:] = self._draw(memory.terminated | memory.truncated)
        self._play()
        ends = memory.rewards.copy(), memory.terminated.copy(), memory.truncated.copy()
        return memory.observations(), *ends, self._info()

    def action_masks(self) -> Bools:
        """Which choices are allowed now, shape (num_envs, choices)."""
        return self._memory.masks.copy()

    def close_extras(self) -> None:
        """End the processes."""
        for crew in self._crews:
            crew.close()

    def _seed(self, seed: int | Sequence[int | None] | None) -> None:
        if seed is None and self._chances:
            return
        if not isinstance(seed, Sequence | np.ndarray):
            first = optional_seed(seed)
            seed = [None if first is None else first + i for i in range(self.num_envs)]
        seeds = [optional_seed(one) for one in one_for_each("seeds", seed, self.num_envs)]
        running = dict(enumerate(self._chances))
        self._chances = [
            running[i] if one is None and i in running else seeding.np_random(one)[0]
            for i, one in enumerate(seeds)
        ]

    def _draw(self, which: Bools) -> list[int]:
        """A new episode for ``which`` worlds, -1 for the others."""
        among = self._setup.config.episodes
        return [
            int(chance.integers(*among)) if new else -1
            for new, chance in zip(which, self._chances, strict=True)
        ]

    def _play(self) -> None:
        play(self._crews, self._setup, self._memory, self._stop_rule)

    def _info(self) -> Info:
        told: Info = {}
        for column, (name, kind) in enumerate(INFO.items()):
            values: Doubles = self._memory.info[:, column]
            told[name] = values.astype(kind)
            told[f"_{name}"] = np.ones(self.num_envs, np.bool_)
        return told


def _hire(setup: Setup, worlds: int, workers: int) -> tuple[Memory, list[Crew]]:
    """The memory of ``worlds`` worlds and those who work on it."""
    plan = shapes(setup.config, worlds, len(setup.choices))
    if not workers:
        memory = over(plan, lay_out(plan, bytearray))
        return memory, [Batch(setup, memory)]
    context = get_context("spawn")
    buffers = lay_out(plan, lambda size: context.RawArray(ctypes.c_byte, size))
    bounds = [worlds * i // workers for i in range(workers + 1)]
    parts = [slice(*pair) for pair in pairwise(bounds)]
    crews: list[Crew] = [RemoteBatch(context, setup, plan, buffers, part) for part in parts]
    return over(plan, buffers), crews
