"""The network that reads line by line: convolutions that look back, then a recurrent memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from policies.scorer.lines import CHANNELS, NUMBERS
from policies.scorer.outputs import OUTPUTS

WIDTHS = (16, 32, 48)
MEMORY = 96
#: Rows that a convolution sees: the newest and those before it.
REACH = 3


@dataclass(slots=True)
class Memory:
    """What the network remembers of the rows so far.

    Attributes:
        rows: per convolution, its last ``REACH - 1`` input rows.
        state: state of the recurrent layer.
    """

    rows: list[torch.Tensor]
    state: torch.Tensor | None = None


class LineNetwork(nn.Module):
    """One judgement per row, from that row and those before it.

    Rows have shape (batch, CHANNELS, rows, POINTS), numbers (batch, rows, NUMBERS). What comes out
    has shape (batch, rows, OUTPUTS): logits.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = (CHANNELS, *WIDTHS[:-1])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, (REACH, 5), (1, 2), (0, 2), bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
            for before, width in zip(inputs, WIDTHS, strict=True)
        )
        self.recurrent = nn.GRU(2 * WIDTHS[-1] + NUMBERS, MEMORY, batch_first=True)
        self.head = nn.Linear(MEMORY, OUTPUTS)

    def forward(
        self, rows: torch.Tensor, numbers: torch.Tensor, memory: Memory | None = None
    ) -> torch.Tensor:
        """Logits for each row; ``memory`` is that of the rows before and is brought up to date."""
        logits: torch.Tensor = self.head(self.states(rows, numbers, memory))
        return logits

    def states(
        self, rows: torch.Tensor, numbers: torch.Tensor, memory: Memory | None = None
    ) -> torch.Tensor:
        """State of the memory after each row, shape (batch, rows, MEMORY)."""
        fresh = Memory([]) if memory is None else memory
        seen, kept = rows, []
        for index, block in enumerate(self.blocks):
            before = fresh.rows[index] if fresh.rows else _nothing(seen)
            seen = torch.cat([before, seen], dim=2)
            kept.append(seen[:, :, -(REACH - 1) :])
            seen = block(seen)
        pooled = torch.cat([seen.mean(dim=3), seen.amax(dim=3)], dim=1).transpose(1, 2)
        states: torch.Tensor
        states, last = self.recurrent(torch.cat([pooled, numbers], dim=2), fresh.state)
        fresh.rows, fresh.state = kept, last
        return states


def _nothing(rows: torch.Tensor) -> torch.Tensor:
    batch, channels, _, points = rows.shape
    return rows.new_zeros(batch, channels, REACH - 1, points)
