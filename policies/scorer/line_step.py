"""The line network one row at a time, for a scan that runs and waits for each judgement.

``LineNetwork`` is the definition and is what is trained; this says the same but for roundings, in a
fraction of the time. The batch norms are in the convolutions, and each of those is one product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from policies.scorer.line_network import MEMORY, REACH, STRIDE, TAPS, LineNetwork
from policies.scorer.lines import POINTS

Floats = NDArray[np.float32]

#: Weights of the recurrent layer, in the order in which ``torch.gru_cell`` wants them.
RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@dataclass(frozen=True, slots=True)
class LineWeights:
    """What a trained network comes to where it reads one row at a time.

    Attributes:
        blocks: per convolution, its weights with the batch norm in them, shape
            (TAPS * REACH * channels before, channels), and its offsets, shape (channels,).
        recurrent: those of the memory, as ``RECURRENT`` names them.
        head: weights and offsets of the logits.
    """

    blocks: tuple[tuple[torch.Tensor, Floats], ...]
    recurrent: tuple[torch.Tensor, ...]
    head: tuple[torch.Tensor, torch.Tensor]

    @classmethod
    def of(cls, network: LineNetwork) -> LineWeights:
        """Those of a network in evaluation as it is now; what it learns later does not show."""
        own = {name: value.clone() for name, value in network.state_dict().items()}
        ordered = (own[f"recurrent.{name}_l0"] for name in RECURRENT)
        blocks = tuple(_folded(block) for block in network.blocks)
        return cls(blocks, tuple(ordered), (own["head.weight"], own["head.bias"]))


class LineStep:
    """Reads the rows of one scan in their order, and remembers."""

    def __init__(self, weights: LineWeights) -> None:
        self._blocks = []
        points = POINTS
        for product, offsets in weights.blocks:
            block = _Block(points, product, offsets)
            self._blocks.append(block)
            points = block.points
        self._recurrent, self._head = weights.recurrent, weights.head
        self._state = torch.zeros(1, MEMORY)

    def read(self, picture: Floats, numbers: Floats) -> torch.Tensor:
        """Logits after one more row, shape (OUTPUTS,).

        Args:
            picture: the row, shape (CHANNELS, POINTS).
            numbers: shape (NUMBERS,).
        """
        seen = picture.T
        for block in self._blocks:
            seen = block.read(seen)
        joined = np.concatenate([np.add.reduce(seen) / len(seen), seen.max(axis=0), numbers])
        self._state = torch.gru_cell(torch.from_numpy(joined[None]), self._state, *self._recurrent)
        weights, offsets = self._head
        return torch.addmv(offsets, weights, self._state[0])


class _Block:
    """One convolution, its batch norm and its rectifier.

    Attributes:
        points: of a row that comes out.
    """

    def __init__(self, points: int, product: torch.Tensor, offsets: Floats) -> None:
        channels = len(product) // (TAPS * REACH)
        self._product, self._offsets = product, offsets
        # Points first and channels last, so that all that a convolution sees at once lies together.
        self._rows = np.zeros((points + TAPS - 1, REACH, channels), np.float32)
        self.points = (points - 1) // STRIDE + 1
        step = STRIDE * self._rows.strides[0]
        # A view that follows what is written to the rows.
        windows = as_strided(self._rows, (self.points, len(product)), (step, 4))
        self._windows = torch.from_numpy(windows)

    def read(self, row: Floats) -> Floats:
        """What comes out for one more row, points first; shape (points, channels)."""
        edge = TAPS // 2
        self._rows[:, :-1] = self._rows[:, 1:]
        self._rows[edge:-edge, -1] = row
        # Torch multiplies: numpy's linear algebra may start threads for so little.
        found: Floats = torch.mm(self._windows, self._product).numpy()
        found += self._offsets
        return np.maximum(found, 0, out=found)


def _folded(block: nn.Module) -> tuple[torch.Tensor, Floats]:
    convolution, norm = cast("tuple[nn.Conv2d, nn.BatchNorm2d]", tuple(block.children())[:2])
    whole = fuse_conv_bn_eval(convolution, norm).state_dict()
    # In the order in which a window lies: points, then rows, then channels.
    product = whole["weight"].permute(3, 2, 1, 0).flatten(end_dim=2).contiguous()
    return product, whole["bias"].numpy()
