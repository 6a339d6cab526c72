"""The network on its way, chunk by chunk."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from policies.scorer.network import ScorerNetwork
from policies.scorer.outputs import OUTPUTS
from policies.training.checkpoint import Checkpoint
from policies.training.scans import Examples

BATCH = 64
PASSES = 4
#: Passes in which the lines are read as well: they take as long as the pictures, and learn faster.
LINE_PASSES = 1
#: Chunks of data between checkpoints: about a minute on one core.
CHECKPOINT_CHUNKS = 10
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
#: Weight of each output: a repair ends on "good", and "double" is what is hardest to see.
WEIGHTS = (3.0, 2.0, 1.0, 1.0, 1.0, 1.0)
#: Rows at the beginning of a scan from which nothing can be told yet.
BLIND_ROWS = 2

Batch = dict[str, torch.Tensor]


class Fit:
    """Network and optimiser; goes on where its checkpoint stands."""

    def __init__(self, seed: int, chunks: int, keep: Checkpoint) -> None:
        torch.manual_seed(seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = ScorerNetwork().to(self.device)
        self._seed, self._chunks, self._keep = seed, chunks, keep
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        self._weights = torch.tensor(WEIGHTS, device=self.device)
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
        for index in range(PASSES):
            for part in _batches(len(chunk.labels), rng):
                batch = as_tensors(chunk.part(part), self.device)
                # A mirrored scan is a scan of the mirrored surface with the mirrored tip.
                loss = self._step(_mirrored(batch) if rng.uniform() < 0.5 else batch, index)
        self.done += 1
        if self.done % CHECKPOINT_CHUNKS == 0:
            self._keep.write(self.network, self._optimiser, self.done, self.elapsed_s)
        return loss

    def _step(self, batch: Batch, index: int) -> float:
        device = self.device.type
        with torch.autocast(device, torch.bfloat16, enabled=_half_is_fast(self.device)):
            loss = self._picture_loss(batch)
            if index < LINE_PASSES:
                loss = loss + self._line_loss(batch)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self._optimiser.step()
        return loss.item()

    def _picture_loss(self, batch: Batch) -> torch.Tensor:
        found = picture_outputs(self.network, batch).float()
        labels = batch["labels"]
        classes = binary_cross_entropy_with_logits(
            found[:, :OUTPUTS], labels[:, :OUTPUTS], self._weights
        )
        return classes + mse_loss(found[:, OUTPUTS:], labels[:, OUTPUTS:])

    def _line_loss(self, batch: Batch) -> torch.Tensor:
        found = line_outputs(self.network, batch)[:, BLIND_ROWS:].float()
        labels = batch["row_labels"][:, BLIND_ROWS:]
        read = labels.isfinite()
        losses = binary_cross_entropy_with_logits(
            found, labels.nan_to_num(), self._weights, reduction="none"
        )
        return (losses * read).sum() / read.sum().clamp(min=1)


def picture_outputs(network: ScorerNetwork, batch: Batch) -> torch.Tensor:
    """Logits and measures of whole scans, shape (n, OUTPUTS + MEASURES)."""
    # Convolutions are a tenth faster on this layout.
    pictures = batch["pictures"].contiguous(memory_format=torch.channels_last)
    found: torch.Tensor = network.picture(pictures, batch["protrusions"], batch["numbers"])
    return found


def line_outputs(network: ScorerNetwork, batch: Batch) -> torch.Tensor:
    """Logits after every row, shape (n, MOST_ROWS, OUTPUTS)."""
    rows = batch["rows"].contiguous(memory_format=torch.channels_last)
    found: torch.Tensor = network.lines(rows, batch["row_numbers"])
    return found


def as_tensors(examples: Examples, device: torch.device) -> Batch:
    """Examples in single precision where the network is."""
    names = (
        "pictures", "protrusions", "numbers", "labels", "rows", "row_numbers", "row_labels",
    )  # fmt: skip
    arrays = {name: getattr(examples, name) for name in names}
    return {
        name: torch.from_numpy(array).to(device, torch.float32) for name, array in arrays.items()
    }


def _mirrored(batch: Batch) -> Batch:
    images = ("pictures", "protrusions", "rows")
    return {name: value.flip(3) if name in images else value for name, value in batch.items()}


def _batches(count: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    order = rng.permutation(count)
    for start in range(0, count - count % BATCH or count, BATCH):
        yield order[start : start + BATCH]


def _learning_rate(share: float) -> float:
    """Linear over the first twentieth of the training, then half a cosine down to nothing."""
    warm = min(share / 0.05, 1.0)
    return LEARNING_RATE * max(warm, 0.1) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def _half_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 doubles the speed here; processors without AVX-512 emulate it slowly."""
    return device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512"
