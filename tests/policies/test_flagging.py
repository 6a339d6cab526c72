"""A scan is flagged for what hardly any flawless scan gets, and for nothing less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policies.report import TipReport
from policies.scorer.flagging import FLAWLESS_FLAGGED, FLAWS, flags, thresholds
from policies.scorer.outputs import NAMES, OUTPUTS


def judged(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities at random, higher where they are true."""
    rng = np.random.default_rng(seed)
    labels = (rng.uniform(size=(count, OUTPUTS)) < 0.2).astype(float)
    odds = rng.normal(size=(count, OUTPUTS)) + 4 * labels - 2
    return 1 / (1 + np.exp(-odds)), labels


def reports(found: np.ndarray) -> list[TipReport]:
    return [TipReport.of_outputs(row, 96) for row in found.tolist()]


def test_one_flawless_scan_in_a_hundred_is_flagged() -> None:
    found, labels = judged(40_000)
    usual = thresholds(found, labels)
    assert set(usual) == {"good", *FLAWS}
    named = {name: column for column, name in enumerate(NAMES)}
    flawless = (labels[:, 0] > 0.5) & ~(labels[:, [named[flaw] for flaw in FLAWS]] > 0.5).any(
        axis=1
    )
    flagged = np.array([bool(flags(report, usual)) for report in reports(found)])
    assert flagged[flawless].mean() == pytest.approx(FLAWLESS_FLAGGED, abs=0.002)
    assert flagged[~flawless].mean() > 0.2


def test_a_flag_names_what_stands_out() -> None:
    usual = {"good": 0.05, **dict.fromkeys(FLAWS, 0.9)}
    numbers = np.full(OUTPUTS, 0.1)
    assert flags(reports(numbers[None])[0], usual) == []
    numbers[0] = 0.01
    numbers[NAMES.index("noisy")] = 0.95
    # A double tip makes a bad one; it is no flaw of its own.
    numbers[NAMES.index("double")] = 0.99
    (report,) = reports(numbers[None])
    assert flags(report, usual) == ["bad tip", "noisy"]
    assert flags(replace(report, novelty=1.5), usual) == []
    assert flags(replace(report, not_assessable="no relief"), usual) == []
