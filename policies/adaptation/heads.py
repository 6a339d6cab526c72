"""Small heads on numbers that describe a scan, and how they are taught."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from policies.adaptation.examples import DESCRIBED, LINES, PICTURE, Parts

HIDDEN = 96
#: Numbers farther from the mean than this many deviations count as this far.
FARTHEST = 3.0
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 2e-3, 0.1
#: Shares of the inputs and of the hidden units that are left out at random.
DROPPED, DROPPED_HIDDEN = 0.2, 0.5
#: How much each part counts; what is described needs no likeness to the simulator.
WEIGHTS = {DESCRIBED: 0.7, PICTURE: 0.15, LINES: 0.15}


class Head(nn.Module):
    """From numbers to one logit per class: standardised, one hidden layer."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.layers = nn.Sequential(
            nn.Dropout(DROPPED),
            nn.Linear(inputs, HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPPED_HIDDEN),
            nn.Linear(HIDDEN, classes),
        )

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Logits, shape (scans, classes), of numbers of shape (scans, inputs)."""
        near = ((numbers - self.mean) / self.spread).clamp(-FARTHEST, FARTHEST)
        logits: torch.Tensor = self.layers(near)
        return logits

    @classmethod
    def fitted_to(cls, numbers: torch.Tensor, classes: int) -> Head:
        """An untaught head that knows how these numbers are spread; shape (views, scans, n)."""
        head = cls(numbers.shape[2], classes)
        every = numbers.flatten(0, 1)
        head.mean.copy_(every.mean(dim=0))
        head.spread.copy_(every.std(dim=0, correction=0) + 1e-3)
        return head


def taught(numbers: torch.Tensor, votes: torch.Tensor, epochs: int, seed: int) -> Iterator[Head]:
    """Yield the head, ready to judge, after every epoch; always the same object.

    Args:
        numbers: one of the views of each scan is drawn in every epoch; shape (views, scans, n).
        votes: 0..1, NaN where unknown; shape (scans, classes).
        epochs: how often every scan is seen.
        seed: seed of weights, order, views and dropout.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head.fitted_to(numbers, votes.shape[1])
        state = torch.get_rng_state()
    optimiser = torch.optim.AdamW(head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(epochs):
        # Whoever takes the heads may draw random numbers of their own in between.
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)
            _epoch(head.train(), optimiser, numbers, votes)
            state = torch.get_rng_state()
        yield head.eval()


def _epoch(
    head: Head, optimiser: torch.optim.Optimizer, numbers: torch.Tensor, votes: torch.Tensor
) -> None:
    views, scans = numbers.shape[:2]
    seen = numbers[torch.randint(views, (scans,)), torch.arange(scans)]
    for batch in torch.split(torch.randperm(scans), BATCH):
        known = votes[batch].isfinite()
        losses = binary_cross_entropy_with_logits(
            head(seen[batch]), votes[batch].nan_to_num(), reduction="none"
        )
        loss = (losses * known).sum() / known.sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        optimiser.step()


def combined(heads: Mapping[str, list[Head]], parts: Parts) -> torch.Tensor:
    """Mean logits of all heads on the first view of each part, shape (scans, classes)."""
    with torch.inference_mode():
        each = {
            name: torch.stack([head(parts[name][0]) for head in some]).mean(dim=0)
            for name, some in heads.items()
        }
    total = sum(WEIGHTS[name] for name in each)
    return torch.stack([WEIGHTS[name] / total * one for name, one in each.items()]).sum(dim=0)
