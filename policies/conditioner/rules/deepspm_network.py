"""The Q-network of the DeepSPM baseline: what it sees, what it is made of, and its file.

It sees one image of 64 x 64 pixels and nothing else, as in Krull et al., Commun. Phys. 3, 54
(2020): no history, no way back, no trace. The plane is removed, heights are counted in 1e-10 m and
clipped. They fit the plane by RANSAC, here it is the best one. Their network of twelve convolutions
and 15 million weights is out of reach of a training without a graphics card; this one has four
convolutions with stride and one dense layer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from drivers.errors import FileError
from drivers.scan import Scan
from policies.scorer.resampling import shares
from policies.scorer.weights import Hashed, read_described, write_described

Picture = NDArray[np.float32]

SHIPPED = Path(__file__).parents[1] / "weights" / "deepspm.safetensors"

#: The table of actions, in the order of the outputs; see ``deepspm``.
PULSES_V = (2.5, 4.0, -2.5, -4.0, -8.0)
DEPTHS_NM = (0.8, 1.0, 1.2, 1.8, 2.5, 5.0)
PULSE_S = STALL_S = 0.2
NAMES = (
    "stall",
    *(f"pulse {height:+g} V" for height in PULSES_V),
    *(f"indent {depth:g} nm" for depth in DEPTHS_NM),
)
#: Side of the image (pixels), what its heights count in (m), and where they end.
SIDE, UNIT_M, CLIP = 64, 1e-10, 1.5
#: Kernels and channels of the convolutions, each of which halves the side; width of the last layer.
CONVOLUTIONS = ((5, 8), (3, 16), (3, 32), (3, 64))
DENSE = 256


class DeepSPMManifest(Hashed):
    """Where a Q-network comes from and what it expects.

    Attributes:
        layout: hash of image and table that it was trained with.
        command: the command that trained it.
        seed: its seed.
        data: what it was trained on, in words.
        curve: actions so far, mean actions of an episode and share of successes, bit by bit.
        metrics: figures of the training run.
    """

    layout: str
    command: str
    seed: int
    data: str
    curve: list[tuple[float, float, float]]
    metrics: dict[str, float]


class QNetwork(nn.Module):
    """Value of each action of the table, from pictures of shape (n, 1, SIDE, SIDE)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for kernel, channels in CONVOLUTIONS:
            layers += [nn.Conv2d(inputs, channels, kernel, 2, kernel // 2), nn.ReLU()]
            inputs = channels
        left = SIDE // 2 ** len(CONVOLUTIONS)
        dense = nn.Linear(inputs * left * left, DENSE)
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), dense, nn.ReLU(), nn.Linear(DENSE, len(NAMES))
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Values, shape (n, actions)."""
        values: Tensor = self.layers(pictures)
        return values

    def best(self, seen: Picture, mask: NDArray[np.bool_]) -> int:
        """The action of the highest value among those that ``mask`` allows, at least one.

        Args:
            seen: what ``picture`` made of a scan.
            mask: shape (actions,).
        """
        with torch.inference_mode():
            values = self(torch.from_numpy(seen)[None, None])
            return int(allowed_only(values, torch.from_numpy(mask)[None]).argmax())


@dataclass(frozen=True, slots=True)
class Trained:
    """A Q-network and where it comes from."""

    network: QNetwork
    manifest: DeepSPMManifest


def picture(scan: Scan) -> Picture:
    """What the network sees of a scan; shape (SIDE, SIDE), 0 where it was not scanned."""
    forward = scan.forward
    done = np.isfinite(forward).all(axis=1)
    whole: NDArray[np.float64] = np.zeros(forward.shape)
    if done.any():
        # Only whole lines count, so that the best plane is the best slope each way.
        heights = forward[done].astype(np.float64) / UNIT_M
        heights -= heights.mean()
        rows, columns = (np.arange(size) - (size - 1) / 2 for size in heights.shape)
        down = heights.mean(axis=1) @ rows / max(rows @ rows, 1.0)
        across = heights.mean(axis=0) @ columns / (columns @ columns)
        whole[done] = heights - down * rows[:, None] - across * columns
    lines, pixels = shares(whole.shape[0], SIDE), shares(whole.shape[1], SIDE)
    small = lines.T @ torch.from_numpy(whole) @ pixels
    seen: Picture = small.clamp(-CLIP, CLIP).float().numpy()
    return seen


def allowed_only(values: Tensor, allowed: Tensor) -> Tensor:
    """Values with those of masked actions at minus infinity; both of shape (n, actions)."""
    return values.masked_fill(~allowed, -torch.inf)


def layout_hash() -> str:
    """Names the table and the image: weights fit to no other."""
    layout = (NAMES, PULSE_S, STALL_S, SIDE, UNIT_M, CLIP)
    return hashlib.sha256(repr(layout).encode()).hexdigest()[:16]


def read_trained(path: Path) -> Trained:
    """Read a Q-network.

    Raises:
        FileError: a file is missing or damaged, the two do not belong together, or the network was
            trained with another table or image.
    """
    if not path.exists():
        raise FileError(f"{path} is missing; run `tipsmith train deepspm` to make it")
    tensors, manifest = read_described(path, DeepSPMManifest)
    if manifest.layout != layout_hash():
        raise FileError(
            f"{path} was trained with the layout {manifest.layout}, this version has "
            f"{layout_hash()}; run `tipsmith train deepspm` again"
        )
    network = QNetwork()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise FileError(f"{path} does not hold the layers of this network: {error}") from None
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise FileError(f"{path} holds weights that are not finite numbers")
    return Trained(network.eval(), manifest)


def write_trained(path: Path, network: QNetwork, describe: dict[str, object]) -> None:
    """Write a Q-network and its manifest, each whole or not at all.

    Raises:
        FileError: it cannot be written there.
    """
    described = {**describe, "layout": layout_hash()}
    write_described(path, network.state_dict(), described, DeepSPMManifest)


@cache
def shipped() -> Trained:
    """The Q-network that comes with this version.

    Raises:
        FileError: it is missing or damaged.
    """
    return read_trained(SHIPPED)
