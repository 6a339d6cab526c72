"""Trains the scorer: one command, one seed, the same weights."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn.functional import binary_cross_entropy_with_logits

from policies.report import TipState
from policies.scorer.network import ScorerNetwork
from policies.scorer.weights import Manifest, write_weights
from policies.training.scans import Examples, generate
from sim.preset import load_preset

PRESET = "au111"
BATCH = 64
HELD_OUT = 0.1
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3


def train(seed: int, scans: int, epochs: int, out: Path) -> Manifest:
    """Render ``scans`` scans, train, calibrate on held-out worlds, and write the weights.

    Args:
        seed: seed of data, initial weights and batches.
        scans: number of simulated scans; each in a world of its own; a tenth is held out.
        epochs: passes over the scans.
        out: weights file; the manifest goes beside it.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    preset = load_preset(PRESET)
    with _progress() as progress:
        examples = _render(seed, scans, progress)
        held = max(1, int(scans * HELD_OUT))
        started = time.monotonic()
        network = _fit(seed, _part(examples, slice(0, -held)), epochs, device, progress)
        seconds = time.monotonic() - started
    test = _part(examples, slice(-held, None))
    logits = _logits(network, test, device)
    labels = torch.from_numpy(test.labels)
    temperature = _temperature(logits, labels)
    metrics = _metrics(torch.sigmoid(logits / temperature).numpy(), test.labels)
    return write_weights(
        out,
        network.state_dict(),
        {
            "command": f"tipsmith train scorer --seed {seed} --scans {scans} --epochs {epochs}",
            "seed": seed,
            "data": f"{scans} simulated scans, {held} of them held out, from preset {PRESET}",
            "preset": f"{PRESET} {preset.hash}",
            "temperature": temperature,
            "metrics": {**metrics, "training_s": round(seconds, 1)},
        },
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _render(seed: int, scans: int, progress: Progress) -> Examples:
    bar = progress.add_task("rendering scans", total=scans)
    chunks = []
    for chunk in generate(seed, scans, PRESET, workers=os.cpu_count() or 1):
        chunks.append(chunk)
        progress.advance(bar, len(chunk.labels))
    return Examples(
        np.concatenate([chunk.pictures for chunk in chunks]),
        np.concatenate([chunk.numbers for chunk in chunks]),
        np.concatenate([chunk.labels for chunk in chunks]),
    )


def _part(examples: Examples, part: slice) -> Examples:
    return Examples(examples.pictures[part], examples.numbers[part], examples.labels[part])


def _fit(
    seed: int, examples: Examples, epochs: int, device: torch.device, progress: Progress
) -> ScorerNetwork:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ScorerNetwork().to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = -(-len(examples.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, epochs * batches)
    bar = progress.add_task("training", total=epochs * batches)
    for _ in range(epochs):
        for pictures, numbers, labels in _batches(examples, rng, device):
            with torch.autocast(device.type, torch.bfloat16, enabled=_half_is_fast(device)):
                logits = network(pictures, numbers)
            loss = binary_cross_entropy_with_logits(logits.float(), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            progress.update(bar, advance=1, description=f"training, loss {loss.item():.3f}")
    return network.eval()


def _half_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 doubles the speed here; processors without AVX-512 emulate it slowly."""
    return device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512"


def _batches(
    examples: Examples, rng: np.random.Generator, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    order = rng.permutation(len(examples.labels))
    for start in range(0, len(order), BATCH):
        chosen = np.sort(order[start : start + BATCH])
        pictures = torch.from_numpy(examples.pictures[chosen]).to(device, torch.float32)
        if rng.uniform() < 0.5:
            # A mirrored scan is a scan of the mirrored surface with the mirrored tip.
            pictures = pictures.flip(3)
        yield (
            pictures,
            torch.from_numpy(examples.numbers[chosen]).to(device),
            torch.from_numpy(examples.labels[chosen]).to(device),
        )


def _logits(network: ScorerNetwork, examples: Examples, device: torch.device) -> torch.Tensor:
    rows = []
    with torch.inference_mode():
        for start in range(0, len(examples.labels), BATCH):
            part = _part(examples, slice(start, start + BATCH))
            pictures = torch.from_numpy(part.pictures).to(device, torch.float32)
            rows.append(network(pictures, torch.from_numpy(part.numbers).to(device)).cpu())
    return torch.cat(rows)


def _temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The one number that makes the held-out logits best calibrated (Guo et al., ICML 2017)."""
    candidates = torch.linspace(0.5, 3.0, 101)
    losses = [binary_cross_entropy_with_logits(logits / value, labels) for value in candidates]
    return float(candidates[int(torch.stack(losses).argmin())])


def _metrics(probabilities: NDArray[np.float32], labels: NDArray[np.float32]) -> dict[str, float]:
    names = ["good", *(state.value for state in TipState)]
    metrics = {"share_good": round(float(labels[:, 0].mean()), 4)}
    for column, name in enumerate(names):
        positive = labels[:, column] > 0.5
        if positive.any() and not positive.all():
            metrics[f"auc_{name}"] = round(_auc(probabilities[:, column], positive), 4)
    return metrics


def _auc(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores higher than a negative: area under the ROC curve."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    count = int(positive.sum())
    pairs = count * (len(scores) - count)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / pairs)
