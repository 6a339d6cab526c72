"""The arrays that worlds and whoever trains on them share, one row per world."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sim.environments.catalogue import Kind
from sim.environments.config import EnvironmentConfig
from sim.environments.ground import TALLEST_NM
from sim.scans.kernels import Doubles, Floats

Bools = NDArray[np.bool_]
Whole = NDArray[np.int64]

#: Kinds that an observation tells about; declaring ends the episode.
TOLD = tuple(kind for kind in Kind if kind is not Kind.DECLARE_GOOD)
#: What is told of each action besides its kind, with the bounds it is kept within.
FEATURES: dict[str, tuple[float, float]] = {
    "refused": (0, 1),
    "level": (-2, 2),
    "duration_s": (0, 100),
    "z_jump_nm": (-10, 10),
    "contact": (0, 1),
    "contact_depth_nm": (0, 20),
    "peak_current_decades": (0, 10),
    "scanned": (0, 1),
}
#: What is told of the episode as a whole, all between their bounds.
NUMBERS: dict[str, tuple[float, float]] = {
    "scanned": (0, 1),
    "site_nm": (0, 1000),
    "area_left": (0, 1),
    "time_used": (0, 2),
    "actions_used": (0, 1),
    "gain_decades": (-2, 2),
}
#: What ``info`` holds: how the step went, and the truth.
INFO: dict[str, type] = {
    "episode": int,
    "action_number": int,
    "refused": bool,
    "lines": int,
    "time_s": float,
    "seconds": float,
    "area_nm2": float,
    "risk": float,
    "radius_nm": float,
    "gap_nm": float,
    "contaminated": bool,
    "stable": bool,
    "good": bool,
}


@dataclass(frozen=True, slots=True)
class Memory:
    """All that passes between the worlds and their user; first axis is the world.

    Attributes:
        start: number of the episode to start, or -1 to go on with the present one.
        actions: the choices.
        scanning: whether a scan runs; taken away by whoever stops it.
        lines: lines that the present scan has.
        heights: the present scan (nm) as it comes, (n, lines, 2, pixels).
        scan: forward and backward picture less their plane (nm), (n, 2, lines, pixels).
        history: the last actions, latest first, (n, remembered, kinds and ``FEATURES``).
        numbers: ``NUMBERS`` of the episode.
        masks: which choices are allowed.
        rewards: reward of the step.
        terminated: whether the episode has come to its end.
        truncated: whether it was cut off.
        info: ``INFO`` as numbers.
    """

    start: Whole
    actions: Whole
    scanning: Bools
    lines: Whole
    heights: Floats
    scan: Floats
    history: Floats
    numbers: Floats
    masks: Bools
    rewards: Doubles
    terminated: Bools
    truncated: Bools
    info: Doubles

    def observations(self) -> dict[str, Floats]:
        """A copy of what the policies see."""
        return {name: getattr(self, name).copy() for name in OBSERVED}

    def rows(self, part: slice) -> Memory:
        """The same memory for some of the worlds only."""
        return Memory(*(getattr(self, field.name)[part] for field in fields(self)))


OBSERVED = ("scan", "history", "numbers")
Shapes = dict[str, tuple[tuple[int, ...], type]]


def shapes(config: EnvironmentConfig, worlds: int, choices: int) -> Shapes:
    """Shape and type of every array of a ``Memory``."""
    pixels = config.pixels
    columns = len(TOLD) + len(FEATURES)
    rows: Shapes = {
        "start": ((), np.int64),
        "actions": ((), np.int64),
        "scanning": ((), np.bool_),
        "lines": ((), np.int64),
        "heights": ((pixels, 2, pixels), np.float32),
        "scan": ((2, pixels, pixels), np.float32),
        "history": ((config.remembered, columns), np.float32),
        "numbers": ((len(NUMBERS),), np.float32),
        "masks": ((choices,), np.bool_),
        "rewards": ((), np.float64),
        "terminated": ((), np.bool_),
        "truncated": ((), np.bool_),
        "info": ((len(INFO),), np.float64),
    }
    return {name: ((worlds, *shape), kind) for name, (shape, kind) in rows.items()}


def lay_out(plan: Shapes, buffer: Callable[[int], object]) -> dict[str, object]:
    """One ``buffer`` of the right number of bytes for every array."""
    return {
        name: buffer(max(math.prod(shape) * np.dtype(kind).itemsize, 1))
        for name, (shape, kind) in plan.items()
    }


def over(plan: Shapes, buffers: dict[str, object]) -> Memory:
    """The memory that lies in ``buffers``."""
    arrays = {
        name: np.frombuffer(buffers[name], kind, math.prod(shape)).reshape(shape)  # type: ignore[call-overload]
        for name, (shape, kind) in plan.items()
    }
    return Memory(**arrays)


def observation_space(config: EnvironmentConfig) -> spaces.Dict:
    """What one world shows."""
    pixels, remembered = config.pixels, config.remembered
    bounds = np.array([(0, 1)] * len(TOLD) + list(FEATURES.values()), np.float32)
    low, high = np.repeat(bounds[None], remembered, axis=0).transpose(2, 0, 1)
    numbers = np.array(list(NUMBERS.values()), np.float32)
    tallest = float(TALLEST_NM)
    return spaces.Dict(
        {
            "scan": spaces.Box(-tallest, tallest, (2, pixels, pixels), np.float32),
            "history": spaces.Box(low, high, dtype=np.float32),
            "numbers": spaces.Box(numbers[:, 0], numbers[:, 1], dtype=np.float32),
        }
    )


def within(value: float, bounds: tuple[float, float]) -> float:
    """``value``, kept within what the space of observations says."""
    return min(max(value, bounds[0]), bounds[1])
