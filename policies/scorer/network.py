"""The convolutional network that scores a scan."""

from __future__ import annotations

import torch
from torch import nn

from policies.report import TipState
from policies.scorer.preprocess import CHANNELS, NUMBERS

#: One logit for "good", then one per state.
OUTPUTS = 1 + len(TipState)


class ScorerNetwork(nn.Module):
    """Strided convolutions, masked mean and maximum over the picture, two dense layers.

    Pictures have shape (batch, CHANNELS, SIDE, SIDE), numbers (batch, NUMBERS); the logits that
    come out have shape (batch, OUTPUTS).
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(CHANNELS, 3 * width // 2, 5, 2),
            _block(3 * width // 2, 2 * width, 3, 2),
            _block(2 * width, 3 * width, 3, 2),
            _block(3 * width, 3 * width, 3, 1),
        )
        self.head = nn.Sequential(
            nn.Linear(6 * width + NUMBERS, 96), nn.ReLU(), nn.Dropout(0.2), nn.Linear(96, OUTPUTS)
        )

    def forward(self, pictures: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, OUTPUTS)."""
        maps = self.features(pictures)
        mask = nn.functional.adaptive_avg_pool2d(pictures[:, -1:], maps.shape[-2:])
        scanned = mask.sum(dim=(2, 3)).clamp(min=1e-3)
        mean = (maps * mask).sum(dim=(2, 3)) / scanned
        highest = (maps * (mask > 0)).amax(dim=(2, 3))
        logits: torch.Tensor = self.head(torch.cat([mean, highest, numbers], dim=1))
        return logits


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
