"""Sitting through one night: repair after repair, until its instrument time is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agent.benches.safety.holdings import Holdings
from agent.result import Listener, Progress, RepairResult

#: Share of a night after which everything has been used once: what is held then should stay.
WARM_SHARE = 1 / 8

#: Begins a repair that is told of, and that has so many hours at most.
Repair = Callable[[Listener, float], Awaitable[RepairResult]]


@dataclass(frozen=True, slots=True)
class Sitting:
    """A night as it was sat through.

    Attributes:
        ended: each repair's result, and how many looks and actions it told the end of.
        before: held after the warm-up, or None if no repair began after it.
        after: held at the end.
        failed: what ended the night before its time, or None.
    """

    ended: Sequence[tuple[RepairResult, int]]
    before: Holdings | None
    after: Holdings
    failed: str | None


async def sit(hours: float, repair: Repair) -> Sitting:
    """Repair until the night is over; its last repair has only what is left of it.

    Args:
        hours: length of the night in instrument time (h).
        repair: carries out one more.
    """
    length_s, over_s = 3600 * hours, 0.0
    ended: list[tuple[RepairResult, int]] = []
    before: Holdings | None = None
    failed: str | None = None
    while over_s < length_s and failed is None:
        if before is None and over_s >= WARM_SHARE * length_s:
            before = Holdings.now()
        steps = _Steps()
        try:
            result = await repair(steps.see, (length_s - over_s) / 3600)
        # Whatever it is, the night has ended badly.
        except Exception as error:
            failed = f"a repair could not begin or end: {type(error).__name__}: {error}"
        else:
            ended.append((result, steps.told))
            over_s += result.instrument_s
            if result.instrument_s <= 0:
                failed = f"a repair took no time: {result.reason}"
    return Sitting(ended, before, Holdings.now(), failed)


class _Steps:
    """Counts the looks and actions that a repair tells the end of."""

    def __init__(self) -> None:
        self.told = 0

    def see(self, progress: Progress) -> None:
        """Take in ``progress``."""
        self.told += progress.event is not None
