"""Which worlds episodes happen in: the preset's centre, its own spread, or just outside of it.

What is varied is what an operator cannot know beforehand: the hidden parameters, the noise with its
hum, drift and creep, and the bandwidth of the loop. What an action does by chance stays the same.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from sim.presets.blocks import Block, Spread
from sim.presets.preset import Preset

Worlds = Literal["nominal", "randomised", "shifted"]
WORLDS: tuple[Worlds, ...] = ("nominal", "randomised", "shifted")

VARIED = ("hidden", "noise", "motion")
#: Bandwidth of the loop as a multiple of the preset's, which has no spread of its own.
BANDWIDTH = Spread(law="log_uniform", a=0.5**0.5, b=2**0.5)
#: Stream of the derived numbers; the world has its own.
STREAM = 101


def episode_preset(preset: Preset, worlds: Worlds, episode: int) -> Preset:
    """The preset that one episode is drawn from; the same arguments give the same one."""
    rng = np.random.default_rng([episode, STREAM])
    loop = changed_law(BANDWIDTH, worlds, rng).draw(rng)
    faster = {"time_constant_us": preset.controller.time_constant_us / loop}
    changed: dict[str, object] = {"controller": preset.controller.model_copy(update=faster)}
    if worlds != "randomised":
        for name in VARIED:
            changed[name] = _changed_block(getattr(preset, name), worlds, rng)
    return preset.model_copy(update=changed)


def changed_law(law: Spread, worlds: Worlds, rng: np.random.Generator) -> Spread:
    """The law of one number in ``worlds``.

    A shifted number is drawn from the half width below or above the range, which side is drawn from
    ``rng``; always above where the numbers below would have another sign than the range. A normal
    law counts as two deviations wide on either side.
    """
    if worlds == "randomised":
        return law
    logarithmic = law.law.startswith("log")
    low, high = law.ends()
    flat: Literal["log_uniform", "uniform"] = "log_uniform" if logarithmic else "uniform"
    if worlds == "nominal":
        middle = (low + high) / 2
        low = high = middle
    else:
        half = (high - low) / 2
        below = rng.uniform() < 0.5
        crosses = not logarithmic and low >= 0 > low - half
        low, high = (low - half, low) if below and not crosses else (high, high + half)
    if logarithmic:
        low, high = math.exp(low), math.exp(high)
    return Spread(law=flat, a=low, b=high)


def _changed_block(block: Block, worlds: Worlds, rng: np.random.Generator) -> Block:
    changed: dict[str, object] = {}
    for name in type(block).model_fields:
        value = getattr(block, name)
        if isinstance(value, Spread):
            changed[name] = changed_law(value, worlds, rng)
        elif isinstance(value, Block):
            changed[name] = _changed_block(value, worlds, rng)
    return block.model_copy(update=changed)
