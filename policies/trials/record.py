"""What is kept of one repair, and of which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ending = Literal["good", "gave_up", "stopped"]


@dataclass(frozen=True, slots=True)
class Record:
    """How one repair ended and what it cost.

    Attributes:
        number: of the episode.
        outcome: how it ended; ``stopped`` by an error of the instrument or a refusal.
        truly_good: whether the tip was good at the instant of the end.
        kept: whether it still was after one more scan; False unless declared good.
        actions: how many there were.
        scans: how many scans were taken, those cut short by their share of the lines.
        other_s: instrument time besides scanning: moves, actions, settling (s).
        area_nm2: surface that the actions spoiled (nm^2).
        area_left: share of the piezo field that is not spoiled, 0..1.
        spoiled_good: actions that a good tip went into and did not come out of.
        reason: why it ended.
    """

    number: int
    outcome: Ending
    truly_good: bool
    kept: bool
    actions: int
    scans: float
    other_s: float
    area_nm2: float
    area_left: float
    spoiled_good: int
    reason: str

    @property
    def declared(self) -> bool:
        """Whether the tip was declared good."""
        return self.outcome == "good"

    @property
    def success(self) -> bool:
        """Whether it was declared good and was."""
        return self.declared and self.truly_good

    def seconds(self, scan_s: float) -> float:
        """Instrument time (s) if a whole scan takes ``scan_s``."""
        return self.scans * scan_s + self.other_s
