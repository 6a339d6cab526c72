"""Trains the scorer: one command, one seed, the same weights."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from drivers.errors import FileError
from policies.report import TipState
from policies.scorer.familiarity import Familiarity, statistics
from policies.scorer.network import OUTPUTS, ScorerNetwork
from policies.scorer.weights import FAMILIAR, Manifest, write_weights
from policies.training.checkpoint import Checkpoint
from policies.training.reporting import reporting
from policies.training.scans import CHUNK, Examples, generate
from sim.presets.preset import load_preset

PRESET = "au111"
BATCH = 64
HELD_OUT = 4000
PASSES = 3
#: Chunks of data between checkpoints: about a minute on one core.
CHECKPOINT_CHUNKS = 10
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
#: Weight of each output: a repair ends on "good", and "double" is what is hardest to see.
WEIGHTS = (3.0, 2.0, 1.0, 1.0, 1.0, 1.0)


def train(seed: int, scans: int, out: Path) -> Manifest:
    """Render scans, train on them as they come, calibrate on held-out ones, write the weights.

    Every scan has a tip and a world of its own, is used ``PASSES`` times, mirrored at random, and
    then forgotten: nothing can be learned by heart.

    Args:
        seed: seed of data, initial weights and batches.
        scans: number of simulated scans; another tenth of that, at most ``HELD_OUT``, is held out.
        out: weights file; the manifest goes beside it.

    Raises:
        FileError: the weights could not be written there; found out before the training.
    """
    _check_writable(out.parent)
    preset = load_preset(PRESET)
    held, taught = math.ceil(min(HELD_OUT, scans / 10) / CHUNK), math.ceil(scans / CHUNK)
    # One core trains and the others render: more threads would only wait for each other.
    torch.set_num_threads(1)
    workers = max((os.cpu_count() or 1) - 1, 1)
    command = f"tipsmith train scorer --seed {seed} --scans {scans}"
    checkpoint = Checkpoint(out.with_suffix(".checkpoint"), f"{command}, {PRESET} {preset.hash}")
    fit = _Fit(seed, taught, checkpoint)
    chunks = generate(seed, range(held + fit.done, held + taught), PRESET, workers)
    with reporting("training", taught * CHUNK, fit.done * CHUNK) as report:
        for chunk in chunks:
            loss = fit.learn(chunk)
            report(len(chunk.labels), f"loss {loss:.3f}")
    found = _examined(fit.network.eval(), _gather(generate(seed, range(held), PRESET, workers)))
    tensors = {**fit.network.state_dict(), **dict(zip(FAMILIAR, found.familiarity, strict=True))}
    manifest = write_weights(
        out,
        tensors,
        {
            "command": command,
            "seed": seed,
            "data": f"{taught * CHUNK} simulated scans, {held * CHUNK} held out, preset {PRESET}",
            "preset": f"{PRESET} {preset.hash}",
            "temperature": found.temperature,
            "metrics": {**found.metrics, "training_s": round(fit.elapsed_s, 1)},
        },
    )
    checkpoint.remove()
    return manifest


@dataclass(frozen=True, slots=True)
class _Examined:
    """What held-out scans say about a trained network."""

    temperature: float
    metrics: dict[str, float]
    familiarity: tuple[torch.Tensor, torch.Tensor]


def _examined(network: ScorerNetwork, test: Examples) -> _Examined:
    logits = _logits(network, test)
    labels = torch.from_numpy(test.labels[:, :OUTPUTS])
    temperature = _temperature(logits, labels)
    metrics = _metrics(torch.sigmoid(logits / temperature).numpy(), labels.numpy())
    known = Familiarity.of(statistics(torch.from_numpy(test.pictures).float()))
    return _Examined(temperature, metrics, (known.mean, known.precision))


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(f"cannot write weights to {folder}: {error.strerror}") from None


def _gather(chunks: Iterator[Examples]) -> Examples:
    """All the chunks as one."""
    taken = list(chunks)
    return Examples(
        np.concatenate([chunk.pictures for chunk in taken]),
        np.concatenate([chunk.protrusions for chunk in taken]),
        np.concatenate([chunk.numbers for chunk in taken]),
        np.concatenate([chunk.labels for chunk in taken]),
    )


def _part(examples: Examples, part: slice | NDArray[np.intp]) -> Examples:
    return Examples(
        examples.pictures[part],
        examples.protrusions[part],
        examples.numbers[part],
        examples.labels[part],
    )


class _Fit:
    """The network on its way, chunk by chunk; goes on where its checkpoint stands."""

    def __init__(self, seed: int, chunks: int, keep: Checkpoint) -> None:
        torch.manual_seed(seed)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = ScorerNetwork().to(device)
        self._seed, self._chunks, self._device, self._keep = seed, chunks, device, keep
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        self._weights = torch.tensor(WEIGHTS, device=device)
        self.done, self._spent_s = keep.restore(self.network, self._optimiser)
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Time spent so far, also before a restart (s)."""
        return self._spent_s + time.monotonic() - self._started

    def learn(self, chunk: Examples) -> float:
        """Learn from one more chunk; returns the last loss."""
        # Keyed by the chunk, so that a restarted training draws what the unbroken one would.
        rng = np.random.default_rng([self._seed, self.done])
        self._optimiser.param_groups[0]["lr"] = _learning_rate(self.done / self._chunks)
        loss = 0.0
        for *inputs, labels in _batches(chunk, rng, self._device):
            loss = self._step(inputs, labels)
        self.done += 1
        if self.done % CHECKPOINT_CHUNKS == 0:
            self._keep.write(self.network, self._optimiser, self.done, self.elapsed_s)
        return loss

    def _step(self, inputs: list[torch.Tensor], labels: torch.Tensor) -> float:
        device = self._device.type
        with torch.autocast(device, torch.bfloat16, enabled=_half_is_fast(self._device)):
            found = self.network(*inputs).float()
        classes = binary_cross_entropy_with_logits(
            found[:, :OUTPUTS], labels[:, :OUTPUTS], self._weights
        )
        loss = classes + mse_loss(found[:, OUTPUTS:], labels[:, OUTPUTS:])
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return loss.item()


