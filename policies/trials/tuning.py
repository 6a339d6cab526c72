"""Tuning the rules that have free numbers, on episodes of their own and with perfect eyes.

The looks are not rendered: a rule is told what the tip is in truth, which takes a thousandth of the
time and cannot teach a rule the habits of one scorer. What is best with perfect eyes is what the
benchmark then shows the real scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from drivers.actions import MoveTo
from drivers.sample_map import Site
from drivers.scan import Frame
from policies.conditioner.rules.closed_loop import ClosedLoop, ClosedLoopSettings
from policies.conditioner.rules.ladder import LadderSettings, OpenLoopLadder
from policies.conditioner.rules.single import RepeatedAction
from policies.history import Acted, Event, Looked
from policies.proposal import DeclareGood, GiveUp, Policy
from policies.report import TipReport, TipState
from policies.trials.course import Course
from policies.trials.trial import ACTING
from sim.world import World

#: Episodes that nothing else uses.
FIRST = 2_000_000
#: Distance of the spots of two actions, and how many lie in a row (m).
APART_M, IN_A_ROW = 20e-9, 30
#: A tip blunter than that looks blunt (nm).
BLUNT_NM = 2.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """One set of numbers, and who plays by it."""

    numbers: Mapping[str, float]
    policy: Callable[[Course], Policy]


def singles(_rng: np.random.Generator) -> Iterator[Candidate]:
    """Repeated indentations of every depth from 0.8 to 1.8 nm."""
    for depth in np.arange(0.8, 1.81, 0.1).round(2).tolist():
        yield _single(depth)


def ladders(rng: np.random.Generator) -> Iterator[Candidate]:
    """Open-loop ladders, drawn at random, the present one first."""
    yield _ladder(LadderSettings())
    while True:
        yield _ladder(
            LadderSettings(
                depth_nm=round(float(rng.uniform(1.0, 1.5)), 2),
                step_nm=round(float(rng.uniform(0.0, 0.3)), 2),
                rungs=int(rng.integers(1, 7)),
                pulse_every=int(rng.integers(5, 30)),
                pulse_v=round(float(rng.uniform(3.0, 8.0)), 1),
            )
        )


def closed_loops(rng: np.random.Generator) -> Iterator[Candidate]:
    """Closed loops, drawn at random, the present one first."""
    yield _closed_loop(ClosedLoopSettings())
    while True:
        yield _closed_loop(
            ClosedLoopSettings(
                first_depth_nm=round(float(rng.uniform(1.0, 1.7)), 2),
                deeper_nm=round(float(rng.uniform(0.05, 0.3)), 2),
                blunt_nm=round(float(rng.uniform(-0.1, 0.2)), 2),
                dirty=round(float(rng.uniform(0.3, 0.95)), 2),
                pulse_v=round(float(rng.uniform(3.0, 8.0)), 1),
            )
        )


def actions_to_good(course: Course, candidate: Candidate, number: int) -> int:
    """Actions until the tip of an episode is truly good, or the limit of the course."""
    world, policy = course.open_world(number), candidate.policy(course)
    history: list[Event] = [_perfect_look(world)]
    most = course.plan.max_actions
    for done in range(most):
        if world.is_good:
            return done
        choice = policy.propose(history).choice
        if isinstance(choice, DeclareGood | GiveUp):
            return most
        world.reseed(done + 1, ACTING)
        row, column = divmod(done, IN_A_ROW)
        x_m, y_m = ((place - IN_A_ROW / 2) * APART_M for place in (column, row))
        world.apply(MoveTo(x_m=x_m, y_m=y_m, speed_m_per_s=course.travel_nm_per_s * 1e-9))
        history.append(Acted(choice, x_m, y_m, world.apply(choice)))
        history.append(_perfect_look(world))
    return most


def mean_actions(course: Course, candidate: Candidate, episodes: int) -> float:
    """Mean of ``actions_to_good`` over the first tuning episodes."""
    numbers = range(FIRST, FIRST + episodes)
    return float(np.mean([actions_to_good(course, candidate, number) for number in numbers]))


def _single(depth_nm: float) -> Candidate:
    return Candidate({"depth_nm": depth_nm}, lambda c: RepeatedAction(c.at, c.limits(), depth_nm))


def _ladder(settings: LadderSettings) -> Candidate:
    return Candidate(settings.model_dump(), lambda c: OpenLoopLadder(c.at, c.limits(), settings))


def _closed_loop(settings: ClosedLoopSettings) -> Candidate:
    return Candidate(settings.model_dump(), lambda c: ClosedLoop(c.at, c.limits(), settings))


def _perfect_look(world: World) -> Looked:
    """A look that shows the truth, with room for any action."""
    tip, quality = world.tip, 1.0 if world.is_good else 0.0
    report = TipReport(quality, dict.fromkeys(TipState, 0.0), lines=1)
    wrong = {
        TipState.BLUNT: float(tip.radius_nm > BLUNT_NM),
        TipState.CONTAMINATED: float(not tip.clean),
        TipState.UNSTABLE: float(not tip.stable),
    }
    frame = Frame(x_m=world.x_m, y_m=world.y_m, width_m=APART_M, height_m=APART_M)
    return Looked(
        frame, replace(report, states={**report.states, **wrong}), Site(0.0, 0.0, 1.0), world.time_s
    )
