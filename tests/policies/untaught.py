"""Networks with random weights, and pictures with a trouble that anybody can see."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from policies.conditioner.rules.deepspm_network import (
    QNetwork,
    Trained,
    read_trained,
    write_trained,
)
from policies.scorer import Scorer
from policies.scorer.familiarity import Familiarity, statistics
from policies.scorer.network import ScorerNetwork
from policies.scorer.preprocess import CHANNELS, SIDE
from policies.scorer.weights import write_weights

SESSIONS = 5


def untaught_scorer(folder: Path, seed: int = 0) -> Scorer:
    """A scorer that has learned nothing."""
    torch.manual_seed(seed)
    network = ScorerNetwork()
    known = Familiarity.of(
        statistics(torch.rand(64, CHANNELS, SIDE, SIDE)), torch.zeros(64, dtype=torch.long)
    )
    path = folder / f"untaught{seed}.safetensors"
    describe = {
        "command": "none", "seed": seed, "data": "none", "presets": {}, "temperature": 1.0,
        "line_temperature": 1.0, "alarm": 0.5, "stop": 0.1, "metrics": {},
        "flags": dict.fromkeys(("good", "changed", "noisy", "ringing", "lagging"), 0.5),
    }  # fmt: skip
    write_weights(path, {**network.state_dict(), **known.tensors()}, describe)
    return Scorer.load(path)


def untaught_deepspm(folder: Path, seed: int = 0) -> Trained:
    """A Q-network that has learned nothing."""
    torch.manual_seed(seed)
    path = folder / f"deepspm{seed}.safetensors"
    describe = {"command": "none", "seed": seed, "data": "none", "curve": [], "metrics": {}}
    write_trained(path, QNetwork(), describe)
    return read_trained(path)


def picture(number: int, *, noisy: bool) -> np.ndarray:
    """Grey values of some relief, with or without noise from line to line."""
    rng = np.random.default_rng(number)
    z = ndimage.gaussian_filter(rng.normal(size=(48, 64)), 3)
    z = z / z.std() + (1.0 if noisy else 0.1) * rng.normal(size=(48, 1))
    return np.clip(128 + 30 * z, 0, 255).astype(np.uint8)


def write_pictures(folder: Path, count: int = 40) -> list[dict[str, object]]:
    """Write pictures and ``labels.csv``; every third is noisy, each session has both kinds."""
    rows: list[dict[str, object]] = []
    for number in range(count):
        noisy = number % 3 == 0
        Image.fromarray(picture(number, noisy=noisy)).save(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "noisy": float(noisy), "session": number // 8})
    write_table(folder / "labels.csv", rows)
    return rows


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
