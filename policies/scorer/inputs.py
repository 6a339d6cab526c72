"""Prepared scans side by side, as the networks take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from policies.scorer.lines import Rows
from policies.scorer.preprocess import ScorerInput


@dataclass(frozen=True, slots=True)
class Inputs:
    """A batch of scans.

    Attributes:
        pictures: shape (batch, CHANNELS, SIDE, SIDE).
        protrusions: shape (batch, PATCHES, POINTS, POINTS).
        numbers: shape (batch, NUMBERS).
        rows: zeros behind the last row of each scan, shape (batch, channels, rows, points).
        row_numbers: shape (batch, rows, numbers).
        counts: rows of each scan, shape (batch,).
    """

    pictures: torch.Tensor
    protrusions: torch.Tensor
    numbers: torch.Tensor
    rows: torch.Tensor
    row_numbers: torch.Tensor
    counts: torch.Tensor


def as_inputs(prepared: Sequence[ScorerInput], rows: Sequence[Rows]) -> Inputs:
    """Put scans side by side."""
    # One row of zeros, at least: a network cannot read nothing.
    most = max(1, *(len(one) for one in rows)) if rows else 1
    padded = [one.padded(most) for one in rows]
    return Inputs(
        _images([one.pictures for one in prepared]),
        _images([one.protrusion for one in prepared]),
        _stacked([one.numbers for one in prepared]),
        _images([one.pictures for one in padded]),
        _stacked([one.numbers for one in padded]),
        torch.tensor([len(one) for one in rows]),
    )


def _images(arrays: list[np.ndarray]) -> torch.Tensor:
    # Convolutions of a single scan take a third less time on this layout.
    return _stacked(arrays).contiguous(memory_format=torch.channels_last)


def _stacked(arrays: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))
