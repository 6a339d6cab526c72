"""The best single action, repeated: how far one well chosen depth goes.

With fixed hidden parameters this is within 5 % of the optimum of the compact tip model; what it
loses when they vary from tip to tip is what there is to learn.
"""

from __future__ import annotations

from drivers.actions import TunnellingPoint
from drivers.envelope import Limits
from policies.conditioner.doing import indentation
from policies.history import History
from policies.legal import within
from policies.proposal import GiveUp, Proposal

#: Tuned by ``scripts/tune_rules.py``.
DEPTH_NM = 1.4


class RepeatedAction:
    """Proposes the same indentation for ever."""

    def __init__(self, at: TunnellingPoint, limits: Limits, depth_nm: float = DEPTH_NM) -> None:
        self._dip = indentation(at, depth_nm, limits)
        self._legal = bool(within(limits, [self._dip]))

    def propose(self, history: History) -> Proposal:
        """The indentation; gives up where the limits do not allow it."""
        if not self._legal:
            return Proposal(GiveUp(), "the limits do not allow the indentation")
        return Proposal(self._dip, f"indent {self._dip.depth_m / 1e-9:.2f} nm, as always")
