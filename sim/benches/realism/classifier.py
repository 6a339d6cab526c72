"""A small fixed classifier that tries to tell two sets of pictures apart.

Logistic regression on the numbers of ``features`` and their squares, with a fixed penalty. It is
judged on groups of pictures that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

from sim.scans.kernels import Doubles

FOLDS = 5
#: Penalty on the weights per picture.
PENALTY = 0.02
#: Numbers farther out than this many deviations count as this far.
FARTHEST = 4.0

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well two sets can be told apart.

    Attributes:
        auc: chance that a picture of one set scores above one of the other; 0.5 is guessing.
        interval: where that chance lies with 95 % certainty.
    """

    auc: float
    interval: tuple[float, float]


def told_apart(table: Doubles, first: Flags, groups: Sequence[str]) -> Verdict:
    """Fit on some groups, judge the others.

    Args:
        table: one row of numbers per picture.
        first: which pictures belong to the first set.
        groups: name of each picture's group; all of a group are judged together.
    """
    folds = _folds(first, groups)
    scores = np.empty(len(table))
    for fold in range(FOLDS):
        test = folds == fold
        scores[test] = _scores(table[~test], first[~test], table[test])
        # Fits differ in scale from fold to fold; ranks do not.
        scores[test] = rankdata(scores[test]) / test.sum()
    rng = np.random.default_rng(0)
    draws = [
        auc(scores[pick], first[pick])
        for pick in (
            np.concatenate([rng.choice(np.flatnonzero(one), one.sum()) for one in (first, ~first)])
            for _ in range(200)
        )
    ]
    low, high = np.percentile(draws, (2.5, 97.5))
    return Verdict(auc(scores, first), (float(low), float(high)))


def auc(scores: NDArray[np.floating], first: Flags) -> float:
    """Chance that one of the first scores higher than another, ties half: area under the ROC."""
    ranks = rankdata(scores)
    n, m = int(first.sum()), int((~first).sum())
    return float((ranks[first].sum() - n * (n + 1) / 2) / (n * m))


def telling(table: Doubles, first: Flags) -> Doubles:
    """How well each number alone tells the sets apart; 0.5 is not at all, 0 and 1 are perfect."""
    return np.array([auc(column, first) for column in table.T])


def _folds(first: Flags, groups: Sequence[str]) -> NDArray[np.int_]:
    """A fold for every picture: whole groups, about as many pictures of each set in every fold."""
    names = np.asarray(groups)
    folds = np.zeros(len(names), int)
    for one in (first, ~first):
        sizes = dict(zip(*np.unique(names[one], return_counts=True), strict=True))
        filled = np.zeros(FOLDS)
        for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
            fold = int(filled.argmin())
            folds[one & (names == name)] = fold
            filled[fold] += sizes[name]
    return folds


def _scores(known: Doubles, first: Flags, unknown: Doubles) -> Doubles:
    centre, spread = known.mean(axis=0), known.std(axis=0) + 1e-9
    x, y = (_expanded((rows - centre) / spread) for rows in (known, unknown))
    # Both sets weigh the same, however many pictures they have.
    weight = np.where(first, 0.5 / first.sum(), 0.5 / (~first).sum())
    sign = np.where(first, 1.0, -1.0)

    def cost(w: Doubles) -> tuple[float, Doubles]:
        margin = sign * (x @ w)
        pull = -weight * sign * expit(-margin)
        penalised = np.append(w[:-1], 0.0) * PENALTY
        loss = float(weight @ np.logaddexp(0, -margin) + 0.5 * penalised @ w)
        return loss, x.T @ pull + penalised

    fitted: Doubles = minimize(cost, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return np.asarray(y @ fitted)


def _expanded(rows: Doubles) -> Doubles:
    """Numbers, their squares, and a one."""
    near = np.clip(rows, -FARTHEST, FARTHEST)
    return np.column_stack([near, near**2 - 1, np.ones(len(rows))])
