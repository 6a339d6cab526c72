"""Judges a scan while it runs: a report after every line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from drivers.scan import ScanLine
from policies.report import TipReport, TipState
from policies.scorer.lines import LineReader, Setting

#: Rows that are read before a scan may be called hopeless.
EARLIEST_ROW = 6


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How the lines are read, all fixed on simulated scans held out of the training.

    Attributes:
        temperature: calibration; logits are divided by it.
        alarm: probability of a change from which an alarm is raised.
        stop: probability of a good tip below which the scan is hopeless.
    """

    temperature: float
    alarm: float
    stop: float


class Step(Protocol):
    """Reads the rows of one scan in their order, and remembers."""

    def read(self, picture: NDArray[np.float32], numbers: NDArray[np.float32]) -> torch.Tensor:
        """Logits after one more row, as ``LineStep`` reads it."""
        ...


class LineStream:
    """What the lines of one scan say so far."""

    def __init__(self, step: Step, thresholds: Thresholds, setting: Setting) -> None:
        self._step, self._thresholds = step, thresholds
        self._reader = LineReader(setting)
        self._together = setting.lines_per_row
        self._lines = self._rows = 0
        self._report: TipReport | None = None
        #: Index of the line from which on the tip seems to be another, or None.
        self.changed_line: int | None = None

    @property
    def report(self) -> TipReport | None:
        """The newest report, None before the first."""
        return self._report

    def read(self, line: ScanLine) -> TipReport | None:
        """Read one more line; lines with gaps are skipped.

        Returns:
            The newest report. Where several lines are read together it stays until the next few
            are there; None before the first.
        """
        self._lines += 1
        if not np.isfinite(line.forward_m).all():
            return self._report
        backward = None if line.backward_m is None else line.backward_m[None]
        rows = self._reader.read(line.forward_m[None], backward)
        if len(rows):
            self._rows += 1
            logits = self._step.read(rows.pictures[:, 0], rows.numbers[0])
            self._judge(torch.sigmoid(logits / self._thresholds.temperature).tolist())
        return self._report

    def _judge(self, found: list[float]) -> None:
        self._report = TipReport.of_outputs(found, self._lines)
        changed = self._report.states[TipState.CHANGED]
        if self.changed_line is None and changed >= self._thresholds.alarm:
            self.changed_line = self._lines - self._together

    def stop_early(self) -> bool:
        """Whether the tip is so bad that the rest of the scan is not worth its time.

        One scan in a hundred with a good tip is stopped all the same, and none before
        ``EARLIEST_ROW`` rows.
        """
        return (
            self._report is not None
            and self._rows > EARLIEST_ROW
            and self._report.quality < self._thresholds.stop
        )
