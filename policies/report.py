"""What the scorer says about a scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class TipState(StrEnum):
    """States of a tip that can be seen in a scan; several can hold at once."""

    DOUBLE = "double"
    BLUNT = "blunt"
    UNSTABLE = "unstable"
    CONTAMINATED = "contaminated"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class TipReport:
    """The scorer's judgement of one scan, whole or partial.

    Attributes:
        quality: probability that the tip is good, 0..1.
        states: probability of each state, 0..1.
        lines: number of scanned lines that the judgement rests on.
        novelty: how unlike anything it was trained on the scan is; above 1 the judgement is a
            guess, because only one familiar scan in a hundred is as odd. Zero while the scan runs:
            that takes the whole picture.
        not_assessable: why the scan cannot be judged, in one clause; the numbers then say nothing.
        featureless: whether nothing in the scan could show how sharp the tip is; it takes a step,
            an adatom or an imprint to tell.
    """

    quality: float
    states: Mapping[TipState, float]
    lines: int
    novelty: float = 0.0
    not_assessable: str | None = None
    featureless: bool = False

    @classmethod
    def unassessable(cls, why: str, lines: int) -> TipReport:
        """The report on a scan that says nothing: every probability is a half."""
        return cls(0.5, dict.fromkeys(TipState, 0.5), lines, 0.0, why)

    @property
    def familiar(self) -> bool:
        """Whether the scorer has seen scans like this one."""
        return self.novelty <= 1

    @property
    def worst(self) -> TipState:
        """The most probable trouble."""
        return max(self.states, key=lambda state: self.states[state])
