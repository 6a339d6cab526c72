"""Judges what was learned from some sessions on the others, and stops the learning in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from policies.adaptation.examples import Parts
from policies.adaptation.heads import WEIGHTS, taught
from sim.benches.realism.classifier import auc

FOLDS = 5
MOST_EPOCHS = 30
RESAMPLES = 400

Progress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Validated:
    """What cross-validation by session found.

    Attributes:
        epochs: after so many, other sessions are judged best.
        logits: of every scan, by heads that have seen no scan of its session, stopped at what the
            remaining sessions found best; shape (scans, classes).
    """

    epochs: int
    logits: torch.Tensor


def session_folds(sessions: NDArray[np.int64], count: int = FOLDS) -> NDArray[np.int64]:
    """A fold for every scan: whole sessions, about as many scans in every fold."""
    names, sizes = np.unique(sessions, return_counts=True)
    filled, fold_of = np.zeros(min(count, len(names))), {}
    for index in np.argsort(-sizes, kind="stable"):
        fold = int(filled.argmin())
        fold_of[names[index]] = fold
        filled[fold] += sizes[index]
    return np.array([fold_of[name] for name in sessions], np.int64)


def cross_validate(
    parts: Parts, votes: torch.Tensor, folds: NDArray[np.int64], seed: int, progress: Progress
) -> Validated:
    """Teach on all folds but one, judge that one, after every epoch; each fold once.

    Args:
        parts: numbers of the scans, each of shape (views, scans, n).
        votes: shape (scans, classes), NaN where unknown.
        folds: number of the fold of each scan.
        seed: seed of the heads.
        progress: told how many scans were judged.
    """
    count = int(folds.max()) + 1
    total = sum(WEIGHTS[name] for name in parts)
    curves = torch.zeros(MOST_EPOCHS, *votes.shape)
    losses = torch.zeros(count, MOST_EPOCHS)
    for fold in range(count):
        rest, held = (torch.from_numpy(folds != fold), torch.from_numpy(folds == fold))
        for name, numbers in parts.items():
            heads = taught(numbers[:, rest], votes[rest], MOST_EPOCHS, seed)
            for epoch, head in enumerate(heads):
                with torch.inference_mode():
                    curves[epoch, held] += WEIGHTS[name] / total * head(numbers[0, held])
        losses[fold] = torch.stack([_loss(one[held], votes[held]) for one in curves])
        progress(int(held.sum()), f"judging fold {fold + 1} of {count}")
    logits = torch.zeros_like(votes)
    for fold in range(count):
        held = torch.from_numpy(folds == fold)
        # A fold that chose its own stop would flatter itself.
        others = losses[torch.arange(count) != fold]
        logits[held] = curves[int(others.nanmean(dim=0).argmin()), held]
    return Validated(int(losses.nanmean(dim=0).argmin()) + 1, logits)


def _loss(logits: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    known = votes.isfinite()
    return binary_cross_entropy_with_logits(logits[known], votes[known])


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better a class is told after the adaptation, on sessions that it has not seen.

    Attributes:
        shipped: AUC of that output of the shipped scorer that tells the class best; it is chosen
            on the same scans, which flatters it and not the gain.
        adapted: AUC of the adapted scorer.
        interval: where the difference lies with 95 % certainty, from sessions drawn again.
    """

    shipped: float
    adapted: float
    interval: tuple[float, float]


def gain(
    shipped: torch.Tensor, adapted: torch.Tensor, votes: torch.Tensor, sessions: NDArray[np.int64]
) -> Gain:
    """Compare on one class.

    Args:
        shipped: logits of the shipped scorer, shape (scans, OUTPUTS).
        adapted: cross-validated logits of the class, shape (scans,).
        votes: of the class, NaN where unknown; some of either kind; shape (scans,).
        sessions: number of the session of each scan.
    """
    known = votes.isfinite().numpy()
    positive = (votes.numpy() >= 0.5)[known]
    outputs = np.concatenate([shipped.numpy(), -shipped.numpy()], axis=1)[known].T
    best = max(outputs, key=lambda one: auc(one, positive))
    ours = adapted.numpy()[known]

    def difference(pick: NDArray[np.intp]) -> float:
        return auc(ours[pick], positive[pick]) - auc(best[pick], positive[pick])

    draws = [difference(one) for one in resampled(sessions[known], positive)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return Gain(auc(best, positive), auc(ours, positive), (float(low), float(high)))


def resampled(
    sessions: NDArray[np.int64], positive: NDArray[np.bool_], draws: int = RESAMPLES
) -> list[NDArray[np.intp]]:
    """Draw whole sessions again and again; draws with one kind only are left out."""
    names, rng = np.unique(sessions), np.random.default_rng(0)
    members = [np.flatnonzero(sessions == name) for name in names]
    found = []
    for _ in range(draws):
        pick = np.concatenate([members[k] for k in rng.integers(len(names), size=len(names))])
        if positive[pick].any() and not positive[pick].all():
            found.append(pick)
    return found