def _learning_rate(share: float) -> float:
    """Linear over the first twentieth of the training, then half a cosine down to nothing."""
    warm = min(share / 0.05, 1.0)
    return LEARNING_RATE * max(warm, 0.1) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def _half_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 doubles the speed here; processors without AVX-512 emulate it slowly."""
    return device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512"


def _batches(
    examples: Examples, rng: np.random.Generator, device: torch.device
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Pictures, protrusions, numbers and labels of one batch after the other."""
    count = len(examples.labels)
    for _ in range(PASSES):
        order = rng.permutation(count)
        for start in range(0, count - count % BATCH or count, BATCH):
            batch = _tensors(_part(examples, order[start : start + BATCH]), device)
            # A mirrored scan is a scan of the mirrored surface with the mirrored tip.
            mirrored = rng.uniform() < 0.5
            pictures, protrusions = (images.flip(3) if mirrored else images for images in batch[:2])
            # Convolutions are a tenth faster on this layout.
            yield pictures.contiguous(memory_format=torch.channels_last), protrusions, *batch[2:]


def _tensors(examples: Examples, device: torch.device) -> tuple[torch.Tensor, ...]:
    arrays = examples.pictures, examples.protrusions, examples.numbers, examples.labels
    return tuple(torch.from_numpy(array).to(device, torch.float32) for array in arrays)


def _logits(network: ScorerNetwork, examples: Examples) -> torch.Tensor:
    device, rows = next(network.parameters()).device, []
    with torch.inference_mode():
        for start in range(0, len(examples.labels), BATCH):
            *inputs, _ = _tensors(_part(examples, slice(start, start + BATCH)), device)
            rows.append(network(*inputs)[:, :OUTPUTS].cpu())
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
