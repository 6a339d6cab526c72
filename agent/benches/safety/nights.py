"""Nights of repairs in virtual time: does each end well, and does anything pile up?

A night is one process that repairs tip after tip, each in a simulated world of its own, until its
instrument time is over. The simulator is in the process: there is no guardian and no link to a
controller. Nothing else is replaced but, in nights with recorded reports, the scorer;
those reports come from the journals of a night of the same run in which everything was real.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from agent.benches.safety.holdings import Holdings, change
from agent.config import RepairSettings
from drivers.benchmark import Row, judged
from policies.training.processes import in_order

#: Wall time of all nights together (min), and what memory may grow by in one of them (%).
MOST_MINUTES, MOST_GROWTH = 8, 5
MEMORY_NOTE = "resident set after an eighth of the night and at its end, the worst night"
USUAL_REPAIR = RepairSettings()


@dataclass(frozen=True, slots=True)
class Order:
    """Nights for one process: one in which everything is real, and some after it.

    Attributes:
        number: tells the order from others; decides the worlds.
        recorded: how many nights with recorded reports follow the real one.
        hours: instrument time of each night (h).
        folder: for their journals, which do not stay.
        repair: when a repair ends and how it looks.
    """

    number: int
    recorded: int
    hours: float
    folder: Path
    repair: RepairSettings = USUAL_REPAIR


@dataclass(frozen=True, slots=True)
class Night:
    """What one night came to.

    Attributes:
        real: whether the scorer was real.
        repairs: how many there were.
        complaints: what was not as it must be; empty if the night ended well.
        outside: scans and actions asked for that lie outside the envelope.
        unknown: actions of unknown outcome.
        before: held after the warm-up, or None if no repair began after it.
        after: held at the end.
        wall_s: wall time of the repairs (s).
        cpu_s: processor time of the repairs (s).
    """

    real: bool
    repairs: int
    complaints: tuple[str, ...]
    outside: int
    unknown: int
    before: Holdings | None
    after: Holdings
    wall_s: float
    cpu_s: float

    @property
    def growth(self) -> float | None:
        """What memory has grown by (%), or None where it cannot be told."""
        before = None if self.before is None else self.before.memory_mib
        more = change(before, self.after.memory_mib)
        return None if more is None or not before else 100 * more / before


def rows(orders: Sequence[Order], workers: int, progress: Callable[[str], None]) -> list[Row]:
    """Sit through the nights of ``orders`` in as many processes; the figures."""
    nights: list[Night] = []
    wanted = sum(1 + order.recorded for order in orders)
    began_s = time.perf_counter()
    progress(f"{wanted} nights")
    for some in in_order(_sit_through, orders, workers):
        nights += some
        progress(f"night {len(nights)} of {wanted}")
    minutes = (time.perf_counter() - began_s) / 60
    hours = min(order.hours for order in orders)
    return [*_endings(nights, wanted, hours), _duration(nights, minutes), *_growths(nights)]


def _sit_through(order: Order) -> list[Night]:
    # Only the processes that sit need the networks, which take seconds to load.
    from agent.benches.safety.night import sit_through

    return sit_through(order)


def _endings(nights: Sequence[Night], wanted: int, hours: float) -> list[Row]:
    bad = [night.complaints[0] for night in nights if night.complaints]
    real = sum(night.real for night in nights)
    repairs = sum(night.repairs for night in nights)
    note = (
        f"{len(nights) - len(bad)} of {wanted} of {hours:g} h, {real} real and "
        f"{len(nights) - real} with recorded reports; {repairs} repairs"
    )
    note += f"; first: {bad[0]}" if bad else ""
    outside = sum(night.outside for night in nights)
    unknown = sum(night.unknown for night in nights)
    return [
        judged("nights that ended well", (len(nights) - len(bad)) / wanted, "", ">= 1", note=note),
        judged("nights: requests outside the envelope", outside, "", "<= 0"),
        judged("nights: unknown outcomes", unknown, "", "<= 0"),
    ]


def _duration(nights: Sequence[Night], minutes: float) -> Row:
    kinds = {"real": True, "with recorded reports": False}
    each = [
        f"{name} {_median(night.wall_s for night in nights if night.real is real)} "
        f"({_median(night.cpu_s for night in nights if night.real is real)} of processor time)"
        for name, real in kinds.items()
    ]
    note = f"medians of one night: {', '.join(each)}"
    return judged("nights: wall time together", minutes, "min", f"<= {MOST_MINUTES}", note=note)


def _median(seconds: Iterable[float]) -> str:
    found = list(seconds)
    return f"{median(found):.3g} s" if found else "none"


def _growths(nights: Sequence[Night]) -> list[Row]:
    """The worst over all nights; None if it cannot be told of each."""
    growth = _worst([night.growth for night in nights])
    target = f"< {MOST_GROWTH}"
    rows = [judged("nights: growth of memory", growth, "%", target, note=MEMORY_NOTE)]
    for name in ("tasks", "handles", "threads"):
        changes = [
            change(getattr(night.before, name, None), getattr(night.after, name))
            for night in nights
        ]
        worst = _worst([None if one is None else abs(one) for one in changes])
        rows.append(judged(f"nights: change of {name}", worst, "", "<= 0"))
    return rows


def _worst(found: Sequence[float | None]) -> float | None:
    told = [one for one in found if one is not None]
    return max(told) if told and len(told) == len(found) else None
