"""Figures with intervals: areas under the ROC over sessions, and calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.benchmark import Row, judged
from policies.adaptation.validation import resampled
from sim.benches.realism.classifier import auc

BINS = 10

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of some scans.

    Attributes:
        positive: the answer, shape (n,).
        sessions: number of the session of each scan, shape (n,).
    """

    positive: NDArray[np.bool_]
    sessions: NDArray[np.int64]

    def answered(
        self, name: str, scores: Doubles, target: str | None = None, note: str = ""
    ) -> Row:
        """AUC of ``scores`` with its interval."""
        return self.measured(
            name, lambda pick: auc(scores[pick], self.positive[pick]), target, note
        )

    def measured(
        self,
        name: str,
        measure: Callable[[NDArray[np.intp]], float],
        target: str | None = None,
        note: str = "",
    ) -> Row:
        """A figure of some of the scans, with 95 % of it over sessions drawn again."""
        draws = [measure(pick) for pick in resampled(self.sessions, self.positive)]
        value = measure(np.arange(len(self.positive)))
        low, high = (float(end) for end in np.percentile(draws, (2.5, 97.5)))
        said = f"95 %: {low:.3f} to {high:.3f}" + (f"; {note}" if note else "")
        if target is None:
            return Row(name, value, note=said)
        return judged(name, value, "", target, (low, high), said)


def calibration_error(probabilities: Doubles, truth: Doubles) -> float:
    """Expected calibration error: how far probabilities are from shares, over ten equal bins.

    Args:
        probabilities: 0..1, shape (n,).
        truth: 0..1, shape (n,).
    """
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    gaps = [(probabilities - truth)[bins == one].sum() for one in range(BINS)]
    return float(np.abs(gaps).sum() / len(truth))
