"""The network on its way, chunk by chunk."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from policies.scorer.network import ScorerNetwork, summary
from policies.scorer.outputs import HEADS, OUTPUTS
from policies.training.checkpoint import Checkpoint
from policies.training.scans import Examples

BATCH = 64
PASSES = 2
#: Chunks of data between checkpoints: about a minute on one core.
CHECKPOINT_CHUNKS = 10
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
#: Weight of each output: a repair ends on "good", and "double" is what is hardest to see.
WEIGHTS = (3.0, 2.0, 1.0, 1.0, 1.0, 1.5, 0.5, 0.5, 0.5)
#: Share of the scans that each head is taught.
TAUGHT = 0.5
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
        # The same heads learn from the same scans in every pass.
        chosen = rng.uniform(size=(len(chunk.labels), HEADS)) < TAUGHT
        for _ in range(PASSES):
            for part in _batches(len(chunk.labels), rng):
                batch = as_tensors(chunk.part(part), self.device)
                # A mirrored scan is a scan of the mirrored surface with the mirrored tip.
                batch = _mirrored(batch) if rng.uniform() < 0.5 else batch
                loss = self._step(batch, torch.from_numpy(chosen[part]).to(self.device))
        self.done += 1
        if self.done % CHECKPOINT_CHUNKS == 0:
            self._keep.write(self.network, self._optimiser, self.done, self.elapsed_s)
        return loss

    def _step(self, batch: Batch, chosen: torch.Tensor) -> float:
        device = self.device.type
        with torch.autocast(device, torch.bfloat16, enabled=_half_is_fast(self.device)):
            logits, measures, lines = outputs(self.network, batch)
        loss = self._picture_loss(logits.float(), measures.float(), batch["labels"], chosen)
        loss = loss + self._line_loss(lines.float(), batch["row_labels"])
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self._optimiser.step()
        return loss.item()

    def _picture_loss(
        self,
        logits: torch.Tensor,
        measures: torch.Tensor,
        labels: torch.Tensor,
        chosen: torch.Tensor,
    ) -> torch.Tensor:
        classes = labels[:, None, :OUTPUTS].expand_as(logits)
        losses = binary_cross_entropy_with_logits(logits, classes, self._weights, reduction="none")
        taught = (losses.mean(dim=2) * chosen).sum() / chosen.sum().clamp(min=1)
        return taught + mse_loss(measures, labels[:, OUTPUTS:])

    def _line_loss(self, found: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        found, labels = found[:, BLIND_ROWS:], labels[:, BLIND_ROWS:]
        read = labels.isfinite()
        losses = binary_cross_entropy_with_logits(
            found, labels.nan_to_num(), self._weights, reduction="none"
        )
        return (losses * read).sum() / read.sum().clamp(min=1)


def outputs(
    network: ScorerNetwork, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Everything that the networks say.

    Returns:
        Logits of whole scans, shape (n, HEADS, OUTPUTS), their measures, shape (n, MEASURES), and
        logits after every row, shape (n, MOST_ROWS, OUTPUTS).
    """
    # Convolutions are a tenth faster on this layout.
    pictures, rows = (
        batch[name].contiguous(memory_format=torch.channels_last) for name in ("pictures", "rows")
    )
    seen = network.picture(pictures, batch["protrusions"], batch["numbers"])
    states = network.lines.states(rows, batch["row_numbers"])
    counts = batch["row_labels"][:, :, 0].isfinite().sum(dim=1)
    logits, measures = network.judged(seen, summary(states, counts))
    return logits, measures, network.lines.head(states)


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
