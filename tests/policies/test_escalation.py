"""The escalation rule walks its ladders as described."""

from __future__ import annotations

import numpy as np
import pytest

from drivers import (
    Feedback,
    Frame,
    Indentation,
    Limits,
    MicroscopeState,
    Outcome,
    Pulse,
    Trace,
    TunnellingPoint,
    check_action,
)
from policies.conditioner import EscalationRule
from policies.conditioner.rules.escalation import EscalationSettings
from policies.history import Acted, Event, Looked
from policies.proposal import GiveUp
from policies.report import TipReport, TipState

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
STATE = MicroscopeState(
    0.0, 0.5, 50e-12, 50e-12, 0.0, 0.0, 0.0, Feedback.ON, False, (8e-7, 8e-7, 2e-7)
)
FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
SETTINGS = EscalationSettings(
    first_depth_nm=1.0,
    search_step_nm=0.5,
    last_depth_nm=2.0,
    penetrations_nm=(0.25, 0.75),
    tries=2,
    dirty_looks=2,
    pulses_v=(3.0, 4.0),
)


def looked(trouble: TipState) -> Looked:
    states = {state: 0.9 if state is trouble else 0.1 for state in TipState}
    return Looked(FRAME, TipReport(0.1, states, 96, 0.5), None, 0.0)


def traced(contact_nm: float | None) -> Outcome:
    """An indentation of 2 nm in five samples that met the metal at ``contact_nm``, or nowhere."""
    # Too coarse for the rise of the current: only the jump shows.
    depths = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    met = depths >= (np.inf if contact_nm is None else contact_nm)
    current = np.where(met, -1e-8, -5e-11).astype(np.float32)
    z = (30 - depths).astype(np.float32) * np.float32(1e-9)
    return Outcome(0.0, 1.0, trace=Trace(np.arange(5.0), current, z))


def ladder(
    trouble: TipState, outcome: Outcome, turns: int, limits: Limits | None = None
) -> list[float]:
    """Depths (nm) or heights (V) that the rule proposes while nothing but ``outcome`` happens."""
    rule = EscalationRule(AT, limits, SETTINGS)
    history: list[Event] = []
    values = []
    for _ in range(turns):
        history.append(looked(trouble))
        action = rule.propose(history).choice
        assert isinstance(action, Indentation | Pulse)
        check_action(action, STATE, limits or Limits())
        if isinstance(action, Indentation):
            values.append(action.depth_m * 1e9)
        else:
            values.append(action.bias_v)
        history.append(Acted(action, 0.0, 0.0, outcome))
    return values


def test_goes_deeper_while_nothing_happens_and_starts_again() -> None:
    assert ladder(TipState.BLUNT, traced(None), 5) == pytest.approx([1.0, 1.5, 2.0, 1.0, 1.5])


def test_counts_depths_from_the_contact_once_it_is_known() -> None:
    depths = ladder(TipState.DOUBLE, traced(0.5), 6)
    assert depths == pytest.approx([1.0, 0.75, 0.75, 1.25, 1.25, 0.75], abs=1e-6)


def test_pulses_a_tip_that_stays_dirty_with_alternating_sign() -> None:
    values = ladder(TipState.CONTAMINATED, traced(None), 10)
    assert values[1::2] == [3.0, -3.0, 4.0, -4.0, 3.0]
    assert values[::2] == pytest.approx([1.0, 1.5, 2.0, 1.0, 1.5])


def test_without_a_trace_the_first_contact_stands() -> None:
    jumped = Outcome(0.0, 1.0, z_jump_m=-0.2e-9)
    depths = ladder(TipState.DOUBLE, jumped, 6)
    assert depths == pytest.approx([1.0, 1.25, 1.25, 1.75, 1.75, 1.25])


def test_narrow_limits_cut_the_ladders() -> None:
    limits = Limits().narrowed(
        max_pulse_v=3.5, max_depth_nm=1.3, max_lift_nm=2.0, max_ramp_nm_per_s=4.0, max_pulse_s=0.05
    )
    assert set(ladder(TipState.DOUBLE, traced(None), 5, limits)) == {1.0}
    assert set(ladder(TipState.CONTAMINATED, traced(None), 8, limits)[1::2]) == {3.0, -3.0}
    depths = ladder(TipState.DOUBLE, traced(1.0), 5, limits)
    assert depths == pytest.approx([1.0, 1.25, 1.25, 1.25, 1.25])


def test_a_delicate_tip_is_begun_with_as_deep_as_it_may_go() -> None:
    limits = Limits().narrowed(max_depth_nm=0.3)
    assert ladder(TipState.DOUBLE, traced(None), 3, limits) == pytest.approx([0.3] * 3)


@pytest.mark.parametrize(("deepest_nm", "contact_nm"), [(0.0, None), (1.1, 1.0)])
def test_gives_up_where_the_limits_leave_nothing(
    deepest_nm: float, contact_nm: float | None
) -> None:
    rule = EscalationRule(AT, Limits().narrowed(max_depth_nm=deepest_nm), SETTINGS)
    dip = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)
    history = [Acted(dip, 0.0, 0.0, traced(contact_nm)), looked(TipState.DOUBLE)]
    proposal = rule.propose(history)
    assert isinstance(proposal.choice, GiveUp)
    assert "max_depth_nm" in proposal.reason
