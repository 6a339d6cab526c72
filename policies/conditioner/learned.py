"""The learned policy at work: the best choice that makes sense, or the rule where it is lost."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from drivers.actions import Action, CoarseMove, Indentation, Pulse, RetuneFeedback, Wait
from policies.conditioner.brain import Brain, Thought
from policies.conditioner.catalogue import DOING, NM, Means
from policies.conditioner.features import LAYOUT, Memory
from policies.history import Acted, Event, History
from policies.proposal import GiveUp, Policy, Proposal

SHIPPED = Path(__file__).parent / "weights" / "policy.safetensors"


class LearnedPolicy:
    """Chooses by trained networks from the whole history.

    Where what it sees is unlike its training, or the repair takes longer than those did, it leaves
    the choice to ``fallback`` and says so.

    Args:
        brain: the networks.
        means: what actions are made with, and their envelope.
        fallback: a rule for when the networks are lost.
        scan_s: time of a whole scan (s), to tell costs in seconds.
    """

    def __init__(self, brain: Brain, means: Means, fallback: Policy, scan_s: float) -> None:
        self._brain = brain
        self._means = means
        self._fallback = fallback
        self._scan_s = scan_s
        self._memory = Memory(means)
        self._seen: list[Event] = []

    def propose(self, history: History) -> Proposal:
        """The choice of the networks or of the rule; gives up where nothing is allowed."""
        memory = self._remembered(history)
        observation = memory.observation()
        if not np.isfinite(observation).all():
            name = LAYOUT[int(np.flatnonzero(~np.isfinite(observation))[0])]
            return Proposal(
                GiveUp(), f"the history holds a number that is not finite ({name}); look again"
            )
        now = memory.situation
        mask = self._means.mask(now)
        if now.trouble is None and not mask[DOING].any():
            return self._by_rule(history, "the limits leave nothing of the catalogue")
        if not mask.any():
            reason = f"the scans stay {now.trouble}: no remedy is left in the catalogue"
            return Proposal(GiveUp(), reason)
        thought = self._brain.think(observation, mask)
        lost = self._why_lost(thought, history)
        # A rule knows no remedy but those for the tip.
        if lost and now.trouble is None:
            return self._by_rule(history, lost)
        action = self._means.action(thought.choice, now.contact_nm)
        if action is None:
            raise ValueError(f"choice {thought.choice} was masked and chosen all the same")
        trouble = now.trouble.value if now.trouble else memory.combined.worst.value
        cost_s = thought.expected_scans * self._scan_s
        reason = f"{trouble}: {told(action)}, {100 * thought.chance:.0f} % hope of a good tip"
        return Proposal(action, reason, cost_s, thought.chance)

    def _by_rule(self, history: History, why: str) -> Proposal:
        proposal = self._fallback.propose(history)
        return Proposal(proposal.choice, f"{why}, so the rule decides: {proposal.reason}")

    def _why_lost(self, thought: Thought, history: History) -> str | None:
        expected = self._brain.manifest
        if thought.distance > expected.unfamiliar:
            return (
                f"unlike the training (distance {thought.distance:.1f}, "
                f"familiar up to {expected.unfamiliar:.1f})"
            )
        actions = sum(isinstance(event, Acted) for event in history)
        if actions >= expected.overdue:
            return f"{actions} actions are more than nearly all repairs of the training took"
        return None

    def _remembered(self, history: History) -> Memory:
        """The memory of ``history``; what is known of its beginning is not worked out again."""
        known = len(self._seen)
        if known > len(history) or any(
            old is not new for old, new in zip(self._seen, history, strict=False)
        ):
            self._memory, self._seen, known = Memory(self._means), [], 0
        for event in history[known:]:
            self._memory.see(event)
            self._seen.append(event)
        return self._memory


@cache
def shipped_brain() -> Brain:
    """The trained networks that come with this version.

    Raises:
        FileError: they are missing or damaged.
    """
    return Brain.read(SHIPPED)


def told(action: Action) -> str:
    """An action in short, in the units that people use."""
    match action:
        case Pulse():
            return f"pulse {action.peak_bias_v:+.1f} V for {action.width_s:g} s"
        case Indentation():
            return f"indent {action.depth_m / NM:.2f} nm"
        case Wait():
            return f"wait {action.seconds:.0f} s"
        case CoarseMove():
            return "coarse move to a new field"
        case RetuneFeedback():
            return f"set the P gain to {action.p_gain_m / 1e-12:.3g} pm"
        case _:
            return action.kind
