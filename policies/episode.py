"""The repair of one tip as a pure state machine: the history so far decides the next step.

The agent drives it with a microscope, a benchmark with a simulated world; both only carry out steps
and report back what they saw and did. Nothing here waits, talks or remembers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from drivers.actions import Action, CoarseMove, Indentation, MoveTo, Pulse
from drivers.outcome import Outcome
from drivers.sample_map import SampleMap, Site, spoiled_diameter_m
from drivers.scan import Frame
from policies.report import TipReport


@dataclass(frozen=True, slots=True)
class Looked:
    """A scan was taken and judged.

    Attributes:
        frame: where.
        report: the scorer's judgement.
        site: the best flat spot in it, or None.
        finished_s: instrument time at its end (s).
    """

    frame: Frame
    report: TipReport
    site: Site | None
    finished_s: float


@dataclass(frozen=True, slots=True)
class Acted:
    """An action was carried out.

    Attributes:
        action: what was done.
        x_m: where (m).
        y_m: where (m).
        outcome: what it did.
    """

    action: Action
    x_m: float
    y_m: float
    outcome: Outcome


Event = Looked | Acted
History = Sequence[Event]


@dataclass(frozen=True, slots=True)
class Look:
    """Next: scan this frame and judge it.

    Attributes:
        frame: where.
        reason: why, in one line.
        whole: take all lines; otherwise a scan that looks hopeless may be cut short.
    """

    frame: Frame
    reason: str
    whole: bool


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


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a policy wants: an action, or None to give up, and why in one line."""

    action: Action | None
    reason: str


class Policy(Protocol):
    """Chooses the next action from the history; never sees the tip itself."""

    def propose(self, history: History) -> Proposal:
        """Choose from what was seen and done so far; the last event is a ``Looked``."""
        ...


class RepairPlan(BaseModel):
    """When a repair ends and what a look costs.

    Attributes:
        frame_nm: side of the square frames that are looked at.
        confirm_spots: fresh spots, at least, on which a tip is looked at before it is called good.
        most_spots: fresh spots after which a tip that is still in doubt is acted on.
        doubt_quality: combined quality below which a tip is acted on at once.
        confirm_quality: combined quality from which a tip is good.
        search_looks: looks in a row without a spot to act on after which it gives up.
        max_actions: actions after which the repair gives up.
        max_hours: instrument hours after which it gives up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frame_nm: float = Field(24.0, gt=0, le=10_000)
    confirm_spots: int = Field(5, ge=1, le=100)
    most_spots: int = Field(8, ge=1, le=100)
    doubt_quality: float = Field(0.5, gt=0, lt=1)
    confirm_quality: float = Field(0.9, gt=0, lt=1)
    search_looks: int = Field(12, ge=1, le=1000)
    max_actions: int = Field(300, ge=0, le=10_000)
    max_hours: float = Field(6.0, gt=0, le=1_000)


#: No look is surer than this: one of them alone must not outweigh all others.
SURE = 1e-3
#: Share of the piezo range that is used; at its very edge a controller may refuse a frame.
USABLE = 0.95


def sample_map(history: History, range_m: tuple[float, float]) -> SampleMap:
    """The book of the sample that ``history`` adds up to; a coarse move starts a new page."""
    width_m, height_m = USABLE * range_m[0], USABLE * range_m[1]
    book = SampleMap(width_m, height_m)
    for event in history:
        match event:
            case Looked():
                book.look(event.frame)
            case Acted(action=CoarseMove()):
                book = SampleMap(width_m, height_m)
            case Acted():
                book.touch(event.x_m, event.y_m, spoiled_diameter_m(event.action))
    return book


def next_step(
    history: History, plan: RepairPlan, policy: Policy, range_m: tuple[float, float]
) -> Step:
    """Decide what comes next; the same history always gives the same step.

    Args:
        history: everything seen and done since the repair began.
        plan: when to accept and when to stop.
        policy: chooses the actions.
        range_m: piezo range in x and y (m).
    """
    last = history[-1] if history else None
    if not isinstance(last, Looked):
        return _look(history, plan, range_m, "see what the tip is like now", whole=False)
    looks = _looks_since_action(history)
    quality = combined_quality([look.report.quality for look in looks])
    if quality >= plan.confirm_quality and len(looks) >= plan.confirm_spots:
        return Declare("good", len(looks), f"good on {len(looks)} fresh spots")
    if quality >= plan.doubt_quality and len(looks) < plan.most_spots:
        return _look(history, plan, range_m, "confirm on a fresh spot", whole=True)
    if _exhausted(history, plan):
        return Declare("gave_up", 0, f"not good after {_actions(history)} actions")
    return _act(history, plan, policy, range_m)


def combined_quality(qualities: Sequence[float]) -> float:
    """What several looks at one tip say together: the mean of their log-odds, as a probability.

    The mean, not the sum that independent looks would allow: what misleads the scorer about a tip
    misleads it on every spot.
    """
    odds = [math.log(max(q, SURE) / max(1 - q, SURE)) for q in qualities]
    return 1 / (1 + math.exp(-sum(odds) / len(odds)))


def _act(history: History, plan: RepairPlan, policy: Policy, range_m: tuple[float, float]) -> Step:
    proposal = policy.propose(history)
    if proposal.action is None:
        return Declare("gave_up", 0, proposal.reason)
    look = history[-1]
    site = look.site if isinstance(look, Looked) else None
    needed = spoiled_diameter_m(proposal.action)
    spoiled = site is not None and sample_map(history, range_m).is_touched(
        site.x_m, site.y_m, needed
    )
    if site is None or site.clear_m < needed or spoiled:
        if len(_looks_since_action(history)) >= plan.search_looks:
            return Declare("gave_up", 0, f"no flat, clean spot {needed / 1e-9:.0f} nm wide found")
        # A scan that is cut short may be too small for the spot that is needed.
        return _look(history, plan, range_m, "find a flat, clean spot to act on", whole=True)
    return Act(proposal.action, site, proposal.reason)


def _look(
    history: History, plan: RepairPlan, range_m: tuple[float, float], reason: str, *, whole: bool
) -> Step:
    size = plan.frame_nm * 1e-9
    here = _position(history)
    spot = sample_map(history, range_m).fresh_frame(size, *here)
    if spot is None:
        return Declare("gave_up", 0, "no clean area is left within the piezo range")
    return Look(Frame(x_m=spot[0], y_m=spot[1], width_m=size, height_m=size), reason, whole)


def _position(history: History) -> tuple[float, float]:
    for event in reversed(history):
        match event:
            case Looked():
                return event.frame.x_m, event.frame.y_m
            case Acted(action=MoveTo() | Pulse() | Indentation()):
                return event.x_m, event.y_m
    return 0.0, 0.0


def _looks_since_action(history: History) -> list[Looked]:
    looks: list[Looked] = []
    for event in reversed(history):
        if not isinstance(event, Looked):
            break
        looks.append(event)
    return looks


def _actions(history: History) -> int:
    return sum(isinstance(event, Acted) for event in history)


def _exhausted(history: History, plan: RepairPlan) -> bool:
    last = history[-1]
    finished = last.finished_s if isinstance(last, Looked) else last.outcome.finished_s
    first = history[0]
    started = first.finished_s if isinstance(first, Looked) else first.outcome.started_s
    return _actions(history) >= plan.max_actions or finished - started > plan.max_hours * 3600
