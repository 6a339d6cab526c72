"""The scorer on simulated scans of worlds that its training was far from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from drivers import benchmark
from drivers.benchmark import Row
from policies.bench import failures, groups
from policies.bench.figures import calibration_error
from policies.scorer import Scorer
from policies.scorer.outputs import NAMES, OUTPUTS
from policies.training.examine import CHANGED, judged
from policies.training.fit import BLIND_ROWS
from policies.training.scans import Examples, generate
from sim.benches.realism.classifier import auc

#: Far from the seeds that anybody trains with.
SEED = 900_000
RESAMPLES = 200
ON = groups.ON
MACRO, CALIBRATION, DELAY, FALSE = ">= 0.97", "<= 0.05", "<= 4", "<= 1"

Found = NDArray[np.float32]


def rows(scorer: Scorer, chunks: int, plot: Path | None) -> list[Row]:
    """Figures of ``chunks`` chunks of scans; draws what is judged wrongly into ``plot``."""
    examples = Examples.joined(list(generate(SEED, range(chunks), workers=1)))
    pictures, lines = _probabilities(scorer, examples)
    if plot is not None:
        failures.draw_simulated(plot, examples, pictures)
    labels = examples.labels[:, :OUTPUTS] > 0.5
    note = f"{len(labels)} scans"
    error = np.mean([calibration_error(p, y) for p, y in zip(pictures.T, labels.T, strict=True)])
    return [
        _macro(pictures, labels, note),
        *(
            Row(f"{ON}AUC, {name}", auc(pictures[:, k], labels[:, k]))
            for k, name in enumerate(NAMES)
            if labels[:, k].any()
        ),
        benchmark.judged(
            f"{ON}expected calibration error, mean of good and states",
            float(error),
            "",
            CALIBRATION,
            note=note,
        ),
        *_alarms(scorer.manifest.alarm, lines[:, :, CHANGED], examples.row_labels),
        *groups.rows(examples, pictures),
    ]


def _probabilities(scorer: Scorer, examples: Examples) -> tuple[Found, Found]:
    pictures, lines = judged(scorer.network, examples)
    own = scorer.manifest
    after = torch.sigmoid(lines / own.line_temperature)
    return torch.sigmoid(pictures / own.temperature).numpy(), after.numpy()


def _macro(pictures: Found, labels: NDArray[np.bool_], note: str) -> Row:
    """Mean AUC over the states; every scan has a world of its own, so scans are drawn again."""
    rng, count = np.random.default_rng(0), len(labels)
    picks = [rng.integers(count, size=count) for _ in range(RESAMPLES)]
    draws = [groups.macro(pictures[pick], labels[pick]) for pick in picks]
    low, high = (float(end) for end in np.percentile(draws, (2.5, 97.5)))
    name = f"{ON}macro AUC over states"
    note = f"95 %: {low:.3f} to {high:.3f}; {note}"
    value = groups.macro(pictures, labels)
    return benchmark.judged(name, value, "", MACRO, (low, high), note)


def _alarms(alarm: float, changed: Found, row_labels: NDArray[np.float16]) -> list[Row]:
    """How soon and how often the lines raise an alarm."""
    read = np.isfinite(row_labels[:, :, 0])
    read[:, :BLIND_ROWS] = False
    truly = (row_labels[:, :, CHANGED] > 0.5) & read
    alarmed = (changed >= alarm) & read
    steady = ~(row_labels[:, :, CHANGED] > 0.5).any(axis=1)
    delays = [
        float(np.argmax(raised[np.argmax(after) :])) if (raised & after).any() else np.inf
        for raised, after in zip(alarmed[~steady], truly[~steady], strict=True)
        if after.any()
    ]
    missed = float(np.mean(np.isinf(delays)))
    median = float(np.median(delays))
    false = float(alarmed[steady].any(axis=1).mean() * 100)
    title = f"{ON}rows from a change of the tip to the alarm, median"
    note = f"{len(delays)} changes, {missed:.0%} without an alarm; a row is one line, or two"
    heard = benchmark.judged(title, median, "rows", DELAY, note=note)
    if np.isinf(median):
        heard = Row(title, None, "rows", DELAY, False, note)
    return [
        heard,
        benchmark.judged(
            f"{ON}false alarms", false, "per 100 scans", FALSE, note=f"{steady.sum()} scans"
        ),
    ]
