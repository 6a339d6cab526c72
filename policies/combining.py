"""What several scans of one tip say together: one scan is evidence, not proof."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median

from policies.report import ImageState, TipReport, TipState

#: No scan is surer than this: one of them alone must not outweigh all others.
SURE = 1e-3


def evidence(reports: Iterable[TipReport]) -> list[TipReport]:
    """Those of the reports that tell anything about how sharp the tip is."""
    return [one for one in reports if one.not_assessable is None and not one.featureless]


def combine(reports: Sequence[TipReport]) -> TipReport:
    """One report from several scans of the same tip, best on several spots.

    The quality is the mean of the log-odds, not the sum that independent scans would allow: what
    misleads the scorer about a tip misleads it on every spot. A state is as probable as the middle
    one of the scans has it, so that it takes a majority. What the training left open does not get
    less by looking again.

    Args:
        reports: of the scans; those that tell nothing do not count.

    Returns:
        The combined report; "not assessable" if no scan tells anything.
    """
    told = evidence(reports)
    if not told:
        lines = sum(one.lines for one in reports)
        return TipReport.unassessable("none of the scans shows how sharp the tip is", lines)
    odds = fmean(_log_odds(one.quality) for one in told)
    return TipReport(
        quality=1 / (1 + math.exp(-odds)),
        states={state: median(one.states[state] for one in told) for state in TipState},
        lines=sum(one.lines for one in told),
        novelty=median(one.novelty for one in told),
        image={state: median(one.image.get(state, 0.5) for one in told) for state in ImageState},
        uncertainty=math.sqrt(fmean(one.uncertainty**2 for one in told)),
    )


def _log_odds(quality: float) -> float:
    return math.log(max(quality, SURE) / max(1 - quality, SURE))
