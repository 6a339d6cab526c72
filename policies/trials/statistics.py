"""From records to figures with their intervals; episodes are paired, so all are resampled alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from policies.trials.record import Record

Numbers = NDArray[np.float64]
Interval = tuple[float, float]

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval; None where it cannot be had."""

    value: float | None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """The records of one entrant as columns, one entry per episode."""

    success: Numbers
    declared: Numbers
    kept: Numbers
    actions: Numbers
    scans: Numbers
    other_s: Numbers
    area_nm2: Numbers
    spoiled_good: Numbers
    stopped: Numbers

    @classmethod
    def of(cls, records: Sequence[Record]) -> Ledger:
        """The columns of some records."""

        def column(value: Callable[[Record], float]) -> Numbers:
            return np.array([value(record) for record in records], float)

        return cls(
            success=column(lambda r: r.success),
            declared=column(lambda r: r.declared),
            kept=column(lambda r: r.kept),
            actions=column(lambda r: r.actions),
            scans=column(lambda r: r.scans),
            other_s=column(lambda r: r.other_s),
            area_nm2=column(lambda r: r.area_nm2),
            spoiled_good=column(lambda r: r.spoiled_good),
            stopped=column(lambda r: r.outcome == "stopped"),
        )

    def seconds(self, scan_s: float) -> Numbers:
        """Instrument time of each episode (s) if a whole scan takes ``scan_s``."""
        return self.scans * scan_s + self.other_s

    def to_good(self, scan_s: float) -> Numbers:
        """The same, infinite where no truly good tip came of it."""
        return np.where(self.success > 0, self.seconds(scan_s), np.inf)


def draws(episodes: int) -> NDArray[np.int64]:
    """Resampled episodes, the same for every entrant, shape (RESAMPLES, episodes)."""
    return np.random.default_rng(0).integers(episodes, size=(RESAMPLES, episodes))


def per_good(ledger: Ledger, costs: Numbers) -> Estimate:
    """Costs for each truly good tip: those of all episodes over the number that got one.

    An episode that ends early without a good tip is thus no bargain: another has to follow.
    """
    return _ratio(costs, ledger.success)


def mean(values: Numbers) -> Estimate:
    """Mean over the episodes."""
    return _ratio(values, np.ones_like(values))


def quantile(values: Numbers, share: float) -> Estimate:
    """Quantile over the episodes; None where it is infinite."""
    value = float(np.quantile(values, share, method="higher"))
    found = np.quantile(values[draws(values.size)], share, axis=1, method="higher")
    return _estimate(value, found)


def share(hits: float, of: float) -> Estimate:
    """A share and its exact interval (Clopper and Pearson, Biometrika 26, 404 (1934))."""
    if not of:
        return Estimate(None)
    found = stats.binomtest(round(hits), round(of)).proportion_ci(CONFIDENCE, "exact")
    return Estimate(hits / of, (float(found.low), float(found.high)))


def compared(one: Ledger, other: Ledger, cost: Callable[[Ledger], Numbers]) -> Estimate:
    """What each truly good tip cost, ``one`` over ``other``, on the same episodes."""

    def ratios(which: NDArray[np.int64]) -> Numbers:
        return _each(one, cost, which) / _each(other, cost, which)

    return _resampled(ratios, one.success.size)


def gap_closed(
    candidate: Ledger, rule: Ledger, bound: Ledger, cost: Callable[[Ledger], Numbers]
) -> Estimate:
    """Share of the way from ``rule`` to ``bound`` that ``candidate`` has come, episodes paired."""

    def shares(which: NDArray[np.int64]) -> Numbers:
        own, far, near = (_each(ledger, cost, which) for ledger in (candidate, rule, bound))
        return (far - own) / (far - near)

    return _resampled(shares, rule.success.size)


def ledgers(records: Mapping[str, Sequence[Record]]) -> dict[str, Ledger]:
    """The columns of all entrants."""
    return {name: Ledger.of(some) for name, some in records.items()}


def _each(ledger: Ledger, cost: Callable[[Ledger], Numbers], which: NDArray[np.int64]) -> Numbers:
    """What each truly good tip cost among the episodes of each resample."""
    found: Numbers = cost(ledger)[which].sum(axis=1) / ledger.success[which].sum(axis=1)
    return found


def _resampled(figure: Callable[[NDArray[np.int64]], Numbers], episodes: int) -> Estimate:
    """A figure of all episodes, and its interval from resamples of them."""
    every = np.arange(episodes)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return _estimate(float(figure(every)[0]), figure(draws(episodes)))


def _ratio(above: Numbers, below: Numbers) -> Estimate:
    return _resampled(lambda which: above[which].sum(axis=1) / below[which].sum(axis=1), above.size)


def _estimate(value: float, found: Numbers) -> Estimate:
    if not np.isfinite(value):
        return Estimate(None)
    tail = (1 - CONFIDENCE) / 2
    # Resamples without a single good tip lie above all others.
    bounded = np.where(np.isnan(found), np.inf, found)
    low, high = np.quantile(bounded, (tail, 1 - tail), method="higher")
    return Estimate(value, (float(low), float(high)))
