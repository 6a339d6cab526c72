"""Uniform random actions: what any method has to beat.

The levels are those of the published tables together: pulses of 2.5, 4, 6 and 8 V for 200 ms with
both signs, indentations of 0.8 to 5 nm (Krull et al., Commun. Phys. 3, 54 (2020)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drivers.actions import Action, TunnellingPoint
from drivers.envelope import Limits
from policies.conditioner.doing import indentation, pulse
from policies.history import History, last_look
from policies.legal import fitting, within
from policies.proposal import GiveUp, Proposal

PULSES_V = (2.5, 4.0, 6.0, 8.0)
PULSE_S = 0.2
DEPTHS_NM = (0.8, 1.0, 1.2, 1.8, 2.5, 5.0)


class Drawn:
    """Draws among those of some actions that the envelope and the spot allow.

    Args:
        actions: to draw from.
        limits: the envelope.
        seed: decides, with the length of the history, what is drawn.
    """

    def __init__(self, actions: Sequence[Action], limits: Limits, seed: int) -> None:
        self._legal = within(limits, actions)
        self._seed = seed

    def propose(self, history: History) -> Proposal:
        """One of the actions, each as probable."""
        fit = fitting(last_look(history).site, self._legal)
        if not fit:
            return Proposal(GiveUp(), "the limits allow none of the actions")
        drawn = np.random.default_rng([self._seed, len(history)]).integers(len(fit))
        return Proposal(fit[int(drawn)], f"drawn among {len(fit)} actions")


def uniform(at: TunnellingPoint, limits: Limits, seed: int) -> Drawn:
    """All levels of the published tables, each as probable."""
    pulses = [pulse(at, s * v, PULSE_S, limits) for v in PULSES_V for s in (1, -1)]
    dips = [indentation(at, depth, limits) for depth in DEPTHS_NM]
    return Drawn([*pulses, *dips], limits, seed)
