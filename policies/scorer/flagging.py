"""What stands out in the judgement of a whole scan, held against scans with nothing wrong.

A probability below a half is no verdict: good tips are rare where the scorer learned, and a frame
may show little of them. A scan is flagged for what hardly any flawless scan gets.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from policies.report import ImageState, TipReport, TipState
from policies.scorer.outputs import NAMES

#: Share of the flawless scans that are flagged for anything.
FLAWLESS_FLAGGED = 0.01
GOOD = "good"
#: What spoils a scan even of a tip that was good when it began, or is still.
FLAWS = (TipState.CHANGED.value, *(state.value for state in ImageState))
_JUDGED = (GOOD, *FLAWS)
_COLUMNS = [NAMES.index(name) for name in _JUDGED]


def thresholds(found: NDArray[np.floating], labels: NDArray[np.floating]) -> dict[str, float]:
    """Thresholds that flag ``FLAWLESS_FLAGGED`` of the flawless scans, each of them as rarely.

    Args:
        found: probabilities of held-out scans, shape (n, OUTPUTS).
        labels: what is true of them, 0 or 1, same shape.

    Returns:
        By name: the lowest usual probability of a good tip, the highest usual ones of flaws.
    """
    true = labels[:, _COLUMNS] > 0.5
    odd = _oddness(found[true[:, 0] & ~true[:, 1:].any(axis=1)])
    count = len(odd)
    # How many are at least as odd as each, in the respect in which it is the oddest.
    rarity = (count - odd.argsort(axis=0).argsort(axis=0)).min(axis=1) / count
    share = float(np.quantile(rarity, FLAWLESS_FLAGGED))
    good, *flaws = (float(value) for value in np.quantile(odd, 1 - share, axis=0))
    return {GOOD: 1 - good, **dict(zip(FLAWS, flaws, strict=True))}


def flags(report: TipReport, usual: Mapping[str, float]) -> list[str]:
    """What a scan is flagged for: a bad tip, or flaws by name; nothing if it cannot be judged.

    Args:
        report: on a whole scan.
        usual: see ``thresholds``.
    """
    if report.not_assessable is not None or not report.familiar:
        return []
    found = {state.value: value for state, value in (*report.states.items(), *report.image.items())}
    flaws = [name for name in FLAWS if found[name] > usual[name]]
    return (["bad tip"] if report.quality < usual[GOOD] else []) + flaws


def _oddness(found: NDArray[np.floating]) -> NDArray[np.floating]:
    odd = found[:, _COLUMNS].copy()
    odd[:, 0] = 1 - odd[:, 0]
    return odd
