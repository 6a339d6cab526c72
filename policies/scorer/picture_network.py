"""The convolutional network that looks at a scan as a whole."""

from __future__ import annotations

import torch
from torch import nn

from policies.scorer.preprocess import CHANNELS, NUMBERS
from policies.scorer.protrusion import PATCHES, POINTS

WIDTH = 32
#: Numbers that come out of the protrusions, and all that come out.
OF_PROTRUSION = 128
SEEN = 6 * WIDTH + OF_PROTRUSION + NUMBERS


class PictureNetwork(nn.Module):
    """Strided convolutions over the whole picture and over the mean protrusion.

    Pictures have shape (batch, CHANNELS, SIDE, SIDE), protrusions (batch, PATCHES, POINTS, POINTS),
    numbers (batch, NUMBERS). What comes out has shape (batch, SEEN).
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(CHANNELS, WIDTH, 5, 2),
            _block(WIDTH, 2 * WIDTH, 3, 2),
            _block(2 * WIDTH, 3 * WIDTH, 3, 2),
            _block(3 * WIDTH, 3 * WIDTH, 3, 1),
        )
        self.protrusion = nn.Sequential(
            _block(PATCHES, WIDTH, 5, 2),
            _block(WIDTH, 2 * WIDTH, 3, 1),
            _block(2 * WIDTH, 2 * WIDTH, 3, 2),
            nn.Flatten(),
            nn.Linear(2 * WIDTH * (POINTS // 4) ** 2, OF_PROTRUSION),
            nn.ReLU(),
        )

    def forward(
        self, pictures: torch.Tensor, protrusions: torch.Tensor, numbers: torch.Tensor
    ) -> torch.Tensor:
        """What is seen, shape (batch, SEEN)."""
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
