"""Fewer points out of more, each the mean of what it covers."""

from __future__ import annotations

from functools import lru_cache

import torch


# Scans come in few sizes, and each of them again and again. Torch multiplies, because the threads
# of numpy's linear algebra would spin on cores that others need.
@lru_cache(maxsize=64)
def shares(pixels: int, points: int) -> torch.Tensor:
    """Shares with which pixels make up points of equal width; shape (pixels, points), doubles."""
    ends = torch.linspace(0, pixels, points + 1, dtype=torch.float64)
    at = torch.arange(pixels, dtype=torch.float64)[:, None]
    overlap = torch.minimum(at + 1, ends[1:]) - torch.maximum(at, ends[:-1])
    return overlap.clamp(min=0) * (points / pixels)
