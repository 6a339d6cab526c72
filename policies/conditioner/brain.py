"""A trained policy on disk and at work: two small networks, and what they are familiar with.

safetensors beside a manifest, never pickle; the forward pass needs numpy alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from drivers.errors import FileError
from policies.conditioner.catalogue import CHOICES, Mask
from policies.conditioner.features import LAYOUT, Floats, layout_hash
from policies.scorer.weights import Hashed, read_described, write_described

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]

#: The layers of either network; the last one has no bend.
LAYERS = 3
NAMES = (
    *(f"{net}.{layer}.{what}" for net in ("actor", "critic") for layer in range(LAYERS)
      for what in ("weight", "bias")),
    "familiar.mean", "familiar.whitening", "chance.weight", "chance.bias",
)  # fmt: skip


class PolicyManifest(Hashed):
    """Where a policy comes from and what it expects.

    Attributes:
        layout: hash of features and catalogue that it was trained with.
        command: the command that trained it.
        seed: its seed.
        data: what it was trained on, in words.
        scorer: hash of the scorer's weights whose reports it was trained on.
        unfamiliar: distance from the training's observations above which one is unlike them.
        overdue: actions after which nearly all repairs of the training were over.
        scans_per_value: whole scans' time that one unit of the critic's value stands for.
        metrics: figures of the training run.
    """

    layout: str
    command: str
    seed: int
    data: str
    scorer: str
    unfamiliar: float
    overdue: int
    scans_per_value: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Thought:
    """What a policy thinks of an observation.

    Attributes:
        choice: index of the best choice allowed.
        expected_scans: cost of what is still to come, in the time of whole scans; wear and the
            penalties of the training for ends without a good tip are part of it.
        chance: chance that the next action makes the tip good, whichever it is.
        distance: how far the observation is from those of the training.
    """

    choice: int
    expected_scans: float
    chance: float
    distance: float


class Brain:
    """The networks of a policy."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]], manifest: PolicyManifest) -> None:
        self.manifest = manifest
        self._actor, self._critic = (
            [(tensors[f"{net}.{k}.weight"], tensors[f"{net}.{k}.bias"]) for k in range(LAYERS)]
            for net in ("actor", "critic")
        )
        self._chance = tensors["chance.weight"], tensors["chance.bias"]
        self._mean = tensors["familiar.mean"]
        self._whitening = tensors["familiar.whitening"]

    @classmethod
    def read(cls, path: Path) -> Brain:
        """Read a policy.

        Raises:
            FileError: a file is missing or damaged, the two do not belong together, or the policy
                was trained with another layout of features or choices.
        """
        tensors, manifest = read_described(path, PolicyManifest)
        if manifest.layout != layout_hash():
            raise FileError(
                f"{path} was trained with the layout {manifest.layout}, this version has "
                f"{layout_hash()}; train it again or use the version that it came with"
            )
        found = {name: value.numpy().astype(np.float32) for name, value in tensors.items()}
        _check_shapes(path, found)
        return cls(found, manifest)

    def think(self, observation: Floats, mask: Mask) -> Thought:
        """Choose among what ``mask`` allows, which must be something.

        The choice is drawn as it was in the training: who always takes what seems best repeats in
        vain what does not help. The same observation always draws the same.

        Args:
            observation: finite, shape (features,).
            mask: shape (choices,).
        """
        wanted = _last(self._actor, _hidden(self._actor, observation))
        rng = np.random.default_rng(zlib.crc32(observation.tobytes()))
        drawn = np.where(mask, wanted + rng.gumbel(size=wanted.size), -np.inf)
        hidden = _hidden(self._critic, observation)
        value = float(_last(self._critic, hidden)[0])
        weight, bias = self._chance
        return Thought(
            int(np.argmax(drawn)),
            max(-value * self.manifest.scans_per_value, 0.0),
            float(1 / (1 + np.exp(-(weight @ hidden + bias)[0]))),
            float(np.linalg.norm(self._whitening @ (observation - self._mean)))
            / float(np.sqrt(observation.size)),
        )


def write_brain(path: Path, tensors: dict[str, torch.Tensor], describe: dict[str, object]) -> None:
    """Write a policy and its manifest, each whole or not at all.

    Raises:
        FileError: it cannot be written there.
    """
    write_described(path, tensors, {**describe, "layout": layout_hash()}, PolicyManifest)


def _hidden(layers: Layers, seen: Floats) -> NDArray[np.float32]:
    """What goes into the last layer."""
    for weight, bias in layers[:-1]:
        seen = np.tanh(weight @ seen + bias)
    return seen


def _last(layers: Layers, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
    weight, bias = layers[-1]
    last: NDArray[np.float32] = weight @ hidden + bias
    return last


def _check_shapes(path: Path, tensors: dict[str, NDArray[np.float32]]) -> None:
    """Refuse what does not fit together, or is not a number."""
    if set(tensors) != set(NAMES):
        raise FileError(f"{path} does not hold the tensors of a policy, which are {NAMES}")
    for net, outputs in (("actor", len(CHOICES)), ("critic", 1)):
        width = len(LAYOUT)
        for layer in range(LAYERS):
            weight, bias = tensors[f"{net}.{layer}.weight"], tensors[f"{net}.{layer}.bias"]
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise FileError(f"{path}: layer {layer} of the {net} does not fit the one before")
            width = weight.shape[0]
        if width != outputs:
            raise FileError(f"{path}: the {net} has {width} outputs, expected {outputs}")
    count, wide = len(LAYOUT), tensors[f"critic.{LAYERS - 1}.weight"].shape[1]
    beside = {
        "familiar.mean": (count,), "familiar.whitening": (count, count),
        "chance.weight": (1, wide), "chance.bias": (1,),
    }  # fmt: skip
    for name, shape in beside.items():
        if tensors[name].shape != shape:
            raise FileError(f"{path}: {name} has shape {tensors[name].shape}, expected {shape}")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise FileError(f"{path} holds weights that are not finite numbers")
