"""What a trained policy is familiar with, and how it fares: repairs that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sb3_contrib import MaskablePPO

from policies.training.figures import figures
from policies.training.rehearsal import ConditioningEnv, Ended

#: Choices that are looked at, for what is familiar and then for how far that reaches.
CHOICES_SEEN = 6000
#: Share of the familiar observations that lie farther away than what counts as familiar.
UNFAMILIAR_SHARE = 0.001
#: Share of the repairs that take longer than what counts as overdue.
OVERDUE_SHARE = 0.01
#: Deviation that every direction has at least: what never varied in training may do so a little.
LEAST_DEVIATION = 0.05


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What is familiar, and figures of the repairs that told.

    Attributes:
        tensors: mean and whitening of the observations, by the names in a policy's file.
        unfamiliar: distance (root mean square of whitened features) that few of them exceed.
        overdue: actions that few repairs exceed.
        metrics: means over the repairs.
    """

    tensors: dict[str, torch.Tensor]
    unfamiliar: float
    overdue: int
    metrics: dict[str, float]


def familiarity(model: MaskablePPO, environment: Callable[[], ConditioningEnv]) -> Familiarity:
    """Let the policy of ``model`` repair tips of ``environment``, always by its best choice."""
    seen, ended = _repairs(model, environment(), 2 * CHOICES_SEEN)
    first, second = seen[:CHOICES_SEEN], seen[CHOICES_SEEN:]
    mean = first.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(first, rowvar=False))
    deviations = np.sqrt(np.maximum(values, 0) + LEAST_DEVIATION**2)
    whitening = (vectors / deviations).T
    distances = np.sqrt((((second - mean) @ whitening.T) ** 2).mean(axis=1))
    actions = [one.actions for one in ended]
    return Familiarity(
        {
            "familiar.mean": torch.from_numpy(mean.astype(np.float32)),
            "familiar.whitening": torch.from_numpy(np.ascontiguousarray(whitening, np.float32)),
        },
        float(np.quantile(distances, 1 - UNFAMILIAR_SHARE)),
        int(np.ceil(np.quantile(actions, 1 - OVERDUE_SHARE))) if actions else 0,
        {name: round(value, 4) for name, value in figures(ended).items()} if ended else {},
    )


def _repairs(
    model: MaskablePPO, environment: ConditioningEnv, choices: int
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], list[Ended]]:
    """Observations of ``choices`` choices, and the repairs that ended meanwhile."""
    seen, ended = [], list[Ended]()
    observation, _ = environment.reset()
    for _ in range(choices):
        seen.append(observation)
        choice, _ = model.predict(
            observation, action_masks=environment.action_masks(), deterministic=True
        )
        observation, _, over, _, info = environment.step(np.int64(choice))
        if over:
            ended.append(info["ended"])
            observation, _ = environment.reset()
    return np.array(seen, np.float64), ended
