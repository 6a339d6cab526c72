"""What a policy is: something that proposes, from the history alone, what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from drivers.actions import Action
from policies.history import History


@dataclass(frozen=True, slots=True)
class DeclareGood:
    """The policy holds the tip for good; the acceptance still has the last word."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing that the policy may do is worth trying."""


Choice = Action | DeclareGood | GiveUp


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a policy wants next.

    Attributes:
        choice: an action, or to declare the tip good, or to give up.
        reason: why, in one line for people.
        cost_s: instrument time that it expects until the tip is good (s), or None if unknown.
        chance: chance that the tip is good after this choice, or None if unknown.
    """

    choice: Choice
    reason: str
    cost_s: float | None = None
    chance: float | None = None


class Policy(Protocol):
    """Chooses what to do from the history; never sees the tip itself."""

    def propose(self, history: History) -> Proposal:
        """Choose from what was seen and done so far; the last event is a ``Looked``."""
        ...
