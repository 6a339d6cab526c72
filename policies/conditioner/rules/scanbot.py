"""Scanbot's imprint rule (JOSS 2024, version 4): a light dip, and a look at what it left.

The tip is good if the mound of a dip of 0.8 nm at 0.1 V, cut at 50 pm, is round (circularity above
0.7, as its automatic loop has it) and smaller than 3 nm^2. If not, a dip of uniformly random depth
from 1.0 to 2.5 nm reshapes the tip before the next test. Its authors state that it cannot see
double tips.
"""

from __future__ import annotations

import numpy as np

from drivers.actions import Action, Indentation, TunnellingPoint
from drivers.envelope import Limits
from policies.acceptance import Judgement, Manner, Verdict
from policies.conditioner.doing import indentation
from policies.history import History, actions, last_look
from policies.legal import within
from policies.proposal import GiveUp, Proposal

TEST_NM, TEST_BIAS_V = 0.8, 0.1
RESHAPE_NM = (1.0, 2.5)
CIRCULARITY = 0.7
AREA_M2 = 3e-18


class ScanbotRule:
    """A test dip after each reshaping one, and a reshaping one after each test that failed.

    Args:
        at: tunnelling point of the dips.
        limits: the envelope.
        seed: decides, with the number of actions, how deep the reshaping dips go.
    """

    def __init__(self, at: TunnellingPoint, limits: Limits, seed: int) -> None:
        self._at, self._limits, self._seed = at, limits, seed

    def propose(self, history: History) -> Proposal:
        """The next dip; gives up where the limits do not allow it."""
        done = [act.action for act in actions(history)]
        if done and is_test(done[-1]):
            rng = np.random.default_rng([self._seed, len(done)])
            depth, bias_v, why = float(rng.uniform(*RESHAPE_NM)), 0.02, "the imprint is not round"
        else:
            depth, bias_v, why = TEST_NM, TEST_BIAS_V, "a light dip to see its imprint"
        dip = indentation(self._at, depth, self._limits, bias_v)
        if not within(self._limits, [dip]):
            return Proposal(GiveUp(), f"the limits do not allow to indent {depth:.2f} nm")
        return Proposal(dip, f"indent {depth:.2f} nm, {why}")


class RoundImprint:
    """Good if the imprint of a test dip is small and round."""

    def judge(self, history: History) -> Judgement:
        """See ``policies.acceptance.Acceptance``."""
        mark = last_look(history).imprint
        fine = mark is not None and mark.circularity > CIRCULARITY and mark.area_m2 < AREA_M2
        return Judgement(Verdict.GOOD if fine else Verdict.BAD, told_by=1)

    def manner(self, history: History) -> Manner:
        """Where a test dip was made its imprint is looked at."""
        last = history[-1] if history else None
        tested = last is not None and is_test(getattr(last, "action", None))
        return Manner(whole=True, imprint=tested)


def is_test(action: Action | None) -> bool:
    """Whether an action is the light dip whose imprint counts."""
    return isinstance(action, Indentation) and action.contact_bias_v == TEST_BIAS_V
