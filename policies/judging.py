"""What judges scans, as far as a repair needs it."""

from __future__ import annotations

from typing import Protocol

from drivers.scan import Scan, ScanLine
from policies.report import TipReport
from policies.scorer.lines import Setting
from policies.scorer.weights import Manifest


class Reading(Protocol):
    """What the lines of one scan say while it runs."""

    def read(self, line: ScanLine) -> TipReport | None:
        """Read one more line; the newest report, None before the first."""
        ...

    def stop_early(self) -> bool:
        """Whether the rest of the scan is not worth its time."""
        ...


class Judge(Protocol):
    """Says what a scan tells about the tip; the scorer is one.

    Attributes:
        manifest: what it was made of; it stands in the journal.
    """

    manifest: Manifest

    def judge(self, scan: Scan) -> TipReport:
        """Judge one scan; one that cannot be judged is reported so."""
        ...

    def stream(self, setting: Setting) -> Reading:
        """Judge a scan while it runs."""
        ...
