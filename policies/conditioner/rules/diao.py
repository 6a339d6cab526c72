"""The depth ladder of Diao et al., Small Methods 2024, 2400813.

Poke 0.9 nm below the setpoint of 1.5 V and 200 pA; if the apex did not change, 0.15 nm deeper the
next time; until the network calls the image one of its good classes. Whether the apex changed is
read from the height here, which the authors read from the images.
"""

from __future__ import annotations

from drivers.actions import Indentation, TunnellingPoint
from drivers.envelope import Limits
from policies.acceptance import OneImage
from policies.conditioner.contact import apex_changed
from policies.conditioner.doing import indentation
from policies.history import History, actions
from policies.legal import within
from policies.proposal import GiveUp, Proposal

FIRST_NM, DEEPER_NM = 0.9, 0.15
#: Depths are counted from here.
AT = TunnellingPoint(bias_v=1.5, setpoint_a=200e-12)
#: The likeliest class of one image decides.
QUALITY = 0.5


class DiaoLadder:
    """Deeper while the apex does not change, from the first depth again once it has."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def propose(self, history: History) -> Proposal:
        """The next indentation; gives up where it would be deeper than the limits allow."""
        depth = FIRST_NM
        for act in actions(history):
            if isinstance(act.action, Indentation):
                depth = FIRST_NM if apex_changed(act.outcome) else depth + DEEPER_NM
        dip = indentation(AT, depth, self._limits)
        if not within(self._limits, [dip]):
            return Proposal(GiveUp(), f"the limits do not allow to indent {depth:.2f} nm")
        return Proposal(dip, f"indent {depth:.2f} nm")


def acceptance() -> OneImage:
    """As published: one whole image."""
    return OneImage(QUALITY)
