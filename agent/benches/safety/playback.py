"""A scorer that plays back reports, in the place of one that looks at the scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from drivers.scan import Scan, ScanLine
from policies.report import TipReport
from policies.scorer.lines import Setting
from policies.scorer.weights import Manifest


class Playback:
    """Judges each scan by the next of the recorded reports, and begins anew after the last.

    A look reads the lines of a scan first and judges the whole of it then; both go by one report.

    Args:
        reports: of whole or broken-off scans, at least one.
        manifest: of the scorer that made them.
        at: which comes first.

    Raises:
        ValueError: there is no report.
    """

    def __init__(self, reports: Sequence[TipReport], manifest: Manifest, at: int = 0) -> None:
        if not reports:
            raise ValueError("there is no report to play back; record at least one look")
        self.manifest = manifest
        self._reports = reports
        self._at = at

    def judge(self, scan: Scan) -> TipReport:
        """The next report, as if it were of ``scan``."""
        report = self._current
        self._at += 1
        return replace(report, lines=scan.lines_done)

    def stream(self, setting: Setting) -> PlayedLines:
        """Judge a scan while it runs by the report that will be that of the whole."""
        return PlayedLines(self._current, setting.lines)

    @property
    def _current(self) -> TipReport:
        return self._reports[self._at % len(self._reports)]


class PlayedLines:
    """A report while its scan runs; where the recorded scan was broken off, so is this one."""

    def __init__(self, report: TipReport, wanted: int) -> None:
        self._report = report
        self._wanted = wanted
        self._lines = 0

    def read(self, line: ScanLine) -> TipReport:
        """The report, as if it were of the lines so far."""
        self._lines += 1
        return replace(self._report, lines=self._lines)

    def stop_early(self) -> bool:
        """Whether the recorded scan had been broken off by this line."""
        return self._report.lines <= self._lines < self._wanted
