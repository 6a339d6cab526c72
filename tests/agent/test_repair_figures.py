"""The figures of the repair benchmark."""

from __future__ import annotations

import pytest

from agent.bench import Trial, summary
from agent.result import RepairResult


def trial(seed: int, outcome: str, truly_good: bool, instrument_s: float = 600.0) -> Trial:
    result = RepairResult(
        outcome=outcome,
        reason="",
        confirmed_on=3,
        actions=seed,
        instrument_s=instrument_s,
        wall_s=2.0,
        overhead_s=1.0,
        journal="",
        true_state=None,
        exit_code=0,
    )
    return Trial(seed, result, truly_good)


def test_every_ending_is_counted():
    trials = [
        trial(1, "good", True),
        trial(2, "good", False),
        trial(3, "gave_up", True),
        trial(4, "stopped", False, 1200.0),
    ]
    rows = {row.name.removeprefix("here: "): row for row in summary("here", trials)}
    assert rows["good, and good in truth"].value == 0.25
    assert rows["good, and good in truth"].holds is False
    assert rows["good, and good in truth"].note == "1 of seeds 1 to 4"
    assert rows["good, but not in truth"].value == 1
    assert rows["good, but not in truth"].holds is False
    assert (rows["gave up"].value, rows["stopped"].value) == (1, 1)
    assert rows["instrument time, mean"].value == 12.5
    assert rows["instrument time, median"].value == 10
    assert rows["instrument time, p90"].value == pytest.approx(17)
    assert rows["actions, mean"].value == 2.5
    assert rows["wall time, all"].value == 8
    assert rows["agent's own share of instrument time"].value == pytest.approx(4 / 3000)
    assert rows["agent's own share of instrument time"].holds is True


def test_eighteen_of_twenty_is_enough():
    trials = [trial(seed, "good" if seed <= 18 else "gave_up", True) for seed in range(1, 21)]
    share, false_good, *_ = summary("here", trials)
    assert share.holds is True
    assert false_good.holds is True
