"""The repair episode: what follows from which history, for every history."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from drivers import (
    CoarseMove,
    Frame,
    Indentation,
    Limits,
    Outcome,
    Pulse,
    TunnellingPoint,
    Wait,
)
from drivers.sample_map import Site, spoiled_diameter_m
from policies.acceptance import OneImage
from policies.before import Before
from policies.combining import combine
from policies.conditioner.rules import mast, scanbot
from policies.conditioner.rules.uniform import uniform
from policies.episode import Act, Declare, Look, next_step
from policies.history import Acted, Event, History, Looked, area_left, sample_map
from policies.plan import RepairPlan
from policies.proposal import Choice, DeclareGood, GiveUp, Proposal
from policies.report import TipReport, TipState

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
RANGE = (800e-9, 800e-9)
PLAN = RepairPlan(
    confirm_spots=3, doubt_quality=0.5, confirm_quality=0.75, max_actions=5, max_hours=1.0
)
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)


def report(quality: float) -> TipReport:
    return TipReport(quality, dict.fromkeys(TipState, 1 - quality), 96, 0.5)


@dataclass
class Fixed:
    """A policy that always wants the same."""

    action: Choice = DIP
    asked: list[int] = field(default_factory=list)

    def propose(self, history: History) -> Proposal:
        assert isinstance(history[-1], Looked)
        self.asked.append(len(history))
        return Proposal(self.action, "because")


def carry_out(step: Look | Act, quality: float, clear_m: float, time_s: float) -> Event:
    if isinstance(step, Act):
        return Acted(step.action, step.site.x_m, step.site.y_m, Outcome(time_s, time_s + 2))
    site = Site(step.frame.x_m, step.frame.y_m, clear_m) if clear_m else None
    return Looked(step.frame, report(quality), site, time_s)


def run(
    qualities: list[float], policy: Fixed, clear_m: float = 10e-9
) -> tuple[list[Event], Declare]:
    history: list[Event] = []
    looks = iter(qualities)
    for turn in range(200):
        step = next_step(history, PLAN, policy, RANGE)
        if isinstance(step, Declare):
            return history, step
        quality = next(looks, qualities[-1]) if isinstance(step, Look) else 0.0
        history.append(carry_out(step, quality, clear_m, 25.0 * turn))
    raise AssertionError("the episode does not end")


def test_a_good_tip_is_confirmed_on_three_fresh_spots_and_left_alone() -> None:
    policy = Fixed()
    history, end = run([0.9], policy)
    assert end.outcome == "good"
    assert end.confirmed_on == 3
    assert policy.asked == []
    frames = [event.frame for event in history if isinstance(event, Looked)]
    for one in frames:
        for other in frames:
            apart = max(abs(one.x_m - other.x_m), abs(one.y_m - other.y_m))
            assert one is other or apart >= 23e-9


def test_a_lukewarm_tip_is_not_declared_good() -> None:
    _, end = run([0.6], Fixed())
    assert end.outcome == "gave_up"


def test_a_hopeless_look_breaks_the_confirmation() -> None:
    history, end = run([0.9, 0.9, 0.001, 0.9], Fixed())
    kinds = [type(event).__name__ for event in history]
    assert kinds == ["Looked", "Looked", "Looked", "Acted", "Looked", "Looked", "Looked"]
    assert end.outcome == "good"


def test_a_poor_look_asks_for_more_spots() -> None:
    history, end = run([0.9, 0.9, 0.2, 0.9], Fixed())
    assert (end.outcome, end.confirmed_on) == ("good", 4)
    assert not any(isinstance(event, Acted) for event in history)


def test_a_tip_that_stays_in_doubt_is_acted_on() -> None:
    history, _ = run([0.6], Fixed())
    first = next(i for i, event in enumerate(history) if isinstance(event, Acted))
    assert first == PLAN.most_spots


def test_a_look_that_shows_nothing_confirms_nothing() -> None:
    bare = replace(report(0.95), featureless=True)
    history: list[Event] = []
    for turn, one in enumerate([bare, report(0.95), bare, report(0.95), report(0.95)]):
        step = next_step(history, PLAN, Fixed(), RANGE)
        assert isinstance(step, Look)
        history.append(Looked(step.frame, one, None, 25.0 * turn))
    end = next_step(history, PLAN, Fixed(), RANGE)
    assert isinstance(end, Declare)
    assert (end.outcome, end.confirmed_on) == ("good", 3)


def test_gives_up_after_the_allowed_actions() -> None:
    history, end = run([0.1], Fixed())
    assert end.outcome == "gave_up"
    assert sum(isinstance(event, Acted) for event in history) == PLAN.max_actions


def test_gives_up_when_time_is_over() -> None:
    first = Looked(Frame(x_m=0, y_m=0, width_m=1e-8, height_m=1e-8), report(0.1), None, 0.0)
    late = Looked(first.frame, report(0.1), None, 3601.0)
    assert isinstance(next_step([first, late], PLAN, Fixed(), RANGE), Declare)


def test_gives_up_when_the_policy_does() -> None:
    _, end = run([0.1], Fixed(action=GiveUp()))
    assert (end.outcome, end.reason) == ("gave_up", "because")


def test_looks_elsewhere_where_no_site_is_clear() -> None:
    history, end = run([0.1], Fixed(), clear_m=0.0)
    assert not any(isinstance(event, Acted) for event in history)
    assert end.outcome == "gave_up"


def test_what_leaves_no_mark_needs_no_spot() -> None:
    history, end = run([0.1], Fixed(action=Wait(seconds=60.0)), clear_m=0.0)
    assert sum(isinstance(event, Acted) for event in history) == PLAN.max_actions
    assert area_left(history, RANGE) == 1.0
    assert end.reason.startswith("not good after")


def test_looks_elsewhere_where_the_site_is_too_small() -> None:
    history, end = run([0.1], Fixed(), clear_m=spoiled_diameter_m(DIP) * 0.9)
    assert not any(isinstance(event, Acted) for event in history)
    assert len(history) == PLAN.search_looks
    assert "6 nm wide" in end.reason


def test_only_a_first_glance_may_be_cut_short() -> None:
    looks = [next_step([], PLAN, Fixed(), RANGE)]
    for quality in (0.1, 0.9):
        seen = carry_out(looks[0], quality, 0.0, 0.0)
        looks.append(next_step([seen], PLAN, Fixed(), RANGE))
    assert [look.whole for look in looks if isinstance(look, Look)] == [False, True, True]


@given(
    qualities=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    clear_nm=st.sampled_from([0.0, 5.0, 7.0, 12.0]),
    action=st.sampled_from([DIP, Pulse(at=AT, bias_v=4.0, width_s=0.2), GiveUp(), DeclareGood()]),
)
def test_every_episode_ends_and_never_touches_a_spot_twice(
    qualities: list[float], clear_nm: float, action: Choice
) -> None:
    history, end = run(qualities, Fixed(action), clear_nm * 1e-9)
    for index, event in enumerate(history):
        if isinstance(event, Acted):
            book = sample_map(history[:index], RANGE)
            assert not book.is_touched(event.x_m, event.y_m, spoiled_diameter_m(event.action))
    if end.outcome == "good":
        last = history[-end.confirmed_on :]
        assert end.confirmed_on >= PLAN.confirm_spots
        reports = [event.report for event in last if isinstance(event, Looked)]
        assert len(reports) == end.confirmed_on
        assert combine(reports).quality >= PLAN.confirm_quality
    assert next_step(history, PLAN, Fixed(action), RANGE) == end


def test_a_coarse_move_opens_a_fresh_page() -> None:
    acted = Acted(DIP, 0.0, 0.0, Outcome(0.0, 1.0))
    moved = Acted(CoarseMove(x_steps=9, y_steps=0, retract_steps=20), 0, 0, Outcome(1.0, 2.0))
    assert area_left([acted], RANGE) < 1
    assert area_left([acted, moved], RANGE) == 1


def test_frames_keep_away_from_the_edge_of_the_range() -> None:
    history, _ = run([0.1], Fixed(DIP))
    for event in history:
        if isinstance(event, Looked):
            reach = max(abs(event.frame.x_m), abs(event.frame.y_m)) + event.frame.width_m / 2
            assert reach <= 0.95 * RANGE[0] / 2 + 1e-12
    small = (120e-9, 120e-9)
    looks: list[Event] = []
    while isinstance(step := next_step(looks, PLAN, Fixed(), small), Look):
        reach = max(abs(step.frame.x_m), abs(step.frame.y_m)) + step.frame.width_m / 2
        assert reach <= 0.95 * small[0] / 2 + 1e-12
        looks.append(carry_out(step, 0.1, 0.0, 0.0))
    assert looks


def test_a_tip_held_for_good_against_the_looks_is_looked_at_again_and_then_given_up() -> None:
    policy = Fixed(DeclareGood())
    history, end = run([0.1], policy)
    assert not any(isinstance(event, Acted) for event in history)
    assert len(history) == PLAN.search_looks
    assert (end.outcome, end.reason) == ("gave_up", "the tip was held for good but not confirmed")


def test_a_tip_held_for_good_is_declared_once_the_looks_agree() -> None:
    _, end = run([0.1, 0.999, 0.999, 0.999, 0.999], Fixed(DeclareGood()))
    assert (end.outcome, end.confirmed_on) == ("good", 3)


def test_what_runs_before_have_spoiled_is_neither_looked_at_nor_acted_on() -> None:
    fresh = next_step([], PLAN, Fixed(), RANGE)
    assert isinstance(fresh, Look)
    here = (fresh.frame.x_m, fresh.frame.y_m, 5e-9)
    elsewhere = next_step([], PLAN, Fixed(), RANGE, before=Before(touched=(here,)))
    assert isinstance(elsewhere, Look)
    assert math.dist(here[:2], (elsewhere.frame.x_m, elsewhere.frame.y_m)) > 10e-9
    seen = [look_at(0.1, fresh)]
    assert isinstance(next_step(seen, PLAN, Fixed(), RANGE), Act)
    assert isinstance(next_step(seen, PLAN, Fixed(), RANGE, before=Before(touched=(here,))), Look)


def test_a_coarse_move_leaves_behind_what_runs_before_have_spoiled() -> None:
    move = CoarseMove(x_steps=10, y_steps=0, retract_steps=20)
    moved = [Acted(move, 0.0, 0.0, Outcome(0.0, 1.0))]
    before = Before(touched=((0.0, 0.0, 50e-9),))
    assert sample_map([], RANGE, before).is_touched(0.0, 0.0, 1e-9)
    assert not sample_map(moved, RANGE, before).is_touched(0.0, 0.0, 1e-9)


def look_at(quality: float, step: Look, imprint: object = None) -> Looked:
    size = step.frame.width_m
    site = Site(step.frame.x_m, step.frame.y_m, size)
    return Looked(step.frame, report(quality), site, 0.0, 0.9, step.imprint, imprint)


def test_a_published_acceptance_takes_one_whole_image() -> None:
    acceptance = OneImage(0.7)
    first = next_step([], PLAN, Fixed(), RANGE, acceptance)
    assert isinstance(first, Look)
    assert first.whole
    good = next_step([look_at(0.71, first)], PLAN, Fixed(), RANGE, acceptance)
    assert good == Declare("good", 1, "good on one look")
    assert isinstance(next_step([look_at(0.69, first)], PLAN, Fixed(), RANGE, acceptance), Act)


def test_an_image_that_cannot_be_judged_is_no_good_image() -> None:
    blind = Looked(FRAME, TipReport.unassessable("it is blank", 9), None, 0.0)
    step = next_step([blind], PLAN, Fixed(GiveUp()), RANGE, OneImage(0.5))
    assert isinstance(step, Declare)
    assert step.outcome == "gave_up"


FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)


@given(seed=st.integers(0, 99), turns=st.integers(1, 12), clear_nm=st.floats(3.0, 30.0))
def test_what_is_done_always_fits_the_spot_and_the_envelope(
    seed: int, turns: int, clear_nm: float
) -> None:
    limits = Limits().narrowed(max_pulse_v=5.0, max_depth_nm=2.0)
    rule, history = uniform(AT, limits, seed), []
    for turn in range(turns):
        step = next_step(history, PLAN, rule, RANGE)
        assert step == next_step(list(history), PLAN, uniform(AT, limits, seed), RANGE)
        if isinstance(step, Declare):
            break
        if isinstance(step, Act):
            assert spoiled_diameter_m(step.action) <= step.site.clear_m
            match step.action:
                case Pulse():
                    assert abs(step.action.bias_v) <= limits.max_pulse_v
                case Indentation():
                    assert step.action.depth_m <= limits.max_depth_nm * 1e-9 + 1e-18
        history.append(carry_out(step, 0.1, clear_nm * 1e-9, 25.0 * turn))


def test_the_mark_of_a_test_dip_is_looked_at_where_it_was_made() -> None:
    rule, acceptance = scanbot.ScanbotRule(AT, Limits(), 3), scanbot.RoundImprint()
    history: list[Event] = []
    kinds = []
    for turn in range(6):
        step = next_step(history, PLAN, rule, RANGE, acceptance)
        kinds.append((type(step).__name__, getattr(step, "imprint", None)))
        if isinstance(step, Look):
            if step.imprint:
                assert (step.frame.x_m, step.frame.y_m) == (history[-1].x_m, history[-1].y_m)
                # Beside the mark there is room to act.
                seen = look_at(0.99, step)
                aside = Site(step.frame.x_m + 8e-9, step.frame.y_m + 8e-9, 12e-9)
                history.append(Looked(seen.frame, seen.report, aside, 0.0, None, True))
            else:
                history.append(look_at(0.99, step))
        else:
            history.append(carry_out(step, 0.0, 0.0, float(turn)))
    look, act, mark = ("Look", False), ("Act", None), ("Look", True)
    assert kinds == [look, act, mark, act, look, act]


def test_a_mark_too_near_to_the_edge_is_left_unseen() -> None:
    at_edge = Acted(DIP, 0.47 * RANGE[0], 0.0, Outcome(0.0, 1.0))
    step = next_step([at_edge], PLAN, Fixed(), RANGE, mast.RoundCluster())
    assert isinstance(step, Look)
    assert not step.imprint
