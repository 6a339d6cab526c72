"""The network of the scorer: one part looks at the scan as a whole, the other reads its lines."""

from __future__ import annotations

import torch
from torch import nn

from policies.scorer.line_network import MEMORY, LineNetwork
from policies.scorer.outputs import HEADS, MEASURES, OUTPUTS
from policies.scorer.picture_network import SEEN, PictureNetwork


class ScorerNetwork(nn.Module):
    """Both parts, and the heads that judge a whole scan by what both have found.

    What decides between good and nearly good, the ghost beside an adatom, is seen best in the
    picture as a whole; that something changed or hops, line by line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.picture = PictureNetwork()
        self.lines = LineNetwork()
        self.judge = nn.Sequential(
            nn.Linear(SEEN + 3 * MEMORY, 160),
            nn.ReLU(),
            nn.Linear(160, HEADS * OUTPUTS + MEASURES),
        )

    def judged(self, seen: torch.Tensor, read: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Judge whole scans.

        Args:
            seen: what the picture network has seen, shape (batch, SEEN).
            read: what the line network has read, shape (batch, 3 * MEMORY).

        Returns:
            Logits, shape (batch, HEADS, OUTPUTS), and the measures as the training scales them,
            shape (batch, MEASURES).
        """
        found = self.judge(torch.cat([seen, read], dim=1))
        logits, measures = found.split([HEADS * OUTPUTS, MEASURES], dim=1)
        return logits.reshape(-1, HEADS, OUTPUTS), measures


def summary(states: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """What is left of the states of the memory: the last, their mean, their largest.

    Args:
        states: after each row, shape (batch, rows, MEMORY).
        counts: rows that were read of each scan, shape (batch,); the others do not count.

    Returns:
        Shape (batch, 3 * MEMORY); zeros where nothing was read.
    """
    batch, rows, _ = states.shape
    read = torch.arange(rows, device=states.device) < counts[:, None]
    some = counts.clamp(min=1)
    last = states[torch.arange(batch, device=states.device), some - 1]
    mean = (states * read[:, :, None]).sum(dim=1) / some[:, None]
    # The states lie between -1 and 1.
    largest = states.masked_fill(~read[:, :, None], -1.0).amax(dim=1)
    return torch.cat([last, mean, largest], dim=1) * (counts > 0)[:, None]
