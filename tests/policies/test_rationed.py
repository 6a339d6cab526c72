"""A policy that may pulse only so often waits instead, and no longer than it must."""

from __future__ import annotations

import pytest

from drivers import Frame, Indentation, Limits, Outcome, Pulse, TunnellingPoint, Wait
from drivers.actions import Action
from drivers.ledger import HOUR_S, Ledger
from policies.before import Before
from policies.history import Acted, Event, History, Looked
from policies.proposal import GiveUp, Proposal
from policies.rationed import Rationed
from policies.report import TipReport, TipState

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
PULSE = Pulse(at=AT, bias_v=3.0, width_s=0.1)
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)
FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
REPORT = TipReport(0.1, dict.fromkeys(TipState, 0.1), 96, 0.5)
LOOK_S = 24.0


class Always:
    """A policy that wants one thing only."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def propose(self, history: History) -> Proposal:
        return Proposal(self.action, "because")


def repaired(policy: Rationed, steps: int) -> list[Event]:
    """The history of that many looks, each followed by what was proposed."""
    history: list[Event] = []
    now_s = 0.0
    for _ in range(steps):
        now_s += LOOK_S
        history.append(Looked(FRAME, REPORT, None, now_s))
        action = policy.propose(history).choice
        assert isinstance(action, Pulse | Wait | Indentation)
        lasts_s = action.seconds if isinstance(action, Wait) else 1.0
        history.append(Acted(action, 0.0, 0.0, Outcome(now_s, now_s + lasts_s)))
        now_s += lasts_s
    return history


@pytest.mark.parametrize("most", [1, 2, 7])
def test_what_it_proposes_passes_the_envelope(most: int):
    limits = Limits().narrowed(max_pulses_per_hour=most)
    ledger, waits = Ledger(), 0
    for event in repaired(Rationed(Always(PULSE), limits), 40):
        if isinstance(event, Acted) and isinstance(event.action, Pulse):
            assert ledger.pulses(event.outcome.started_s) < most
            ledger.note(event.action, 0.0, 0.0, event.outcome.started_s)
        waits += isinstance(event, Acted) and isinstance(event.action, Wait)
    assert waits


def test_it_waits_no_longer_than_it_must():
    limits = Limits().narrowed(max_pulses_per_hour=1)
    events = repaired(Rationed(Always(PULSE), limits), 3)
    kinds = [event.action.kind for event in events if isinstance(event, Acted)]
    assert kinds == ["pulse", "wait", "pulse"]
    first, _, second = (event.outcome for event in events if isinstance(event, Acted))
    assert HOUR_S < second.started_s - first.started_s < HOUR_S + 2 * LOOK_S


def test_pulses_of_runs_before_count():
    limits = Limits().narrowed(max_pulses_per_hour=2)
    look = Looked(FRAME, REPORT, None, LOOK_S)
    assert Rationed(Always(PULSE), limits, Before((-HOUR_S, -60.0))).propose([look]).choice == PULSE
    choice = Rationed(Always(PULSE), limits, Before((-120.0, -60.0))).propose([look]).choice
    assert isinstance(choice, Wait)
    assert choice.seconds == pytest.approx(HOUR_S - 120 - LOOK_S, abs=5.0)


def test_other_actions_are_left_alone():
    limits = Limits().narrowed(max_pulses_per_hour=1)
    look = Looked(FRAME, REPORT, None, LOOK_S)
    assert Rationed(Always(DIP), limits, Before((0.0, 1.0))).propose([look]) == Proposal(
        DIP, "because"
    )


def test_a_wait_stays_inside_the_envelope():
    look = Looked(FRAME, REPORT, None, LOOK_S)
    limits = Limits().narrowed(max_pulses_per_hour=1, max_wait_s=600.0)
    assert Rationed(Always(PULSE), limits, Before((0.0,))).propose([look]).choice == Wait(
        seconds=600.0
    )
    never = Limits().narrowed(max_pulses_per_hour=1, max_wait_s=0.0)
    assert Rationed(Always(PULSE), never, Before((0.0,))).propose([look]).choice == GiveUp()
