"""Who decides that a tip is good, and what is looked at to find out.

A part of its own beside the policy: the same policy can be held to several fresh spots or to one
lucky image, and each published system to its own rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from policies.combining import combine, evidence
from policies.history import History, Looked, last_look, looks_since_action
from policies.plan import RepairPlan


class Verdict(StrEnum):
    """``GOOD`` ends the repair, ``DOUBT`` asks for another look, ``BAD`` asks the policy."""

    GOOD = "good"
    DOUBT = "doubt"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the looks so far amount to.

    Attributes:
        verdict: what follows from them.
        told_by: number of looks that it rests on.
    """

    verdict: Verdict
    told_by: int = 0


@dataclass(frozen=True, slots=True)
class Manner:
    """How the next look is taken.

    Attributes:
        whole: take all lines; otherwise a scan that looks hopeless may be cut short.
        imprint: look at the mark of the last action rather than at a fresh spot.
    """

    whole: bool
    imprint: bool = False


class Acceptance(Protocol):
    """Decides from the history whether the tip is good."""

    def judge(self, history: History) -> Judgement:
        """What the looks since the last action amount to; the last event is a ``Looked``."""
        ...

    def manner(self, history: History) -> Manner:
        """How to look next."""
        ...


class FreshSpots:
    """Good on several fresh spots together: looks are evidence, added up until it suffices.

    The first look at a tip may be cut short; those that confirm are whole.
    """

    def __init__(self, plan: RepairPlan) -> None:
        self._plan = plan

    def judge(self, history: History) -> Judgement:
        """See ``Acceptance``."""
        plan = self._plan
        reports = [look.report for look in looks_since_action(history)]
        quality, telling = combine(reports).quality, len(evidence(reports))
        if quality >= plan.confirm_quality and telling >= plan.confirm_spots:
            return Judgement(Verdict.GOOD, telling)
        if quality >= plan.doubt_quality and len(reports) < plan.most_spots:
            return Judgement(Verdict.DOUBT, telling)
        return Judgement(Verdict.BAD, telling)

    def manner(self, history: History) -> Manner:
        """See ``Acceptance``."""
        # A scan that is cut short may be too small for the spot that an action needs.
        return Manner(whole=bool(history) and isinstance(history[-1], Looked))


class OneImage:
    """Good when a single whole image is: how the published image classifiers are used.

    Args:
        quality: probability from which the image counts as good.
    """

    def __init__(self, quality: float) -> None:
        self._quality = quality

    def judge(self, history: History) -> Judgement:
        """See ``Acceptance``."""
        report = last_look(history).report
        good = report.not_assessable is None and report.quality >= self._quality
        return Judgement(Verdict.GOOD if good else Verdict.BAD, told_by=1)

    def manner(self, history: History) -> Manner:
        """See ``Acceptance``."""
        return Manner(whole=True)
