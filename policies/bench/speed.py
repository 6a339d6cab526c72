"""How long a line and a whole scan take on one core."""

from __future__ import annotations

import time

import numpy as np

from drivers.benchmark import Row, judged
from drivers.scan import Frame, Scan, ScanLine
from policies.scorer import Scorer
from policies.scorer.lines import Setting
from policies.threads import single_thread

PIXELS = 256
LINE_TARGET, SCAN_TARGET = "<= 2", "<= 15"


def rows(scorer: Scorer, scans: int) -> list[Row]:
    """Times over so many scans; they show noise, which takes as long as anything."""
    with single_thread():
        lines, wholes = _timed(scorer, scans)
    return [
        judged("speed, one core: a line, p99", float(np.percentile(lines, 99)), "ms", LINE_TARGET),
        judged(
            f"speed, one core: a whole scan of {PIXELS} x {PIXELS}, p50",
            float(np.median(wholes)),
            "ms",
            SCAN_TARGET,
        ),
    ]


def _timed(scorer: Scorer, scans: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(0)
    frame = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=24e-9)
    lines, wholes = [], []
    # The first scan warms up and does not count.
    for _ in range(scans + 1):
        z = rng.normal(0, 20e-12, (2, PIXELS, PIXELS)).astype(np.float32)
        scan = Scan(forward=z[0], backward=z[1], frame=frame)
        started = time.perf_counter()
        scorer.judge(scan)
        wholes.append((time.perf_counter() - started) * 1e3)
        stream = scorer.stream(Setting.of(scan))
        for index in range(PIXELS):
            started = time.perf_counter()
            stream.read(ScanLine(index, index, z[0, index], z[1, index], 0.0))
            lines.append((time.perf_counter() - started) * 1e3)
    return lines[PIXELS:], wholes[1:]
