"""The repair episode: what follows from which history, for every history."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from drivers import CoarseMove, Frame, Indentation, Outcome, Pulse, TunnellingPoint
from drivers.actions import Action
from drivers.sample_map import Site, spoiled_diameter_m
from policies.episode import (
    Act,
    Acted,
    Declare,
    Event,
    History,
    Look,
    Looked,
    Proposal,
    RepairPlan,
    combined_quality,
    next_step,
    sample_map,
)
from policies.report import TipReport, TipState

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
RANGE = (800e-9, 800e-9)
PLAN = RepairPlan(confirm_spots=3, confirm_quality=0.75, max_actions=5, max_hours=1.0)
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)


def report(quality: float) -> TipReport:
    return TipReport(quality, dict.fromkeys(TipState, 1 - quality), 96, 0.5)


@dataclass
class Fixed:
    """A policy that always wants the same."""

    action: Action | None = DIP
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


@given(qualities=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_looks_together_lie_between_the_worst_and_the_best(qualities: list[float]) -> None:
    together = combined_quality(qualities)
    assert min(qualities) - 1e-3 - 1e-9 <= together <= max(qualities) + 1e-3 + 1e-9


def test_gives_up_after_the_allowed_actions() -> None:
    history, end = run([0.1], Fixed())
    assert end.outcome == "gave_up"
    assert sum(isinstance(event, Acted) for event in history) == PLAN.max_actions


def test_gives_up_when_time_is_over() -> None:
    first = Looked(Frame(x_m=0, y_m=0, width_m=1e-8, height_m=1e-8), report(0.1), None, 0.0)
    late = Looked(first.frame, report(0.1), None, 3601.0)
    assert isinstance(next_step([first, late], PLAN, Fixed(), RANGE), Declare)


def test_gives_up_when_the_policy_does() -> None:
    _, end = run([0.1], Fixed(action=None))
    assert (end.outcome, end.reason) == ("gave_up", "because")


def test_looks_elsewhere_where_no_site_is_clear() -> None:
    history, end = run([0.1], Fixed(), clear_m=0.0)
    assert not any(isinstance(event, Acted) for event in history)
    assert end.outcome == "gave_up"


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
    action=st.sampled_from([DIP, Pulse(at=AT, bias_v=4.0, width_s=0.2), None]),
)
def test_every_episode_ends_and_never_touches_a_spot_twice(
    qualities: list[float], clear_nm: float, action: Action | None
) -> None:
    history, end = run(qualities, Fixed(action), clear_nm * 1e-9)
    for index, event in enumerate(history):
        if isinstance(event, Acted):
            book = sample_map(history[:index], RANGE)
            assert not book.is_touched(event.x_m, event.y_m, spoiled_diameter_m(event.action))
    if end.outcome == "good":
        last = history[-end.confirmed_on :]
        assert end.confirmed_on >= PLAN.confirm_spots
        qualities = [event.report.quality for event in last if isinstance(event, Looked)]
        assert len(qualities) == end.confirmed_on
        assert combined_quality(qualities) >= PLAN.confirm_quality
    assert next_step(history, PLAN, Fixed(action), RANGE) == end


def test_a_coarse_move_opens_a_fresh_page() -> None:
    acted = Acted(DIP, 0.0, 0.0, Outcome(0.0, 1.0))
    moved = Acted(CoarseMove(x_steps=9, y_steps=0, retract_steps=20), 0, 0, Outcome(1.0, 2.0))
    assert sample_map([acted], RANGE).touched_share() > 0
    assert sample_map([acted, moved], RANGE).touched_share() == 0


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
