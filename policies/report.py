"""What the scorer says about a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum


class TipState(StrEnum):
    """States of a tip that can be seen in a scan; several can hold at once."""

    DOUBLE = "double"
    BLUNT = "blunt"
    UNSTABLE = "unstable"
    CONTAMINATED = "contaminated"
    CHANGED = "changed"


class ImageState(StrEnum):
    """What else can be wrong with a scan; a remedy for the tip does not help against it.

    ``NOISY`` is electrical or mechanical noise, ``RINGING`` a feedback that oscillates, ``LAGGING``
    one that is too slow for the speed of the scan.
    """

    NOISY = "noisy"
    RINGING = "ringing"
    LAGGING = "lagging"


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
        image: probability of each other trouble of the scan, 0..1.
        uncertainty: deviation of ``quality`` among heads that were taught different scans: what
            the training leaves open. Zero while the scan runs, when there is one head only.
    """

    quality: float
    states: Mapping[TipState, float]
    lines: int
    novelty: float = 0.0
    not_assessable: str | None = None
    featureless: bool = False
    image: Mapping[ImageState, float] = field(default_factory=dict)
    uncertainty: float = 0.0

    @classmethod
    def of_outputs(cls, found: Sequence[float], lines: int) -> TipReport:
        """The report that the probabilities of a network make; good, tip states, image states."""
        states, image = found[1 : 1 + len(TipState)], found[1 + len(TipState) :]
        return cls(
            found[0],
            dict(zip(TipState, states, strict=True)),
            lines,
            image=dict(zip(ImageState, image, strict=True)),
        )

    @classmethod
    def unassessable(cls, why: str, lines: int) -> TipReport:
        """The report on a scan that says nothing: every probability is a half."""
        half = [0.5] * (1 + len(TipState) + len(ImageState))
        return replace(cls.of_outputs(half, lines), not_assessable=why)

    @property
    def familiar(self) -> bool:
        """Whether the scorer has seen scans like this one."""
        return self.novelty <= 1

    @property
    def spoiled(self) -> bool:
        """Whether noise or the feedback probably spoils the picture, whatever the tip is like."""
        return any(chance > 0.5 for chance in self.image.values())

    @property
    def worst(self) -> TipState:
        """The most probable trouble."""
        return max(self.states, key=lambda state: self.states[state])
