"""The operator's hands: how the agent has left the instrument, and what is otherwise since; pure.

What differs was set by somebody else. It is told and never overwritten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from drivers.actions import (
    Action,
    Approach,
    CoarseMove,
    Indentation,
    MoveTo,
    Pulse,
    RetuneFeedback,
    TunnellingPoint,
    Wait,
)
from drivers.microscope import Feedback, MicroscopeState

# Converters of 16 bits over 20 V resolve 0.3 mV; a hand that changes anything changes more.
_SHARE = 0.01
_BIAS_V = 0.5e-3
_SETPOINT_A = 0.1e-12
_PLACE_M = 2e-9


@dataclass(frozen=True, slots=True)
class Left:
    """How the agent has left the instrument, or found it at first.

    Attributes:
        bias_v: sample bias (V).
        setpoint_a: current setpoint (A).
        feedback: what the z controller does.
        place_m: where the agent has put the tip (m), or None where a scan has left it.
    """

    bias_v: float
    setpoint_a: float
    feedback: Feedback
    place_m: tuple[float, float] | None = None

    @classmethod
    def found(cls, state: MicroscopeState) -> Left:
        """The instrument as it was found."""
        return cls(state.bias_v, state.setpoint_a, state.feedback)

    def at(self, point: TunnellingPoint, feedback: Feedback = Feedback.ON) -> Left:
        """The same at another tunnelling point."""
        return replace(self, bias_v=point.bias_v, setpoint_a=point.setpoint_a, feedback=feedback)

    def after_scan(self, point: TunnellingPoint) -> Left:
        """After a scan, which leaves the tip anywhere in its frame."""
        return replace(self.at(point), place_m=None)

    def after(self, action: Action) -> Left:
        """After ``action``."""
        match action:
            case Pulse():
                return self.at(action.at)
            case Indentation():
                return self.at(action.at, Feedback.ON if action.restore_feedback else Feedback.HELD)
            case MoveTo():
                gone = self.feedback is Feedback.WITHDRAWN
                place_m = (action.x_m, action.y_m)
                return replace(
                    self, feedback=self.feedback if gone else Feedback.ON, place_m=place_m
                )
            case CoarseMove():
                return self.withdrawn()
            case Approach():
                return self.after_scan(action.at)
            case Wait() | RetuneFeedback():
                return self

    def withdrawn(self) -> Left:
        """After a withdrawal."""
        return replace(self, feedback=Feedback.WITHDRAWN, place_m=None)

    def changes(self, state: MicroscopeState) -> list[str]:
        """What somebody else has changed, in words, each with what it is and what it was left at.

        A tip that is found withdrawn is not among it: that may have been a protection as well.
        """
        changes = []
        if not math.isclose(state.bias_v, self.bias_v, rel_tol=_SHARE, abs_tol=_BIAS_V):
            changes.append(f"the bias is {state.bias_v:g} V and was left at {self.bias_v:g} V")
        if not math.isclose(state.setpoint_a, self.setpoint_a, rel_tol=_SHARE, abs_tol=_SETPOINT_A):
            changes.append(
                f"the setpoint is {state.setpoint_a * 1e12:g} pA and was left at "
                f"{self.setpoint_a * 1e12:g} pA"
            )
        if state.feedback not in (self.feedback, Feedback.WITHDRAWN):
            changes.append(f"the feedback is {state.feedback} and was left {self.feedback}")
        if self.place_m is not None and math.dist(self.place_m, (state.x_m, state.y_m)) > _PLACE_M:
            changes.append(
                f"the tip stands at {_place(state.x_m, state.y_m)} and was left at "
                f"{_place(*self.place_m)}"
            )
        if state.scanning:
            changes.append("a scan runs and none was left running")
        return changes


def _place(x_m: float, y_m: float) -> str:
    return f"({x_m * 1e9:.1f}, {y_m * 1e9:.1f}) nm"
