"""From a scan to an entry of the repair history."""

from __future__ import annotations

from drivers.sample_map import clear_site
from drivers.scan import Scan
from policies.episode import Looked
from policies.scorer import Scorer


def look(scan: Scan, scorer: Scorer, finished_s: float) -> Looked:
    """Judge ``scan`` and find where in it an action could land.

    Args:
        scan: whole or partial scan with a known frame.
        scorer: judges it.
        finished_s: instrument time at the end of the scan (s).

    Raises:
        ValueError: the scan has no frame.
    """
    if scan.frame is None:
        raise ValueError("a scan without a frame cannot enter the history")
    return Looked(scan.frame, scorer.judge(scan), clear_site(scan), finished_s)
