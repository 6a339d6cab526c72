"""The real scorer for many trials at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from drivers.scan import Scan
from policies.report import TipReport
from policies.scorer import Scorer
from policies.scorer.lines import read_rows
from policies.trials.trial import Question


def answer(scorer: Scorer, questions: Sequence[Question]) -> list[TipReport]:
    """A report for each question; those of a kind are read together."""
    running = [one.scan for one in questions if one.by_lines]
    ended = [one.scan for one in questions if not one.by_lines]
    by_lines = iter(read_lines(scorer, running))
    judged = iter(scorer.judge_all(ended))
    return [next(by_lines if one.by_lines else judged) for one in questions]


def read_lines(scorer: Scorer, scans: Sequence[Scan]) -> list[TipReport]:
    """What a stream says after the last line of each scan; one line at least."""
    if not scans:
        return []
    rows = [read_rows(scan) for scan in scans]
    most = max(len(one) for one in rows)
    padded = [one.padded(most) for one in rows]
    pictures = torch.from_numpy(np.stack([one.pictures for one in padded]))
    numbers = torch.from_numpy(np.stack([one.numbers for one in padded]))
    with torch.inference_mode():
        logits = scorer.network.lines(pictures, numbers)
    last = torch.stack([one[len(read) - 1] for one, read in zip(logits, rows, strict=True)])
    found = torch.sigmoid(last / scorer.manifest.line_temperature).tolist()
    return [
        TipReport.of_outputs(one, scan.lines_done) for one, scan in zip(found, scans, strict=True)
    ]
