"""The pulse-and-poke rules of MAST (HamsterPark/MAST-public, 2026).

First pulses of 10, 7, 5 and 3 V for 0.5 s, 20 at most, until forward and backward lines agree by
0.80; theirs are up to four to a spot, here each has its own, as all actions have. Then pokes from
0.5 nm (0.2 to 2.0): 20 % deeper while there is no contact, times 0.4 where the cluster that is left
is not round, 30 at most; a cluster with an axis ratio of 0.75 is round enough. Where nobody looks
at the mark, the record of the poke tells whether there was contact. The project calls all its
numbers uncalibrated.
"""

from __future__ import annotations

from itertools import pairwise

from drivers.actions import Indentation, Pulse, TunnellingPoint
from drivers.envelope import Limits
from drivers.outcome import Outcome
from policies.acceptance import Judgement, Manner, Verdict
from policies.conditioner.contact import contact_depth_m
from policies.conditioner.doing import indentation, pulse
from policies.history import Acted, History, Looked, actions, last_look
from policies.legal import within
from policies.proposal import GiveUp, Proposal

PULSES_V = (10.0, 7.0, 5.0, 3.0)
PULSE_S = 0.5
MOST_PULSES, MOST_POKES = 20, 30
AGREEMENT = 0.80
FIRST_NM, LEAST_NM, DEEPEST_NM = 0.5, 0.2, 2.0
DEEPER, SHALLOWER = 1.2, 0.4
AXIS_RATIO = 0.75


class MastRule:
    """Pulses until the ways agree, then pokes until the cluster is round."""

    def __init__(self, at: TunnellingPoint, limits: Limits) -> None:
        self._at, self._limits = at, limits
        heights = [pulse(at, height, PULSE_S, limits) for height in PULSES_V]
        self._pulses: list[Pulse] = within(limits, heights)

    def propose(self, history: History) -> Proposal:
        """The next pulse or poke; gives up after as many as its authors do."""
        done = [act.action for act in actions(history)]
        pulses = sum(isinstance(action, Pulse) for action in done)
        if not agrees(last_look(history)) and pulses < MOST_PULSES and self._pulses:
            strike = self._pulses[pulses % len(self._pulses)]
            return Proposal(strike, f"pulse {strike.bias_v:.0f} V, the ways do not agree")
        if len(done) - pulses >= MOST_POKES:
            return Proposal(GiveUp(), f"not good after {pulses} pulses and {MOST_POKES} pokes")
        depth = _depth_nm(history)
        poke = indentation(self._at, depth, self._limits)
        if not within(self._limits, [poke]):
            return Proposal(GiveUp(), f"the limits do not allow to indent {depth:.2f} nm")
        return Proposal(poke, f"poke {depth:.2f} nm")


class RoundCluster:
    """Good if forward and backward lines agree and the last poke left a round cluster."""

    def judge(self, history: History) -> Judgement:
        """See ``policies.acceptance.Acceptance``."""
        look = last_look(history)
        fine = look.imprint is not None and look.imprint.axis_ratio >= AXIS_RATIO and agrees(look)
        return Judgement(Verdict.GOOD if fine else Verdict.BAD, told_by=1)

    def manner(self, history: History) -> Manner:
        """What a poke left is looked at; after a pulse a fresh spot."""
        last = history[-1] if history else None
        poked = isinstance(last, Acted) and isinstance(last.action, Indentation)
        return Manner(whole=True, imprint=poked)


def agrees(look: Looked) -> bool:
    """Whether the way there and the way back show the same."""
    return look.agreement is not None and look.agreement >= AGREEMENT


def _depth_nm(history: History) -> float:
    """Depth of the next poke: what the marks or the records of those before ask for."""
    depth = FIRST_NM
    for event, after in pairwise(history):
        if not (isinstance(event, Acted) and isinstance(event.action, Indentation)):
            continue
        # Each poke is judged by the one look at its mark.
        mark = after if isinstance(after, Looked) and after.of_imprint else None
        met = _met(event.action, event.outcome) if mark is None else mark.imprint is not None
        if not met:
            depth = min(depth * DEEPER, DEEPEST_NM)
        elif mark and mark.imprint and mark.imprint.axis_ratio < AXIS_RATIO:
            depth = max(depth * SHALLOWER, LEAST_NM)
    return depth


def _met(poke: Indentation, outcome: Outcome) -> bool:
    depth_m = contact_depth_m(poke, outcome)
    return depth_m is not None and depth_m <= poke.depth_m
