"""The escalation rule walks its ladders as described."""

from __future__ import annotations

import numpy as np
import pytest

from drivers import Frame, Indentation, Outcome, Pulse, Trace, TunnellingPoint
from policies.conditioner import EscalationRule
from policies.conditioner.rules.escalation import EscalationSettings, made_contact
from policies.episode import Acted, Event, Looked
from policies.report import TipReport, TipState

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
SETTINGS = EscalationSettings(
    first_depth_nm=1.0,
    depth_step_nm=0.5,
    last_depth_nm=2.0,
    tries_per_depth=2,
    first_pulse_v=3.0,
    pulse_step_v=1.0,
    last_pulse_v=4.0,
    dirty=0.5,
)
RULE = EscalationRule(AT, SETTINGS)


def looked(trouble: TipState) -> Looked:
    states = {state: 0.9 if state is trouble else 0.1 for state in TipState}
    return Looked(FRAME, TipReport(0.1, states, 96), None, 0.0)


def outcome(current_a: float | None = None, jump_m: float | None = None) -> Outcome:
    trace = None
    if current_a is not None:
        currents = np.array([1e-12, current_a], np.float32)
        trace = Trace(np.arange(2.0), currents, np.zeros(2, np.float32))
    return Outcome(0.0, 1.0, z_jump_m=jump_m, trace=trace)


def ladder(trouble: TipState, result: Outcome, turns: int) -> list[float]:
    history: list[Event] = []
    values = []
    for _ in range(turns):
        history.append(looked(trouble))
        action = RULE.propose(history).action
        assert isinstance(action, Indentation | Pulse)
        if isinstance(action, Indentation):
            values.append(action.depth_m * 1e9)
            assert action.lift_m >= action.depth_m
        else:
            values.append(action.bias_v)
        history.append(Acted(action, 0.0, 0.0, result))
    return values


def test_goes_deeper_while_nothing_happens_and_starts_again() -> None:
    depths = ladder(TipState.BLUNT, outcome(current_a=1e-11), 5)
    assert depths == pytest.approx([1.0, 1.5, 2.0, 1.0, 1.5])


def test_stays_a_while_at_a_depth_that_works() -> None:
    depths = ladder(TipState.DOUBLE, outcome(current_a=1e-8), 5)
    assert depths == pytest.approx([1.0, 1.0, 1.5, 1.5, 2.0])


def test_pulses_a_dirty_tip_with_alternating_sign() -> None:
    pulses = ladder(TipState.CONTAMINATED, outcome(), 6)
    assert pulses == [3.0, -3.0, 4.0, -4.0, 3.0, -3.0]


@pytest.mark.parametrize(
    ("result", "contact"),
    [
        (outcome(current_a=-8e-9), True),
        (outcome(current_a=1e-10, jump_m=1e-9), False),
        (outcome(jump_m=-0.2e-9), True),
        (outcome(jump_m=5e-12), False),
        (outcome(), False),
    ],
)
def test_contact_is_read_from_the_trace_or_else_the_jump(result: Outcome, contact: bool) -> None:
    assert made_contact(result) is contact
