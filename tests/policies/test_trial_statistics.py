"""Figures of the benchmark of policies, and their intervals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from policies.trials.entrants import DEEPSPM, INFORMED, LEARNED
from policies.trials.figures import comparisons, grids, in_shifted, ranked, rows
from policies.trials.record import Record
from policies.trials.statistics import (
    Ledger,
    Numbers,
    compared,
    gap_closed,
    ledgers,
    per_good,
    quantile,
    share,
)


def record(
    number: int, *, declared: bool = True, good: bool = True, kept: bool = True, scans: float = 10.0
) -> Record:
    outcome = "good" if declared else "gave_up"
    kept = kept and good and declared
    return Record(number, outcome, good, kept, 4, scans, 100.0, 50.0, 0.9, 0, "")


GOOD = [record(n, scans=10.0 + n % 3) for n in range(30)]


def seconds(ledger: Ledger) -> Numbers:
    return ledger.seconds(60)


def test_a_gap_is_closed_by_the_share_that_was_saved() -> None:
    slow, quick = ([record(n, scans=k) for n in range(30)] for k in (40.0, 20.0))
    gap = gap_closed(*(Ledger.of(some) for some in (quick, slow, GOOD)), seconds)
    own, far, near = (seconds(Ledger.of(some)).mean() for some in (quick, slow, GOOD))
    assert gap.value == pytest.approx((far - own) / (far - near))


def test_who_ends_early_without_a_good_tip_saves_nothing() -> None:
    hasty = [record(n, good=n % 2 == 0, scans=5.0) for n in range(30)]
    sure = [record(n, scans=10.0) for n in range(30)]
    costs = [per_good(one, one.seconds(60)).value for one in map(Ledger.of, (hasty, sure))]
    assert costs == pytest.approx([2 * 400, 700])


def test_failures_never_arrive() -> None:
    ledger = Ledger.of([record(n, declared=n < 20) for n in range(30)])
    times = ledger.to_good(60)
    assert quantile(times, 0.5).value == pytest.approx(700)
    assert quantile(times, 0.9).value is None
    assert per_good(Ledger.of([record(0, declared=False)]), np.ones(1)).value is None


def test_shares_have_exact_intervals() -> None:
    none = share(0, 150)
    assert none.value == 0
    assert none.interval == pytest.approx((0.0, 1 - 0.025 ** (1 / 150)))
    assert share(0, 0).value is None


def test_the_same_policy_twice_is_equal_for_sure() -> None:
    ledger = Ledger.of(GOOD)
    same = compared(ledger, Ledger.of(GOOD), seconds)
    assert same.value == 1
    assert same.interval == (1, 1)


def test_pairs_make_small_differences_sure() -> None:
    faster = [record(n, scans=0.9 * (10.0 + n % 3)) for n in range(30)]
    ratio = compared(Ledger.of(faster), Ledger.of(GOOD), seconds)
    assert ratio.interval is not None
    low, high = ratio.interval
    assert low < ratio.value < high < 1
    assert high - low < 0.005


def test_false_good_and_lost_are_counted_apart() -> None:
    some = [
        *(record(n) for n in range(6)),
        record(6, kept=False),
        record(7, good=False),
        record(8, declared=False, good=False),
    ]
    found = {row.name: row.value for row in rows("it", Ledger.of(some))}
    assert found["it: success within the limit"] == pytest.approx(7 / 9)
    assert found["it: false good"] == pytest.approx(1 / 8)
    assert found["it: lost in the next scan"] == pytest.approx(1 / 7)
    assert len(found) == 16


def test_in_shifted_worlds_the_best_rule_is_the_measure() -> None:
    slow = [record(n, scans=50.0) for n in range(30)]
    (better,) = in_shifted("dirt", ledgers({"rule": slow, LEARNED: GOOD}), LEARNED)
    assert better.name.startswith("learned policy, dirt shifted: instrument time")
    assert (better.note, better.holds) == ("rule", True)
    (worse,) = in_shifted("dirt", ledgers({"rule": GOOD, LEARNED: slow}), LEARNED)
    assert worse.holds is False
    assert in_shifted("dirt", ledgers({LEARNED: slow}), LEARNED) == []


def test_the_best_comes_first_and_hopeless_ones_do_not_break_anything() -> None:
    slow = [record(n, scans=50.0) for n in range(30)]
    never = [record(n, declared=False, good=False) for n in range(30)]
    # What else has learned is no rule, however fast it is.
    quick = {LEARNED: GOOD, DEEPSPM: GOOD, INFORMED: GOOD}
    entrants = ledgers({"slow": slow, "never": never, **quick})
    assert ranked(entrants, ["never", "slow", LEARNED]) == [LEARNED, "slow", "never"]
    assert [line[0] for line in grids("x", entrants)[0].lines][-1] == "never"
    told = {row.name.removeprefix(f"{LEARNED}: "): row for row in comparisons(entrants, LEARNED)}
    time = told["instrument time over that of the best rule with our eye"]
    assert (time.note, time.holds) == ("slow", True)
    assert time.value < 0.3
    assert told["gap to the informed bound closed"].value == 1
    # Thirty declarations without a false one leave up to a tenth possible.
    assert told["false good, upper limit"].value == pytest.approx(1 - 0.025 ** (1 / 30))
    assert told["false good, upper limit"].holds is False
    assert comparisons(entrants, "never")[0].value is None
    for name, ledger in entrants.items():
        for row in rows(name, ledger):
            ends = (row.value, *(row.interval or ()))
            assert all(end is None or math.isfinite(end) for end in ends)
            json.dumps(row.value, allow_nan=False)
