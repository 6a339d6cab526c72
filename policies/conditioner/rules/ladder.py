"""A tuned open-loop ladder: gentle indentations, a pulse and a deep push every so often.

What many laboratories do by hand, without looking at anything but whether the tip is good.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from drivers.actions import Action, TunnellingPoint
from drivers.envelope import Limits
from policies.conditioner.doing import indentation, pulse
from policies.history import History, actions
from policies.legal import within
from policies.proposal import GiveUp, Proposal


class LadderSettings(BaseModel):
    """The numbers of the ladder, tuned by ``scripts/tune_rules.py``.

    Attributes:
        depth_nm: depth of the first of the usual indentations.
        step_nm: how much deeper each further one goes.
        rungs: indentations until the first depth comes again.
        pulse_every: every so many actions is a pulse.
        pulse_v: its height, given with both signs in turn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth_nm: float = Field(1.2, gt=0)
    step_nm: float = Field(0.1, ge=0)
    rungs: int = Field(5, ge=1)
    pulse_every: int = Field(12, ge=2)
    pulse_v: float = Field(6.0, gt=0)


class OpenLoopLadder:
    """Goes round its ladder whatever the scans show."""

    def __init__(
        self, at: TunnellingPoint, limits: Limits, settings: LadderSettings | None = None
    ) -> None:
        self._at, self._limits = at, limits
        self._settings = settings or LadderSettings()

    def propose(self, history: History) -> Proposal:
        """The next rung; gives up where the limits do not allow it."""
        done, rule = sum(1 for _ in actions(history)), self._settings
        rounds, place = divmod(done + 1, rule.pulse_every)
        action: Action
        if place == 0:
            height = rule.pulse_v if rounds % 2 else -rule.pulse_v
            action, text = pulse(self._at, height, 0.2, self._limits), f"pulse {height:+.1f} V"
        else:
            depth = rule.depth_nm + rule.step_nm * ((done - rounds) % rule.rungs)
            action, text = indentation(self._at, depth, self._limits), f"indent {depth:.2f} nm"
        if not within(self._limits, [action]):
            return Proposal(GiveUp(), f"the limits do not allow the next rung: {text}")
        return Proposal(action, f"{text}, action {done + 1} of the ladder")
