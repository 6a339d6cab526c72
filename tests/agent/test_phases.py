"""The table of phases."""

from __future__ import annotations

import pytest

from agent.phases import ALLOWED, Phase, Phases


def reachable(start: Phase) -> set[Phase]:
    seen, todo = set(), [start]
    while todo:
        phase = todo.pop()
        if phase not in seen:
            seen.add(phase)
            todo.extend(ALLOWED[phase])
    return seen


def test_every_phase_is_in_the_table_and_reachable():
    assert set(ALLOWED) == set(Phase)
    assert reachable(Phase.STARTING) == set(Phase)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_can_reach_the_end(phase: Phase):
    assert Phase.ENDED in reachable(phase)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DECIDING, Phase.LOOKING, Phase.ACTING])
def test_every_working_phase_can_withdraw(phase: Phase):
    assert Phase.WITHDRAWING in ALLOWED[phase]


def test_nothing_but_the_end_follows_a_withdrawal():
    assert ALLOWED[Phase.WITHDRAWING] == {Phase.ENDED}
    assert not ALLOWED[Phase.ENDED]


def test_no_action_without_a_decision():
    before = {phase for phase, after in ALLOWED.items() if Phase.ACTING in after}
    assert before == {Phase.DECIDING}


def test_a_forbidden_way_is_refused_and_changes_nothing():
    phases = Phases()
    with pytest.raises(RuntimeError, match="starting to acting"):
        phases.enter(Phase.ACTING)
    assert phases.current is Phase.STARTING
