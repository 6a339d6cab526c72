"""What a double DQN learns from and by: the last transitions, and the target of an update.

van Hasselt et al., AAAI 2016: the online network says which action is best in what follows, the
target network what that is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.conditioner.rules.deepspm_network import NAMES, SIDE, Picture, QNetwork, allowed_only

#: Turns and mirrors of a square.
SYMMETRIES = 8


@dataclass(frozen=True, slots=True)
class Transition:
    """One action and what came of it.

    Attributes:
        before: the picture that it was chosen from.
        action: its place in the table.
        reward: what it brought.
        after: the picture after it, or None if the episode ended with it.
        allowed: what may be done then, shape (actions,).
    """

    before: Picture
    action: int
    reward: float
    after: Picture | None
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions side by side; pictures of shape (n, 1, SIDE, SIDE), the rest begins with n."""

    before: Tensor
    actions: Tensor
    rewards: Tensor
    after: Tensor
    ended: Tensor
    allowed: Tensor


class Replay(nn.Module):
    """The last ``size`` transitions; a module so that a checkpoint keeps them."""

    _pictures: Tensor
    _actions: Tensor
    _rewards: Tensor
    _ended: Tensor
    _allowed: Tensor
    _added: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        # Half precision tells 0.1 pm apart at the largest heights.
        pictures = torch.zeros(size, 2, SIDE, SIDE, dtype=torch.float16)
        self.register_buffer("_pictures", pictures)
        self.register_buffer("_actions", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("_rewards", torch.zeros(size))
        self.register_buffer("_ended", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("_allowed", torch.ones(size, len(NAMES), dtype=torch.bool))
        self.register_buffer("_added", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return min(int(self._added), self._size)

    def add(self, one: Transition) -> None:
        """Take a transition in, and forget the oldest if there is no room left."""
        slot = int(self._added) % self._size
        self._pictures[slot, 0] = torch.from_numpy(one.before)
        if one.after is not None:
            self._pictures[slot, 1] = torch.from_numpy(one.after)
        self._actions[slot] = one.action
        self._rewards[slot] = one.reward
        self._ended[slot] = one.after is None
        self._allowed[slot] = torch.from_numpy(one.allowed)
        self._added += 1

    def sample(self, count: int, rng: np.random.Generator) -> Batch:
        """Draw transitions, all turned and mirrored in the same of the eight ways."""
        slots = torch.from_numpy(rng.integers(len(self), size=count))
        pictures = turned(self._pictures[slots].float(), int(rng.integers(SYMMETRIES)))
        return Batch(
            before=pictures[:, :1],
            actions=self._actions[slots],
            rewards=self._rewards[slots],
            after=pictures[:, 1:],
            ended=self._ended[slots],
            allowed=self._allowed[slots],
        )


def turned(pictures: Tensor, way: int) -> Tensor:
    """Pictures turned by ``way`` quarters, and mirrored from 4 on; the last two axes count."""
    quarters = torch.rot90(pictures, way % 4, (-2, -1))
    return quarters.flip(-1) if way >= SYMMETRIES // 2 else quarters


def targets(online: nn.Module, target: nn.Module, batch: Batch, gamma: float) -> Tensor:
    """What the values of the actions of ``batch`` should be, shape (n,)."""
    with torch.no_grad():
        best = allowed_only(online(batch.after), batch.allowed).argmax(1, keepdim=True)
        following: Tensor = target(batch.after).gather(1, best)[:, 0]
        return batch.rewards + gamma * following * ~batch.ended


def loss_of(online: QNetwork, target: QNetwork, batch: Batch, gamma: float) -> Tensor:
    """Mean squared distance of the values from their targets."""
    values = online(batch.before).gather(1, batch.actions[:, None])[:, 0]
    return nn.functional.mse_loss(values, targets(online, target, batch, gamma))
