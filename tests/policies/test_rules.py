"""Every rule of the benchmark follows its published table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import Frame, Indentation, Limits, Outcome, Pulse, TunnellingPoint
from drivers.actions import Action
from drivers.sample_map import Site
from policies.acceptance import Verdict
from policies.conditioner.rules import autostm, diao, mast, scanbot
from policies.conditioner.rules.closed_loop import ClosedLoop, ClosedLoopSettings
from policies.conditioner.rules.escalation import EscalationRule
from policies.conditioner.rules.ladder import LadderSettings, OpenLoopLadder
from policies.conditioner.rules.single import RepeatedAction
from policies.conditioner.rules.uniform import uniform
from policies.history import Acted, Event, History, Imprint, Looked
from policies.legal import passes
from policies.proposal import GiveUp, Policy
from policies.report import TipReport, TipState

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
WIDE = Site(0.0, 0.0, 24e-9)
CHANGED, SAME = Outcome(0.0, 1.0, z_jump_m=-0.2e-9), Outcome(0.0, 1.0, z_jump_m=1e-12)
NARROW = Limits().narrowed(max_depth_nm=0.0, max_pulse_v=1.0)

MAKERS: dict[str, Callable[[Limits], Policy]] = {
    "uniform": lambda limits: uniform(AT, limits, 1),
    "single": lambda limits: RepeatedAction(AT, limits),
    "ladder": lambda limits: OpenLoopLadder(AT, limits),
    "closed loop": lambda limits: ClosedLoop(AT, limits),
    "Scanbot": lambda limits: scanbot.ScanbotRule(AT, limits, 1),
    "Diao": diao.DiaoLadder,
    "MAST": lambda limits: mast.MastRule(AT, limits),
    "escalation": lambda limits: EscalationRule(AT, limits),
    "AutoSTM": lambda limits: autostm.six_actions(AT, limits, 1),
}


def looked(
    *states: TipState,
    site: Site | None = WIDE,
    agreement: float | None = 0.9,
    imprint: Imprint | None = None,
    of_imprint: bool = False,
) -> Looked:
    found = {state: 0.9 if state in states else 0.1 for state in TipState}
    report = TipReport(0.1, found, 96)
    return Looked(FRAME, report, site, 0.0, agreement, of_imprint, imprint)


def play(policy: Policy, turns: int, seen: Looked, outcome: Outcome = SAME) -> list[Action]:
    """What a rule does while every look and every outcome are the same."""
    history: list[Event] = [seen]
    done = []
    for _ in range(turns):
        choice = policy.propose(history).choice
        if isinstance(choice, GiveUp):
            break
        done.append(choice)
        history += [Acted(choice, 0.0, 0.0, outcome), seen]
    return done


def levels(done: list[Action]) -> list[float]:
    """Depths (nm) and heights (V)."""
    return [
        one.depth_m / 1e-9 if isinstance(one, Indentation) else one.bias_v
        for one in done
        if isinstance(one, Indentation | Pulse)
    ]


def test_diao_goes_deeper_by_150_pm_while_nothing_changes() -> None:
    depths = levels(play(diao.DiaoLadder(Limits()), 4, looked()))
    assert depths == pytest.approx([0.9, 1.05, 1.2, 1.35])
    assert levels(play(diao.DiaoLadder(Limits()), 3, looked(), CHANGED)) == pytest.approx([0.9] * 3)
    first = play(diao.DiaoLadder(Limits()), 1, looked())[0]
    assert isinstance(first, Indentation)
    assert (first.at.bias_v, first.at.setpoint_a) == (1.5, 200e-12)


def test_scanbot_tests_with_a_light_dip_and_reshapes_with_a_random_one() -> None:
    done = play(scanbot.ScanbotRule(AT, Limits(), 1), 40, looked())
    assert {round(depth, 3) for depth in levels(done[::2])} == {0.8}
    assert [scanbot.is_test(one) for one in done[:4]] == [True, False, True, False]
    reshaping = levels(done[1::2])
    assert 1.0 <= min(reshaping) < 1.3
    assert 2.2 < max(reshaping) <= 2.5
    assert all(one.lift_m == pytest.approx(3 * one.depth_m) for one in done)


@pytest.mark.parametrize(
    ("mark", "good"),
    [
        (Imprint(2.9e-18, 0.71, 0.5), True),
        (Imprint(3.1e-18, 0.9, 0.9), False),
        (Imprint(2.0e-18, 0.69, 0.9), False),
        (None, False),
    ],
)
def test_scanbot_accepts_a_small_round_imprint(mark: Imprint | None, good: bool) -> None:
    judged = scanbot.RoundImprint().judge([looked(imprint=mark, of_imprint=True)])
    assert (judged.verdict is Verdict.GOOD) == good


def test_mast_pulses_from_ten_volts_until_the_ways_agree() -> None:
    rule = mast.MastRule(AT, Limits())
    done = play(rule, 60, looked(agreement=0.79))
    assert levels(done[:6]) == [10.0, 7.0, 5.0, 3.0, 10.0, 7.0]
    assert {one.width_s for one in done if isinstance(one, Pulse)} == {0.5}
    assert [sum(isinstance(one, kind) for one in done) for kind in (Pulse, Indentation)] == [20, 30]
    assert isinstance(play(rule, 1, looked(agreement=0.81))[0], Indentation)


def test_mast_pokes_deeper_without_contact_and_shallower_after_a_cluster_that_is_not_round() -> (
    None
):
    rule = mast.MastRule(AT, Limits())
    nothing = looked(of_imprint=True)
    assert levels(play(rule, 3, nothing)) == pytest.approx([0.5, 0.6, 0.72])
    assert max(levels(play(rule, 20, nothing))) == pytest.approx(2.0)
    # Where only fresh spots are looked at, the record of the poke has to tell.
    assert levels(play(rule, 3, looked())) == pytest.approx([0.5, 0.6, 0.72])
    assert levels(play(rule, 3, looked(), CHANGED)) == pytest.approx([0.5, 0.5, 0.5])
    oblong = looked(of_imprint=True, imprint=Imprint(1e-18, 0.5, 0.7))
    assert levels(play(rule, 3, oblong)) == pytest.approx([0.5, 0.2, 0.2])


def test_mast_accepts_a_round_cluster_if_the_ways_agree() -> None:
    def verdict(ratio: float, agreement: float) -> Verdict:
        mark = Imprint(1e-18, 0.8, ratio)
        seen = looked(of_imprint=True, imprint=mark, agreement=agreement)
        return mast.RoundCluster().judge([seen]).verdict

    assert verdict(0.75, 0.8) is Verdict.GOOD
    assert verdict(0.74, 0.8) is Verdict.BAD
    assert verdict(0.75, 0.79) is Verdict.BAD


def test_autostm_has_six_actions() -> None:
    done = play(autostm.six_actions(AT, Limits(), 1), 80, looked())
    assert {round(level, 3) for level in levels(done)} == {-2.0, -4.0, -6.0, 1.5, 2.5, 6.0}
    assert {one.width_s for one in done if isinstance(one, Pulse)} == {0.05}


def test_random_actions_are_uniform_and_fit_the_spot() -> None:
    every = play(uniform(AT, Limits(), 1), 420, looked())
    drawn = Counter((one.kind, round(*levels([one]), 3)) for one in every)
    assert len(drawn) == 14
    assert 10 <= min(drawn.values()) <= max(drawn.values()) <= 55
    small = looked(site=Site(0.0, 0.0, 6.7e-9))
    fit = {round(level, 3) for level in levels(play(uniform(AT, Limits(), 1), 60, small))}
    assert fit == {2.5, -2.5, 0.8, 1.0, 1.2}


def test_the_open_loop_ladder_repeats_its_rungs_and_pulses_in_turn() -> None:
    settings = LadderSettings(depth_nm=1.0, step_nm=0.2, rungs=2, pulse_every=4, pulse_v=5.0)
    done = levels(play(OpenLoopLadder(AT, Limits(), settings), 9, looked()))
    assert done == pytest.approx([1.0, 1.2, 1.0, 5.0, 1.2, 1.0, 1.2, -5.0, 1.0])


def test_the_closed_loop_feels_for_its_depth() -> None:
    settings = ClosedLoopSettings(
        first_depth_nm=1.0, deeper_nm=0.2, blunt_nm=-0.1, dirty=0.5, pulse_v=5.0
    )
    rule = ClosedLoop(AT, Limits(), settings)
    assert levels(play(rule, 3, looked())) == pytest.approx([1.0, 1.2, 1.4])
    assert levels(play(rule, 3, looked(), CHANGED)) == pytest.approx([1.0] * 3)
    blunt = levels(play(rule, 3, looked(TipState.BLUNT), CHANGED))
    assert blunt == pytest.approx([1.0, 0.9, 0.8])
    dirty = levels(play(rule, 5, looked(TipState.CONTAMINATED), CHANGED))
    assert dirty == pytest.approx([5.0, 1.0, -5.0, 1.0, 5.0])


@pytest.mark.parametrize("name", [*MAKERS])
def test_gives_up_where_the_limits_leave_nothing(name: str) -> None:
    proposal = MAKERS[name](NARROW).propose([looked()])
    assert isinstance(proposal.choice, GiveUp)
    # The limits in general, or the one that it is.
    assert "limits" in proposal.reason or "max_depth_nm" in proposal.reason


@st.composite
def histories(draw: st.DrawFn) -> History:
    events: list[Event] = [looked()]
    for _ in range(draw(st.integers(0, 8))):
        dip = Indentation(at=AT, depth_m=draw(st.floats(0.2, 3.0)) * 1e-9, lift_m=9e-9)
        strike = Pulse(at=AT, bias_v=draw(st.floats(-8, 8)), width_s=0.2)
        outcome = Outcome(0.0, 1.0, z_jump_m=draw(st.floats(-1e-9, 1e-9)))
        events.append(Acted(draw(st.sampled_from([dip, strike])), 0.0, 0.0, outcome))
        states = draw(st.lists(st.sampled_from([*TipState]), max_size=2))
        events.append(
            looked(*states, agreement=draw(st.floats(-1, 1)), of_imprint=draw(st.booleans()))
        )
    return events


@pytest.mark.parametrize("name", [*MAKERS])
@given(history=histories())
def test_the_same_history_gives_the_same_proposal(name: str, history: History) -> None:
    once, again = (MAKERS[name](Limits()).propose(list(history)) for _ in range(2))
    assert once == again
    assert once.reason


@st.composite
def narrowed(draw: st.DrawFn) -> Limits:
    """Any limits that may be configured; often a limit of nothing at all."""
    changes = {}
    for name, value in Limits():
        ends = (0.0, value) if name.startswith("max_") else (value, 100 * value)
        changes[name] = draw(st.sampled_from(ends) | st.floats(*ends))
    return Limits().narrowed(**changes)


@given(narrowed(), st.booleans())
def test_no_rule_wants_what_the_limits_refuse(limits: Limits, dirty: bool) -> None:
    states = [TipState.CONTAMINATED] if dirty else []
    for maker in MAKERS.values():
        choice = maker(limits).propose([looked(*states)] * 3).choice
        assert isinstance(choice, GiveUp) or passes(choice, limits)
