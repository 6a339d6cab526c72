"""What a trained policy is familiar with, how it fares, and how often a choice makes a tip good.

All of it comes from repairs that it did not learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from torch.nn.functional import binary_cross_entropy_with_logits

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
#: Weight decay, steps and rate of the regression that tells the chance of success.
CHANCE_DECAY, CHANCE_STEPS, CHANCE_RATE = 1e-4, 60, 0.5

Seen = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What is familiar, and figures of the repairs that told.

    Attributes:
        tensors: mean and whitening of the observations, and the regression from the critic's last
            layer to the chance of success, by the names in a policy's file.
        unfamiliar: distance (root mean square of whitened features) that few of them exceed.
        overdue: actions that few repairs exceed.
        metrics: means over the repairs.
    """

    tensors: dict[str, torch.Tensor]
    unfamiliar: float
    overdue: int
    metrics: dict[str, float]


def familiarity(model: MaskablePPO, environment: Callable[[], ConditioningEnv]) -> Familiarity:
    """Let the policy of ``model`` repair tips of ``environment``, each choice drawn."""
    seen, worked, ended = _repairs(model, environment(), 2 * CHOICES_SEEN)
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
            **_chance(model, seen, worked),
        },
        float(np.quantile(distances, 1 - UNFAMILIAR_SHARE)),
        int(np.ceil(np.quantile(actions, 1 - OVERDUE_SHARE))) if actions else 0,
        {name: round(value, 4) for name, value in figures(ended).items()} if ended else {},
    )


def _chance(model: MaskablePPO, seen: Seen, worked: NDArray[np.bool_]) -> dict[str, torch.Tensor]:
    """Logistic regression from what the critic sees in a situation to what came of the choice."""
    device = model.device
    with torch.no_grad():
        observed = torch.from_numpy(seen.astype(np.float32)).to(device)
        hidden = model.policy.mlp_extractor.forward_critic(observed)
    truth = torch.from_numpy(worked).to(device, torch.float32)[:, None]
    line = torch.nn.Linear(hidden.shape[1], 1).to(device)
    optimiser = torch.optim.LBFGS(line.parameters(), lr=CHANCE_RATE, max_iter=CHANCE_STEPS)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        wrong = binary_cross_entropy_with_logits(line(hidden), truth)
        total: torch.Tensor = wrong + CHANCE_DECAY * (line.weight**2).sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it without types
    return {"chance.weight": line.weight.detach(), "chance.bias": line.bias.detach()}


def _repairs(
    model: MaskablePPO, environment: ConditioningEnv, choices: int
) -> tuple[Seen, NDArray[np.bool_], list[Ended]]:
    """Observations of so many choices, which made a tip good, and the repairs that ended."""
    seen, worked, ended = [], [], list[Ended]()
    observation, _ = environment.reset()
    for _ in range(choices):
        seen.append(observation)
        choice, _ = model.predict(observation, action_masks=environment.action_masks())
        observation, _, over, _, info = environment.step(np.int64(choice))
        worked.append(over and info["ended"].declared and info["ended"].truly_good)
        if over:
            ended.append(info["ended"])
            observation, _ = environment.reset()
    return np.array(seen, np.float64), np.array(worked, np.bool_), ended
