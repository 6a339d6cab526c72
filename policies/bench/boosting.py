"""Boosted trees on features that were made by hand: what the scorer is compared with.

Second-order gradient boosting on binned features (Chen and Guestrin, KDD 2016), small on purpose.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

TREES, RATE, DEPTH, BINS = 150, 0.07, 3, 32
SHARE = 0.6
#: Penalty on the leaves, and the least curvature that a leaf must hold.
PENALTY = 3.0

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


def boosted(known: Doubles, votes: Doubles, unknown: Doubles, seed: int) -> Doubles:
    """Fit to known votes and score the unknown.

    Args:
        known: features, shape (n, features).
        votes: 0..1, not all the same, shape (n,).
        unknown: features, shape (m, features).
        seed: of the share of the rows that each tree sees.

    Returns:
        Logits, shape (m,).
    """
    cuts = [np.quantile(column, np.linspace(0, 1, BINS)[1:-1]) for column in known.T]
    taught, judged = (_binned(rows, cuts) for rows in (known, unknown))
    rng, mean = np.random.default_rng(seed), votes.mean()
    start = np.log(mean / (1 - mean))
    inner, outer = np.full(len(known), start), np.full(len(unknown), start)
    for _ in range(TREES):
        found = expit(inner)
        rows = np.flatnonzero(rng.uniform(size=len(known)) < SHARE)
        tree = _grown(taught, found - votes, found * (1 - found), rows)
        inner += RATE * _read(taught, *tree)
        outer += RATE * _read(judged, *tree)
    return outer


def _binned(rows: Doubles, cuts: list[Doubles]) -> Integers:
    columns = [np.searchsorted(cut, column) for cut, column in zip(cuts, rows.T, strict=True)]
    return np.stack(columns, axis=1).astype(np.int64)


@numba.njit(cache=True)
def _grown(
    bins: Integers, slope: Doubles, curve: Doubles, rows: Integers
) -> tuple[Integers, Integers, Doubles]:
    """One tree: the feature and the last bin to the left of each node, and its value."""
    feature = np.full(2 ** (DEPTH + 1) - 1, -1, np.int64)
    last, value = np.zeros_like(feature), np.zeros(len(feature))
    node = np.zeros(len(bins), np.int64)
    for level in range(DEPTH + 1):
        first = 2**level - 1
        slopes = np.zeros((2**level, bins.shape[1], BINS))
        curves = np.zeros_like(slopes)
        for row in rows:
            at = node[row] - first
            if at >= 0:
                for column in range(bins.shape[1]):
                    slopes[at, column, bins[row, column]] += slope[row]
                    curves[at, column, bins[row, column]] += curve[row]
        for at in range(2**level):
            value[first + at] = -slopes[at, 0].sum() / (curves[at, 0].sum() + PENALTY)
            if level < DEPTH:
                feature[first + at], last[first + at] = _best(slopes[at], curves[at])
        for row in rows:
            at = node[row]
            if at >= first and feature[at] >= 0:
                right = bins[row, feature[at]] > last[at]
                node[row] = 2 * at + (2 if right else 1)
    return feature, last, value


@numba.njit(cache=True)
def _best(slopes: Doubles, curves: Doubles) -> tuple[int, int]:
    """Feature and last bin of the best split; -1 if none helps."""
    best, feature, last = 1e-6, -1, 0
    total, weight = slopes[0].sum(), curves[0].sum()
    for column in range(len(slopes)):
        left, left_weight = 0.0, 0.0
        for cut in range(BINS - 1):
            left += slopes[column, cut]
            left_weight += curves[column, cut]
            if min(left_weight, weight - left_weight) < PENALTY:
                continue
            right, right_weight = total - left, weight - left_weight
            gain = (
                left**2 / (left_weight + PENALTY)
                + right**2 / (right_weight + PENALTY)
                - total**2 / (weight + PENALTY)
            )
            if gain > best:
                best, feature, last = gain, column, cut
    return feature, last


@numba.njit(cache=True)
def _read(bins: Integers, feature: Integers, last: Integers, value: Doubles) -> Doubles:
    found = np.zeros(len(bins))
    for row in range(len(bins)):
        node = 0
        while feature[node] >= 0:
            node = 2 * node + (2 if bins[row, feature[node]] > last[node] else 1)
        found[row] = value[node]
    return found
