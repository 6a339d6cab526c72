"""A tuned closed loop: Diao's ladder, a reaction to bluntness, and a pulse when dirty.

The family of Diao et al., Small Methods 2024, 2400813 (deeper while the apex does not change) with
two reactions more: another depth after a change that left the tip blunt, and a pulse when it looks
contaminated. Five parameters.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from drivers.actions import Indentation, Pulse, TunnellingPoint
from drivers.envelope import Limits
from policies.conditioner.contact import apex_changed
from policies.conditioner.doing import indentation, pulse
from policies.history import Acted, History, actions, last_look
from policies.legal import within
from policies.proposal import GiveUp, Proposal
from policies.report import TipState

#: The depth never leaves these bounds (nm), nor the limits.
SHALLOWEST_NM, DEEPEST_NM = 0.4, 3.0
PULSE_S = 0.2
BLUNT = 0.5


class ClosedLoopSettings(BaseModel):
    """The five numbers of the rule, tuned by ``scripts/tune_rules.py``.

    Attributes:
        first_depth_nm: depth of the first indentation.
        deeper_nm: how much deeper after one that changed nothing.
        blunt_nm: how much deeper after one that changed the apex and left it blunt; shallower if
            negative.
        dirty: probability of contamination from which a pulse comes next.
        pulse_v: its height, given with both signs in turn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_depth_nm: float = Field(1.35, gt=0)
    deeper_nm: float = Field(0.29, ge=0)
    blunt_nm: float = -0.03
    dirty: float = Field(0.75, gt=0, lt=1)
    pulse_v: float = Field(5.8, gt=0)


class ClosedLoop:
    """Feels for the depth at which the apex changes, and stays near it."""

    def __init__(
        self, at: TunnellingPoint, limits: Limits, settings: ClosedLoopSettings | None = None
    ) -> None:
        self._at, self._limits = at, limits
        self._settings = settings or ClosedLoopSettings()
        self._deepest = min(DEEPEST_NM, limits.max_depth_nm)

    def propose(self, history: History) -> Proposal:
        """An indentation at the depth felt for, or a pulse after a dirty look."""
        dirt = last_look(history).report.states[TipState.CONTAMINATED]
        done = list(actions(history))
        if dirt >= self._settings.dirty and not (done and isinstance(done[-1].action, Pulse)):
            earlier = sum(isinstance(act.action, Pulse) for act in done)
            height = self._settings.pulse_v * (-1 if earlier % 2 else 1)
            strike = pulse(self._at, height, PULSE_S, self._limits)
            if within(self._limits, [strike]):
                return Proposal(strike, f"pulse {height:+.1f} V, it looks dirty")
        if self._deepest <= 0:
            return Proposal(GiveUp(), "the limits allow no indentation")
        depth = self._depth_nm(history)
        dip = indentation(self._at, depth, self._limits)
        if not within(self._limits, [dip]):
            return Proposal(GiveUp(), f"the limits do not allow to indent {depth:.2f} nm")
        return Proposal(dip, f"indent {depth:.2f} nm")

    def _depth_nm(self, history: History) -> float:
        rule = self._settings
        depth = min(rule.first_depth_nm, self._deepest)
        for index, event in enumerate(history):
            if not (isinstance(event, Acted) and isinstance(event.action, Indentation)):
                continue
            if not apex_changed(event.outcome):
                depth += rule.deeper_nm
            elif _blunt_after(history, index):
                depth += rule.blunt_nm
            depth = min(max(depth, min(SHALLOWEST_NM, self._deepest)), self._deepest)
        return depth


def _blunt_after(history: History, index: int) -> bool:
    after = history[index + 1] if index + 1 < len(history) else None
    return (
        after is not None
        and not isinstance(after, Acted)
        and after.report.states[TipState.BLUNT] >= BLUNT
    )
