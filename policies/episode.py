"""The repair of one tip as a pure state machine: the history so far decides the next step.

The agent drives it with a microscope, a benchmark with a simulated world; both only carry out steps
and report back what they saw and did. Nothing here waits, talks or remembers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drivers.actions import Action
from drivers.sample_map import SampleMap, Site, spoiled_diameter_m
from drivers.scan import Frame
from policies.acceptance import Acceptance, FreshSpots, Manner, Verdict
from policies.before import NOTHING, Before
from policies.history import (
    USABLE,
    Acted,
    History,
    Looked,
    actions,
    elapsed_s,
    last_look,
    looks_since_action,
    position,
    sample_map,
)
from policies.legal import is_free, spot_nm
from policies.plan import RepairPlan
from policies.proposal import DeclareGood, GiveUp, Policy


@dataclass(frozen=True, slots=True)
class Look:
    """Next: scan this frame and judge it.

    Attributes:
        frame: where.
        reason: why, in one line.
        whole: take all lines; otherwise a scan that looks hopeless may be cut short.
        imprint: whether the mark of the last action is what is looked at.
    """

    frame: Frame
    reason: str
    whole: bool
    imprint: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """Next: move to ``site`` and carry out ``action`` there."""

    action: Action
    site: Site
    reason: str


@dataclass(frozen=True, slots=True)
class Declare:
    """The end: the tip is good, or it is given up."""

    outcome: Literal["good", "gave_up"]
    confirmed_on: int
    reason: str


Step = Look | Act | Declare


def next_step(
    history: History,
    plan: RepairPlan,
    policy: Policy,
    range_m: tuple[float, float],
    acceptance: Acceptance | None = None,
    before: Before = NOTHING,
) -> Step:
    """Decide what comes next; the same history always gives the same step.

    Args:
        history: everything seen and done since the repair began.
        plan: when to stop.
        policy: chooses the actions.
        range_m: piezo range in x and y (m).
        acceptance: says when the tip is good; several fresh spots as planned if None.
        before: what was done to the sample before.
    """
    ground = _Ground(plan, range_m, before)
    acceptance = acceptance or FreshSpots(plan)
    last = history[-1] if history else None
    if not isinstance(last, Looked):
        manner = acceptance.manner(history)
        return _look(history, ground, "see what the tip is like now", manner)
    judged = acceptance.judge(history)
    if judged.verdict is Verdict.GOOD:
        spots = "one look" if judged.told_by == 1 else f"{judged.told_by} fresh spots"
        return Declare("good", judged.told_by, f"good on {spots}")
    if judged.verdict is Verdict.DOUBT:
        manner = acceptance.manner(history)
        return _look(history, ground, "confirm on a fresh spot", manner)
    if _exhausted(history, plan):
        done = sum(1 for _ in actions(history))
        return Declare("gave_up", 0, f"not good after {done} actions")
    return _act(history, ground, policy)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What stays the same during a repair."""

    plan: RepairPlan
    range_m: tuple[float, float]
    before: Before

    def book(self, history: History) -> SampleMap:
        return sample_map(history, self.range_m, self.before)


def _act(history: History, ground: _Ground, policy: Policy) -> Step:
    proposal = policy.propose(history)
    choice = proposal.choice
    if isinstance(choice, GiveUp):
        return Declare("gave_up", 0, proposal.reason)
    if isinstance(choice, DeclareGood):
        why_not, search = "the tip was held for good but not confirmed", "confirm on a fresh spot"
    else:
        site = last_look(history).site
        if not spoiled_diameter_m(choice):
            # What leaves no mark can be done anywhere.
            return Act(choice, site or Site(*position(history), 0.0), proposal.reason)
        if site is not None and is_free(choice, site, ground.book(history)):
            return Act(choice, site, proposal.reason)
        why_not = f"no flat, clean spot {spot_nm(choice):.0f} nm wide found"
        search = "find a flat, clean spot to act on"
    if len(looks_since_action(history)) >= ground.plan.search_looks:
        return Declare("gave_up", 0, why_not)
    # A scan that is cut short may be too small for the spot that is needed.
    return _look(history, ground, search, Manner(whole=True))


def _look(history: History, ground: _Ground, reason: str, manner: Manner) -> Step:
    size = ground.plan.frame_nm * 1e-9
    marked = _mark(history, size, ground.range_m) if manner.imprint else None
    here = position(history)
    spot = marked or ground.book(history).fresh_frame(size, *here)
    if spot is None:
        return Declare("gave_up", 0, "no clean area is left within the piezo range")
    frame = Frame(x_m=spot[0], y_m=spot[1], width_m=size, height_m=size)
    return Look(frame, reason, manner.whole, imprint=marked is not None)


def _mark(
    history: History, size_m: float, range_m: tuple[float, float]
) -> tuple[float, float] | None:
    """Where the last action left its mark, if a frame around it fits into the range."""
    last = next((event for event in reversed(history) if isinstance(event, Acted)), None)
    if last is None:
        return None
    reach = [USABLE * side / 2 - size_m / 2 for side in range_m]
    inside = abs(last.x_m) <= reach[0] and abs(last.y_m) <= reach[1]
    return (last.x_m, last.y_m) if inside else None


def _exhausted(history: History, plan: RepairPlan) -> bool:
    done = sum(1 for _ in actions(history))
    return done >= plan.max_actions or elapsed_s(history) > plan.max_hours * 3600
