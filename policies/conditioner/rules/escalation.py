"""Escalating indentations, and pulses where the tip stays dirty.

The first indentations follow Diao et al., Small Methods 2024, 2400813: gentle, and deeper while
nothing changes. The first contact is where the rule departs from it. Once the current during an
indentation has shown at which depth the metal is, all depths are counted from there, which takes
the unknown gap and most of the z calibration out; the rule then climbs a ladder of
penetrations, several tries a rung, because repeated contact at a suitable depth anneals the apex
(Sabater et al., Phys. Rev. Lett. 108, 205502), and starts again at its end. A tip that looks
contaminated several times in a row gets voltage pulses of growing height and alternating sign.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from drivers.actions import Indentation, Pulse, TunnellingPoint
from drivers.envelope import Limits
from policies.conditioner.contact import contact_depth_m
from policies.conditioner.doing import indentation, pulse
from policies.history import History, Looked, actions, last_look
from policies.legal import passes, within
from policies.proposal import GiveUp, Proposal
from policies.report import TipState

NM = 1e-9


class EscalationSettings(BaseModel):
    """The numbers of the rule, tuned on simulated episodes.

    Attributes:
        first_depth_nm: depth of the first indentation, from the tunnelling point.
        search_step_nm: how much deeper after an indentation without contact.
        last_depth_nm: depth at which a search without contact starts again.
        penetrations_nm: the ladder of depths past first contact.
        tries: indentations on one rung.
        dirty: probability of contamination that counts as dirty.
        dirty_looks: dirty looks in a row before a pulse.
        pulses_v: the ladder of pulse heights, each given with both signs.
        pulse_s: width of a pulse.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_depth_nm: float = Field(0.7, gt=0)
    search_step_nm: float = Field(0.15, gt=0)
    last_depth_nm: float = Field(3.0, gt=0)
    penetrations_nm: tuple[float, ...] = (0.25, 0.6, 0.9, 1.25)
    tries: int = Field(6, ge=1)
    dirty: float = Field(0.5, gt=0, lt=1)
    dirty_looks: int = Field(3, ge=1)
    pulses_v: tuple[float, ...] = (4.0, 5.0, 6.0, 7.0, 8.0)
    pulse_s: float = Field(0.2, gt=0)


class EscalationRule:
    """Proposes the next rung of the ladder of depths, or of pulses for a tip that stays dirty."""

    def __init__(
        self,
        at: TunnellingPoint,
        limits: Limits | None = None,
        settings: EscalationSettings | None = None,
    ) -> None:
        self._at = at
        self._limits = limits or Limits()
        self._settings = settings or EscalationSettings()

    def propose(self, history: History) -> Proposal:
        """The next indentation or pulse within the limits; gives up where they leave none."""
        trouble = last_look(history).report.worst.value
        dirty_looks = self._dirty_looks(history)
        # A pulse is no remedy for noise or the feedback.
        pulses = [] if last_look(history).report.spoiled else self._pulses()
        if pulses and dirty_looks and dirty_looks % self._settings.dirty_looks == 0:
            action = self._next(pulses, history)
            why = f"pulse {action.peak_bias_v:+.1f} V, the tip stays dirty"
            return Proposal(action, f"{trouble}: {why}")
        depth_nm, why = self._depth_nm(history)
        if depth_nm is None:
            return Proposal(GiveUp(), why)
        dip = indentation(self._at, depth_nm, self._limits)
        if not passes(dip, self._limits):
            return Proposal(GiveUp(), f"the limits do not allow to indent {depth_nm:.2f} nm")
        return Proposal(dip, f"{trouble}: indent {depth_nm:.2f} nm, {why}")

    def _pulses(self) -> list[Pulse]:
        """The ladder of pulses as far as the limits allow it."""
        heights = [sign * height for height in self._settings.pulses_v for sign in (1, -1)]
        width_s = self._settings.pulse_s
        ladder = [pulse(self._at, height, width_s, self._limits) for height in heights]
        return within(self._limits, ladder)

    def _next(self, pulses: Sequence[Pulse], history: History) -> Pulse:
        """The next rung; weaker pulses than the first are somebody else's."""
        first_v = abs(pulses[0].peak_bias_v)
        given = [event.action for event in actions(history) if isinstance(event.action, Pulse)]
        return pulses[sum(abs(one.peak_bias_v) >= first_v for one in given) % len(pulses)]

    def _depth_nm(self, history: History) -> tuple[float | None, str]:
        """Depth of the next indentation and why; None if no depth within the limits is left."""
        rule, deepest = self._settings, self._limits.max_depth_nm
        contact_nm, after_contact, searched = self._contact(history)
        if contact_nm is None:
            last = min(rule.last_depth_nm, deepest)
            if last <= 0:
                return None, f"no indentation is allowed: max_depth_nm is {deepest:g}"
            # A tip that may be pushed less than that begins as deep as it may.
            first = min(rule.first_depth_nm, last)
            rungs = np.arange(first, last + 1e-6, rule.search_step_nm)
            return float(rungs[searched % rungs.size]), "looking for contact"
        ladder = [rung for rung in rule.penetrations_nm if 0 < contact_nm + rung <= deepest]
        if not ladder:
            return None, (
                f"no depth is left: contact is at {contact_nm:.2f} nm and max_depth_nm {deepest:g}"
            )
        rung = ladder[(after_contact // rule.tries) % len(ladder)]
        return contact_nm + rung, f"{rung:.2f} nm past contact"

    def _contact(self, history: History) -> tuple[float | None, int, int]:
        """Depth of contact (nm) if known, indentations since it is known, and those before."""
        contact_nm, after_contact, searched = None, 0, 0
        for event in actions(history):
            if not isinstance(event.action, Indentation):
                continue
            known = contact_nm is not None
            after_contact += known
            searched += not known
            met_m = contact_depth_m(event.action, event.outcome)
            # Without a trace only the search tells the depth; later dips go deeper on purpose.
            if met_m is not None and not (known and event.outcome.trace is None):
                contact_nm = met_m / NM
        return contact_nm, after_contact, searched

    def _dirty_looks(self, history: History) -> int:
        """Dirty looks in a row, up to now."""
        count = 0
        for event in reversed(history):
            if isinstance(event, Looked):
                if event.report.states[TipState.CONTAMINATED] < self._settings.dirty:
                    break
                count += 1
        return count
