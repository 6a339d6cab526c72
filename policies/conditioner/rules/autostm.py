"""The six actions of AutoSTM (JACS 2024), chosen uniformly.

Pulses of -2, -4 and -6 V for 50 ms, indentations of 1.5, 2.5 and 6 nm; one image with a probability
above 0.7 ends it. Its deep Q-network chose among them; neither weights nor data are public, so this
is the agent before its training. Its forced action after five scans in a row skipped for rough
ground has no counterpart: where nothing fits, another spot is looked for.
"""

from __future__ import annotations

import numpy as np

from drivers.actions import Action, TunnellingPoint
from drivers.envelope import Limits
from policies.acceptance import OneImage
from policies.conditioner.doing import indentation, pulse
from policies.history import History, last_look
from policies.legal import fitting, within
from policies.proposal import GiveUp, Proposal

PULSES_V = (-2.0, -4.0, -6.0)
PULSE_S = 0.05
DEPTHS_NM = (1.5, 2.5, 6.0)
QUALITY = 0.7


class SixActions:
    """Draws among the six.

    Args:
        at: tunnelling point of the actions.
        limits: the envelope.
        seed: decides, with the length of the history, what is drawn.
    """

    def __init__(self, at: TunnellingPoint, limits: Limits, seed: int) -> None:
        pulses = [pulse(at, height, PULSE_S, limits) for height in PULSES_V]
        dips = [indentation(at, depth, limits) for depth in DEPTHS_NM]
        self._legal: list[Action] = within(limits, [*pulses, *dips])
        self._seed = seed

    def propose(self, history: History) -> Proposal:
        """One of those that the envelope and the spot allow."""
        fit = fitting(last_look(history).site, self._legal)
        if not fit:
            return Proposal(GiveUp(), "the limits allow none of the six actions")
        drawn = np.random.default_rng([self._seed, len(history)]).integers(len(fit))
        return Proposal(fit[int(drawn)], f"drawn among {len(fit)} actions")


def acceptance() -> OneImage:
    """As published: one whole image."""
    return OneImage(QUALITY)
