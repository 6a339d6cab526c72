"""Electronic states of fresh apexes, drawn apart from all that happens to their shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.spectra.spectral import TipStatesLaw
from sim.tips.states import Level, TipStates
from sim.tips.tip import Tip


class Electronics:
    """Gives every new apex of an episode its electronic states.

    They come from a stream of their own, keyed by how many apexes there have been: the shape of a
    tip, and with it every topograph, does not depend on them.

    Args:
        law: how they are drawn.
        seed: seed of the episode.
    """

    def __init__(self, law: TipStatesLaw, seed: int) -> None:
        self._law = law
        self._seed = seed
        self._apexes = 0

    def fresh(self, tip: Tip) -> Tip:
        """``tip`` with new electronic states."""
        self._apexes += 1
        rng = np.random.default_rng([self._seed, 8, self._apexes])
        return replace(tip, electronic=draw_states(rng, self._law, tip))


def draw_states(rng: np.random.Generator, law: TipStatesLaw, tip: Tip) -> TipStates:
    """Electronic states for the apex of ``tip``: fewer on metal of the sample, more on dirt."""
    mean = law.bare_levels + (law.coated_levels - law.bare_levels) * tip.coat
    count = rng.poisson(law.dirty_levels if tip.termination.is_dirt else mean)
    levels = tuple(
        Level(law.energy_ev.draw(rng), law.width_ev.draw(rng), law.weight.draw(rng))
        for _ in range(count)
    )
    return TipStates(levels, law.slope_per_ev.draw(rng), law.floor)
