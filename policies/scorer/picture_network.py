"""The convolutional network that scores a scan as a whole."""

from __future__ import annotations

import torch
from torch import nn

from policies.scorer.outputs import MEASURES, OUTPUTS
from policies.scorer.preprocess import CHANNELS, NUMBERS
from policies.scorer.protrusion import PATCHES, POINTS


class PictureNetwork(nn.Module):
    """Strided convolutions over the whole picture and over the mean protrusion, two dense layers.

    Pictures have shape (batch, CHANNELS, SIDE, SIDE), protrusions (batch, PATCHES, POINTS, POINTS),
    numbers (batch, NUMBERS). What comes out has shape (batch, OUTPUTS + MEASURES): logits, then the
    measures as the training scales them.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(CHANNELS, width, 5, 2),
            _block(width, 2 * width, 3, 2),
            _block(2 * width, 3 * width, 3, 2),
            _block(3 * width, 3 * width, 3, 1),
        )
        self.protrusion = nn.Sequential(
            _block(PATCHES, width, 5, 2),
            _block(width, 2 * width, 3, 1),
            _block(2 * width, 2 * width, 3, 2),
            nn.Flatten(),
            nn.Linear(2 * width * (POINTS // 4) ** 2, 128),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Linear(6 * width + 128 + NUMBERS, 128),
            nn.ReLU(),
            nn.Linear(128, OUTPUTS + MEASURES),
        )

    def forward(
        self, pictures: torch.Tensor, protrusions: torch.Tensor, numbers: torch.Tensor
    ) -> torch.Tensor:
        """Logits and measures, shape (batch, OUTPUTS + MEASURES)."""
        found: torch.Tensor = self.head(self.seen(pictures, protrusions, numbers))
        return found

    def seen(
        self, pictures: torch.Tensor, protrusions: torch.Tensor, numbers: torch.Tensor
    ) -> torch.Tensor:
        """What the head judges by, shape (batch, features)."""
        maps = self.features(pictures)
        mask = nn.functional.adaptive_avg_pool2d(pictures[:, -1:], maps.shape[-2:])
        scanned = mask.sum(dim=(2, 3)).clamp(min=1e-3)
        mean = (maps * mask).sum(dim=(2, 3)) / scanned
        highest = (maps * (mask > 0)).amax(dim=(2, 3))
        return torch.cat([mean, highest, self.protrusion(protrusions), numbers], dim=1)


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
