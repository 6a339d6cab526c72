"""From a scan to an entry of the repair history."""

from __future__ import annotations

import numpy as np

from drivers.sample_map import Site, clear_site
from drivers.scan import Image, Scan
from policies.history import Looked
from policies.imprint import measure_imprint
from policies.judging import Judge
from policies.report import TipReport


def look(scan: Scan, scorer: Judge, finished_s: float, *, of_imprint: bool = False) -> Looked:
    """Judge ``scan`` and find where in it an action could land.

    Args:
        scan: whole or partial scan with a known frame.
        scorer: judges it.
        finished_s: instrument time at the end of the scan (s).
        of_imprint: whether its middle is where the last action happened.

    Raises:
        ValueError: the scan has no frame.
    """
    return looked(scan, scorer.judge(scan), clear_site(scan), finished_s, of_imprint=of_imprint)


def looked(
    scan: Scan, report: TipReport, site: Site | None, finished_s: float, *, of_imprint: bool
) -> Looked:
    """The entry for a scan that has been judged, and read for its best flat spot.

    Raises:
        ValueError: the scan has no frame.
    """
    frame = scan.frame
    if frame is None:
        raise ValueError("a scan without a frame cannot enter the history")
    imprint = measure_imprint(scan, frame.x_m, frame.y_m) if of_imprint else None
    return Looked(frame, report, site, finished_s, agreement(scan), of_imprint, imprint)


def agreement(scan: Scan) -> float | None:
    """Correlation of the way there with the way back, -1..1; None without both or without relief.

    Each line is levelled by itself, so that tilt and drift do not count as agreement.
    """
    if scan.backward is None:
        return None
    there, back = scan.forward, scan.backward
    done = np.isfinite(there).all(axis=1) & np.isfinite(back).all(axis=1)
    a, b = _levelled(there[done]), _levelled(back[done])
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else None


def _levelled(lines: Image) -> np.ndarray:
    flat = lines.astype(np.float64) / 1e-9
    flat -= flat.mean(axis=1, keepdims=True)
    x = np.arange(flat.shape[1]) - (flat.shape[1] - 1) / 2
    levelled: np.ndarray = flat - np.outer(flat @ x / (x @ x), x)
    return levelled
