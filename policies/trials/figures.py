"""What the benchmark of policies reports: rows for machines, grids for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from drivers.benchmark import Grid, Row, judged
from policies.trials.entrants import AS_PUBLISHED, INFORMED, WEIGHTS
from policies.trials.statistics import (
    Estimate,
    Interval,
    Ledger,
    Numbers,
    compared,
    gap_closed,
    mean,
    per_good,
    quantile,
    share,
)

#: What a whole scan costs (s): DeepSPM's 10 nm, ours, and MAST's 256 lines.
SCANS_S = (12.0, 60.0, 150.0)
#: At this cost entrants are ranked and compared.
USUAL_S = 60.0

COLUMNS = ("policy", "success", "min to a good tip", "median", "p90", "actions", "nm2 spoiled")
SAFETY = ("policy", "false good", "lost in the next scan", "good tips spoiled", "stopped")


def rows(name: str, ledger: Ledger) -> list[Row]:
    """Every figure of one entrant."""
    declared, good = float(ledger.declared.sum()), float(ledger.success.sum())
    episodes = ledger.success.size
    found: list[tuple[str, Estimate, str]] = [
        ("success within the limit", share(good, episodes), ""),
        ("actions for each truly good tip", per_good(ledger, ledger.actions), ""),
        ("area spoiled, mean", mean(ledger.area_nm2), "nm2"),
        ("false good", share(declared - good, declared), ""),
        ("lost in the next scan", share(good - float(ledger.kept.sum()), good), ""),
        ("good tips spoiled, mean", mean(ledger.spoiled_good), ""),
        ("stopped by an error", share(float(ledger.stopped.sum()), episodes), ""),
    ]
    for scan_s in SCANS_S:
        times = ledger.to_good(scan_s)
        at = f"at {scan_s:.0f} s a scan"
        found += [
            (f"instrument time, {at}, for each truly good tip", _cost(ledger, scan_s), "s"),
            (f"instrument time, {at}, median", quantile(times, 0.5), "s"),
            (f"instrument time, {at}, p90", quantile(times, 0.9), "s"),
        ]
    return [_row(f"{name}: {what}", estimate, unit) for what, estimate, unit in found]


def comparisons(entrants: Mapping[str, Ledger], candidate: str) -> list[Row]:
    """``candidate`` against the best rule with our eye, and the best system as published."""
    own = entrants[candidate]
    best, published = (
        next(iter(ranked(entrants, names)), None)
        for names in (rules(entrants), [one for one in entrants if one.endswith(AS_PUBLISHED)])
    )
    found = []
    if best is not None:
        rule = entrants[best]
        found += [
            _judged(
                f"{candidate}: instrument time over that of the best rule with our eye",
                compared(own, rule, _seconds), "<= 0.7", best,
            ),
            _judged(
                f"{candidate}: area spoiled over that of the best rule with our eye",
                compared(own, rule, lambda one: one.area_nm2), "<= 1", best,
            ),
        ]  # fmt: skip
        if INFORMED in entrants:
            gap = gap_closed(own, rule, entrants[INFORMED], _seconds)
            found.append(_judged(f"{candidate}: gap to the informed bound closed", gap, ">= 0.8"))
    if published is not None:
        ratio = compared(own, entrants[published], _seconds)
        title = f"{candidate}: instrument time over that of the best as published"
        found.append(_judged(title, ratio, "<= 0.4", published))
    return [*found, *_alone(candidate, own)]


def in_shifted(name: str, entrants: Mapping[str, Ledger], candidate: str) -> list[Row]:
    """``candidate`` against the best rule where the hidden parameter ``name`` is shifted."""
    best = next(iter(ranked(entrants, rules(entrants))), None)
    if best is None:
        return []
    ratio = compared(entrants[candidate], entrants[best], _seconds)
    title = f"{candidate}, {name} shifted: instrument time over that of the best rule"
    return [_judged(title, ratio, "<= 1.1", best)]


def _alone(candidate: str, own: Ledger) -> list[Row]:
    """What a candidate has to reach whatever the others do."""
    declared, good = float(own.declared.sum()), float(own.success.sum())
    false = share(declared - good, declared)
    upper = false.interval[1] if false.interval else None
    return [
        _judged(f"{candidate}: success", share(good, own.success.size), ">= 0.99"),
        judged(f"{candidate}: false good, upper limit", upper, "", "<= 0.02"),
    ]


def _seconds(ledger: Ledger) -> Numbers:
    return ledger.seconds(USUAL_S)


def with_our_eye(entrants: Mapping[str, Ledger]) -> list[str]:
    """Those with our eye that do not know the truth."""
    return [one for one in entrants if one != INFORMED and not one.endswith(AS_PUBLISHED)]


def rules(entrants: Mapping[str, Ledger]) -> list[str]:
    """Those with our eye that have learned nothing."""
    return [one for one in with_our_eye(entrants) if one not in WEIGHTS]


def ranked(entrants: Mapping[str, Ledger], names: Sequence[str]) -> list[str]:
    """``names``, the least instrument time for each truly good tip first."""

    def cost(name: str) -> float:
        value = _cost(entrants[name], USUAL_S).value
        return math.inf if value is None else value

    return sorted(names, key=cost)


def grids(title: str, entrants: Mapping[str, Ledger]) -> list[Grid]:
    """Two tables of all entrants, the best first: what they bring, and what they break."""
    order = ranked(entrants, list(entrants))
    brings = [[name, *_brings(entrants[name])] for name in order]
    breaks = [[name, *_breaks(entrants[name])] for name in order]
    note = f"{title}, {USUAL_S:.0f} s a scan"
    return [Grid(note, COLUMNS, brings), Grid(f"{title}: what goes wrong", SAFETY, breaks)]


def _brings(ledger: Ledger) -> list[str]:
    times = ledger.to_good(USUAL_S)
    return [
        _text(share(float(ledger.success.sum()), ledger.success.size), 100, "%"),
        _text(_cost(ledger, USUAL_S), 1 / 60),
        _text(quantile(times, 0.5), 1 / 60),
        _text(quantile(times, 0.9), 1 / 60),
        _text(per_good(ledger, ledger.actions)),
        _text(mean(ledger.area_nm2)),
    ]


def _breaks(ledger: Ledger) -> list[str]:
    declared, good = float(ledger.declared.sum()), float(ledger.success.sum())
    return [
        _text(share(declared - good, declared), 100, "%"),
        _text(share(good - float(ledger.kept.sum()), good), 100, "%"),
        _text(mean(ledger.spoiled_good)),
        _text(share(float(ledger.stopped.sum()), ledger.success.size), 100, "%"),
    ]


def _cost(ledger: Ledger, scan_s: float) -> Estimate:
    return per_good(ledger, ledger.seconds(scan_s))


def _text(estimate: Estimate, scale: float = 1.0, unit: str = "") -> str:
    if estimate.value is None or estimate.interval is None:
        return "none"
    low, high = (_short(end * scale) for end in estimate.interval)
    return f"{_short(estimate.value * scale)}{unit} ({low} to {high})"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or not math.isfinite(value) else f"{value:.3g}"


def _row(name: str, estimate: Estimate, unit: str) -> Row:
    interval, note = _closed(estimate, "")
    return Row(name, estimate.value, unit, note=note, interval=interval)


def _judged(name: str, estimate: Estimate, target: str, note: str = "") -> Row:
    interval, note = _closed(estimate, note)
    return judged(name, estimate.value, "", target, interval, note)


def _closed(estimate: Estimate, note: str) -> tuple[Interval | None, str]:
    """The interval with a note; JSON knows no infinity, and one without an end is none."""
    interval = estimate.interval
    if interval is not None and not all(map(math.isfinite, interval)):
        return None, f"{note}; the interval is open" if note else "the interval is open"
    return interval, note
