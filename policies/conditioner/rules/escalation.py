"""Escalating indentations, and pulses where the tip is dirty.

The depth ladder follows Diao et al., Small Methods 2024, 2400813: indent gently, go deeper while
nothing changes. Added here: once something changes the depth is kept for a few tries, because
repeated gentle contacts anneal the apex; a ladder that has reached its end starts again; and a
contaminated tip gets voltage pulses of growing height and alternating sign.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from drivers.actions import Action, Indentation, Pulse, TunnellingPoint
from drivers.outcome import Outcome
from policies.episode import Acted, History, Looked, Proposal
from policies.report import TipReport, TipState

NM = 1e-9


class EscalationSettings(BaseModel):
    """The numbers of the rule.

    Attributes:
        first_depth_nm: depth of the first indentation, from the tunnelling point.
        depth_step_nm: how much deeper after a try that changed nothing, or too many at one depth.
        last_depth_nm: depth at which the ladder starts again.
        tries_per_depth: indentations with effect at one depth before going deeper.
        first_pulse_v: height of the first pulse.
        pulse_step_v: how much higher each further pulse.
        last_pulse_v: height at which the ladder starts again.
        dirty: probability of contamination from which to pulse.
        blunt_step_nm: extra depth while the tip looks blunt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_depth_nm: float = Field(0.9, gt=0)
    depth_step_nm: float = Field(0.15, gt=0)
    last_depth_nm: float = Field(2.4, gt=0)
    tries_per_depth: int = Field(4, ge=1)
    first_pulse_v: float = Field(3.0, gt=0)
    pulse_step_v: float = Field(1.0, gt=0)
    last_pulse_v: float = Field(8.0, gt=0)
    dirty: float = Field(0.5, gt=0, lt=1)
    blunt_step_nm: float = Field(0.0, ge=0)


class EscalationRule:
    """Proposes the next rung of a depth ladder, or of a pulse ladder for a dirty tip."""

    def __init__(self, at: TunnellingPoint, settings: EscalationSettings | None = None) -> None:
        self._at = at
        self._settings = settings or EscalationSettings()

    def propose(self, history: History) -> Proposal:
        """The next indentation or pulse; never gives up by itself."""
        report = _last_report(history)
        if report.states[TipState.CONTAMINATED] >= self._settings.dirty:
            return self._pulse(history)
        return self._indent(history, report)

    def _pulse(self, history: History) -> Proposal:
        rule = self._settings
        earlier = sum(isinstance(event.action, Pulse) for event in _acts(history))
        rungs = np.arange(rule.first_pulse_v, rule.last_pulse_v + 1e-6, rule.pulse_step_v)
        height = float(rungs[(earlier // 2) % len(rungs)])
        sign = 1.0 if earlier % 2 == 0 else -1.0
        action = Pulse(at=self._at, bias_v=sign * height, width_s=0.2, feedback="held")
        return Proposal(action, f"contaminated: pulse {sign * height:+.1f} V")

    def _indent(self, history: History, report: TipReport) -> Proposal:
        depth_nm = self._depth_nm(history)
        if report.worst is TipState.BLUNT:
            depth_nm += self._settings.blunt_step_nm
        action = gentle_indentation(self._at, depth_nm)
        return Proposal(action, f"{report.worst.value}: indent {depth_nm:.2f} nm")

    def _depth_nm(self, history: History) -> float:
        """Walk the ladder along the indentations made so far."""
        rule = self._settings
        rungs = np.arange(rule.first_depth_nm, rule.last_depth_nm + 1e-6, rule.depth_step_nm)
        rung, tries = 0, 0
        for event in _acts(history):
            if not isinstance(event.action, Indentation):
                continue
            tries += 1
            if not made_contact(event.outcome) or tries >= rule.tries_per_depth:
                rung, tries = (rung + 1) % len(rungs), 0
        return float(rungs[rung])


def gentle_indentation(at: TunnellingPoint, depth_nm: float) -> Action:
    """An indentation of ``depth_nm`` at contact bias 20 mV, lifted three times as far."""
    return Indentation(
        at=at,
        depth_m=depth_nm * NM,
        approach_time_s=0.1,
        contact_bias_v=0.02,
        dwell_s=0.1,
        lift_m=3 * depth_nm * NM,
        lift_time_s=0.1,
    )


#: A single-atom contact conducts 1 G0 = 77.5 uS: 1.55 uA at 20 mV, which clips every preamplifier
#: gain used for imaging. Half a nanoampere is far above tunnelling at 20 mV.
CONTACT_A = 0.5e-9
#: Change of the tip's length above drift and noise that counts as an effect without a trace.
CHANGED_M = 30e-12


def made_contact(outcome: Outcome) -> bool:
    """Whether an indentation reached the metal, by its trace or else by the z jump."""
    if outcome.trace is not None and outcome.trace.current_a.size:
        return bool(np.max(np.abs(outcome.trace.current_a)) > CONTACT_A)
    return outcome.z_jump_m is not None and abs(outcome.z_jump_m) > CHANGED_M


def _acts(history: History) -> Iterable[Acted]:
    return (event for event in history if isinstance(event, Acted))


def _last_report(history: History) -> TipReport:
    return next(event.report for event in reversed(history) if isinstance(event, Looked))
