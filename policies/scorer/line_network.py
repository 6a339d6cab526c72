"""The network that reads line by line: convolutions that look back, then a recurrent memory."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad

from policies.scorer.lines import CHANNELS, NUMBERS
from policies.scorer.outputs import OUTPUTS

WIDTHS = (16, 32, 48)
MEMORY = 96
#: Rows that a convolution sees: the newest and those before it. Of each it sees so many points, and
#: moves on by so many.
REACH, TAPS, STRIDE = 3, 5, 2


class LineNetwork(nn.Module):
    """One judgement per row, from that row and those before it.

    Rows have shape (batch, CHANNELS, rows, POINTS), numbers (batch, rows, NUMBERS). What comes out
    has shape (batch, rows, OUTPUTS): logits. A scan that runs is read by ``LineStep``.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = (CHANNELS, *WIDTHS[:-1])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, (REACH, TAPS), (1, STRIDE), (0, TAPS // 2), bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
            for before, width in zip(inputs, WIDTHS, strict=True)
        )
        self.recurrent = nn.GRU(2 * WIDTHS[-1] + NUMBERS, MEMORY, batch_first=True)
        self.head = nn.Linear(MEMORY, OUTPUTS)

    def forward(self, rows: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Logits for each row."""
        logits: torch.Tensor = self.head(self.states(rows, numbers))
        return logits

    def states(self, rows: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """State of the memory after each row, shape (batch, rows, MEMORY)."""
        seen = rows
        for block in self.blocks:
            # Before the first row there is nothing; after the newest nothing is known.
            seen = block(pad(seen, (0, 0, REACH - 1, 0)))
        pooled = torch.cat([seen.mean(dim=3), seen.amax(dim=3)], dim=1).transpose(1, 2)
        states: torch.Tensor
        states, _ = self.recurrent(torch.cat([pooled, numbers], dim=2))
        return states
