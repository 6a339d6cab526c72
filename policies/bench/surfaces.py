"""The shipped scorer on a few real scans of other surfaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.benchmark import Row, judged
from drivers.scan import Frame, Scan
from policies.scorer import Scorer
from policies.scorer.assessable import LARGEST_RELIEF_M
from policies.scorer.flagging import flags
from sim.benches.realism.real import Tile, tiles

GOOD, DEGRADED = "good", ("double_or_multi", "unstable_streaks", "tip_change_midscan", "noisy")
KEPT, FLAGGED = ">= 0.9", ">= 0.6"
NM = 1e-9


def rows(scorer: Scorer, data: Path) -> list[Row]:
    """Good scans that are not flagged, and degraded ones that are.

    Raises:
        FileError: the set is not there or cannot be read.
    """
    every = tiles(data, "")
    good = [one for one in every if one.label == GOOD]
    degraded = [one for one in every if one.label in DEGRADED]
    return [
        _share("good tiles not flagged", KEPT, [not _flagged(scorer, one) for one in good]),
        _share("degraded tiles flagged", FLAGGED, [_flagged(scorer, one) for one in degraded]),
    ]


def _flagged(scorer: Scorer, tile: Tile) -> bool:
    return bool(flags(scorer.judge(scan_of(tile)), scorer.manifest.flags))


def scan_of(tile: Tile) -> Scan:
    """The tile as a scan; square pixels where its size is known.

    Heights of some files are in the units of their converter, thousands of metres if taken at their
    word; their scale counts as unknown.
    """
    lines, pixels = tile.forward.shape
    width = tile.width_nm * NM
    frame = None
    if width:
        frame = Frame(x_m=0.0, y_m=0.0, width_m=width, height_m=width * lines / pixels)
    scale_known = float(np.nanmax(tile.forward) - np.nanmin(tile.forward)) < LARGEST_RELIEF_M
    return Scan(tile.forward, tile.backward, frame, scale_known=scale_known)


def _share(name: str, target: str, held: list[bool]) -> Row:
    title = f"real scans of other surfaces, shipped weights: {name}"
    if not held:
        return judged(title, None, "", target, note="no such scan")
    draws = np.random.default_rng(0).choice(held, (1000, len(held))).mean(axis=1)
    low, high = (float(end) for end in np.percentile(draws, (2.5, 97.5)))
    note = f"95 %: {low:.2f} to {high:.2f}; {sum(held)} of {len(held)}, labelled by one viewer"
    return judged(title, float(np.mean(held)), "", target, (low, high), note)
