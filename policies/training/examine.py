"""What held-out scans say about a trained network: calibration, alarms, figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from policies.report import TipState
from policies.scorer.familiarity import Familiarity, statistics
from policies.scorer.flagging import thresholds
from policies.scorer.network import ScorerNetwork
from policies.scorer.outputs import NAMES, OUTPUTS
from policies.scorer.stream import EARLIEST_ROW
from policies.training.fit import BATCH, BLIND_ROWS, as_tensors, outputs
from policies.training.scans import Examples
from sim.benches.realism.classifier import auc

CHANGED = NAMES.index(TipState.CHANGED)
#: Share of the scans without a change in which the lines may raise an alarm all the same.
FALSE_ALARMS = 0.007
#: Share of the scans with a good tip that may be stopped early.
STOPPED_GOOD = 0.01


@dataclass(frozen=True, slots=True)
class Examined:
    """How to read what a network puts out, and how good it is.

    Attributes:
        temperature: of the judgements of whole scans.
        line_temperature: of those after every row.
        alarm: probability of a change from which an alarm is raised.
        stop: probability of a good tip below which a scan is hopeless.
        flags: probabilities from which a whole scan is flagged, see ``flagging.thresholds``.
        metrics: figures by name.
        familiarity: what familiar scans are like.
    """

    temperature: float
    line_temperature: float
    alarm: float
    stop: float
    flags: dict[str, float]
    metrics: dict[str, float]
    familiarity: Familiarity


def examine(network: ScorerNetwork, test: Examples) -> Examined:
    """Calibrate ``network`` on held-out examples and measure it on them."""
    pictures, lines = judged(network, test)
    labels = torch.from_numpy(test.labels[:, :OUTPUTS])
    rows = torch.from_numpy(test.row_labels).float()
    temperature = _temperature(pictures, labels)
    read = rows.isfinite()
    read[:, :BLIND_ROWS] = False
    line_temperature = _temperature(lines[read], rows[read])
    after = torch.sigmoid(lines / line_temperature)
    changed = after[:, :, CHANGED].masked_fill(~read[:, :, 0], 0.0)
    steady = changed[rows[:, :, CHANGED].nan_to_num().amax(dim=1) == 0]
    alarm = float(torch.quantile(steady.amax(dim=1), 1 - FALSE_ALARMS))
    good = after[:, :, 0].masked_fill(~read[:, :, 0], 1.0)[:, EARLIEST_ROW:]
    stop = float(torch.quantile(good.amin(dim=1)[labels[:, 0] > 0.5], STOPPED_GOOD))
    found = torch.sigmoid(pictures / temperature)
    flags = thresholds(found.numpy(), labels.numpy())
    metrics = _metrics(found.numpy(), labels.numpy())
    last = (read[:, :, 0].sum(dim=1) + BLIND_ROWS - 1).clamp(max=after.shape[1] - 1)
    final = after[torch.arange(len(after)), last]
    metrics |= {
        f"lines_{name}": value for name, value in _metrics(final.numpy(), labels.numpy()).items()
    }
    known = Familiarity.of(
        statistics(torch.from_numpy(test.pictures).float()), torch.from_numpy(test.surfaces)
    )
    return Examined(temperature, line_temperature, alarm, stop, flags, metrics, known)


def judged(network: ScorerNetwork, examples: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of whole scans, shape (n, OUTPUTS), and after every row, (n, MOST_ROWS, OUTPUTS)."""
    device, pictures, lines = next(network.parameters()).device, [], []
    with torch.inference_mode():
        for start in range(0, len(examples.labels), BATCH):
            batch = as_tensors(examples.part(slice(start, start + BATCH)), device)
            logits, _, after = outputs(network, batch)
            pictures.append(logits.mean(dim=1).cpu())
            lines.append(after.cpu())
    return torch.cat(pictures), torch.cat(lines)


def _temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The one number that makes the held-out logits best calibrated (Guo et al., ICML 2017)."""
    candidates = torch.linspace(0.5, 3.0, 101)
    losses = [binary_cross_entropy_with_logits(logits / value, labels) for value in candidates]
    return float(candidates[int(torch.stack(losses).argmin())])


def _metrics(probabilities: NDArray[np.float32], labels: NDArray[np.float32]) -> dict[str, float]:
    metrics = {"share_good": round(float(labels[:, 0].mean()), 4)}
    for column, name in enumerate(NAMES):
        positive = labels[:, column] > 0.5
        if positive.any() and not positive.all():
            metrics[f"auc_{name}"] = round(auc(probabilities[:, column], positive), 4)
    return metrics
