"""Tips to learn from: those that a repair comes across, and those it begins with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat

import numpy as np

from sim.presets.preset import Preset
from sim.tips.conditioning import Conditioning
from sim.tips.latents import Latents
from sim.tips.tip import Tip, draw_bad, draw_first

#: Share of the tips that are as found, before any repair.
AS_FOUND = 0.2
#: How often a good tip is shown, each time on another sample.
GOOD_SHOWN = 2
#: Share kept of the bad tips that are not nearly good (sharp, clean and stable).
FAR_KEPT = 0.2
LONGEST_REPAIR = 30


def draw_tips(rng: np.random.Generator, preset: Preset) -> Iterator[Tip]:
    """Yield tips without end.

    Whether a tip is good is decided among those that are sharp, clean and stable; a repair meets
    ten of them for one that is good as well. Good ones are shown more often and hopeless ones less,
    so that there is more to learn.
    """
    while True:
        latents = Latents.draw(rng, preset)
        laws = Conditioning(preset, latents, rng)
        tip = draw_bad(rng, preset, latents.dirt)
        depth_nm = latents.best_depth_nm * math.exp(rng.normal(0, 0.4))
        for _ in range(LONGEST_REPAIR):
            if rng.uniform() < AS_FOUND:
                yield draw_first(rng, preset, latents.dirt)
            tip = _acted_on(rng, laws, tip, depth_nm)
            good = tip.is_good(preset.good)
            near = tip.clean and tip.stable and tip.radius_nm < 1.5 * preset.good.max_radius_nm
            if good:
                yield from repeat(tip, GOOD_SHOWN)
                break
            if near or rng.uniform() < FAR_KEPT:
                yield tip


def _acted_on(rng: np.random.Generator, laws: Conditioning, tip: Tip, depth_nm: float) -> Tip:
    """The tip after an action of the kind and size that a repair uses."""
    if rng.uniform() < 0.1:
        bias_v = float(rng.choice([-1, 1]) * rng.uniform(3, 8))
        return laws.pulse(tip, bias_v, 0.2, 0.0, feedback_on=False).tip
    return laws.dip(tip, depth_nm * math.exp(rng.normal(0, 0.15)), 0.02, 0.1).tip
