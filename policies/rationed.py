"""A policy held to so many pulses an hour: where it wants one more, it waits first."""

from __future__ import annotations

from drivers.actions import Pulse, Wait
from drivers.envelope import Limits
from drivers.ledger import HOUR_S
from policies.before import NOTHING, Before
from policies.history import History, actions, last_look
from policies.proposal import GiveUp, Policy, Proposal

#: What lies between the decision and the pulse comes on top; this is for rounding.
MARGIN_S = 1.0


class Rationed:
    """Proposes what ``policy`` does, but no pulse before the envelope lets it pass.

    Attributes:
        policy: chooses.

    Args:
        policy: chooses.
        limits: the envelope.
        before: what runs before have done.
    """

    def __init__(self, policy: Policy, limits: Limits, before: Before = NOTHING) -> None:
        self.policy = policy
        self._limits = limits
        self._before = before

    def propose(self, history: History) -> Proposal:
        """Choose from what was seen and done so far."""
        proposal = self.policy.propose(history)
        if not isinstance(proposal.choice, Pulse):
            return proposal
        needed_s = self._wait_s(history)
        if not needed_s:
            return proposal
        pulses = int(self._limits.max_pulses_per_hour)
        reason = f"there were {pulses} pulses within an hour, as many as are allowed"
        wait_s = min(needed_s, self._limits.max_wait_s)
        return Proposal(Wait(seconds=wait_s) if wait_s > 0 else GiveUp(), reason)

    def _wait_s(self, history: History) -> float:
        """How long to wait until a pulse may come (s), 0 if it may now."""
        most = int(self._limits.max_pulses_per_hour)
        now_s = last_look(history).finished_s
        pulses = [done for done in actions(history) if isinstance(done.action, Pulse)]
        times_s = sorted([*self._before.pulses_s, *(done.outcome.started_s for done in pulses)])
        recent_s = [at_s for at_s in times_s if at_s > now_s - HOUR_S]
        if len(recent_s) < most:
            return 0.0
        # A limit below 1 refuses every pulse, so that no policy proposes one.
        return recent_s[-most] + HOUR_S + MARGIN_S - now_s
