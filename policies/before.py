"""What was done to a sample before the history of a repair begins, by the runs before it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Before:
    """What no history tells of and still counts.

    Attributes:
        pulses_s: instrument times of pulses, before zero (s).
        touched: discs that are spoiled: centre x and y, and diameter (m).
    """

    pulses_s: tuple[float, ...] = ()
    touched: tuple[tuple[float, float, float], ...] = ()


NOTHING = Before()
