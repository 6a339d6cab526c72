"""What cannot be judged, and why: said before any network is asked."""

from __future__ import annotations

import numpy as np

from drivers.scan import Image, Scan
from policies.scorer.preprocess import ScorerInput
from policies.scorer.units import UNIT_M

#: Complete lines without which nothing can be told.
FEWEST_LINES = 6
#: Pixels per line without which a line shows nothing.
FEWEST_PIXELS = 16
#: Share of the pixels at one end of the range from which a scan counts as clipped.
CLIPPED_SHARE = 0.2
#: Reliefs that a topograph in metres can have.
SMALLEST_RELIEF_M, LARGEST_RELIEF_M = 1e-14, 1e-6
#: A surface on which no pixel stands out of its line by more has nothing that shows an apex: the
#: herringbone of gold stays below, every adatom, step and atomic lattice of a semiconductor above.
FEATURE_M = 45e-12
#: Share of the pixels that may stand out by chance.
STRAY_SHARE = 2e-3


def why_not(scan: Scan) -> str | None:
    """Why a scan cannot be judged at all, in one clause; None if it can."""
    pixels = scan.forward.shape[1]
    if pixels < FEWEST_PIXELS:
        return f"its lines have {pixels} pixels, at least {FEWEST_PIXELS} are needed"
    lines = complete_lines(scan)
    if len(lines) < FEWEST_LINES:
        return f"it has {len(lines)} complete lines, at least {FEWEST_LINES} are needed"
    low, high = float(lines.min()), float(lines.max())
    if low == high:
        return "it holds no relief: all its heights are the same"
    ends = max(float((lines == low).mean()), float((lines == high).mean()))
    if scan.scale_known and ends > CLIPPED_SHARE:
        return f"it is clipped: {ends:.0%} of its pixels have the same extreme height"
    if scan.scale_known and not SMALLEST_RELIEF_M < high - low < LARGEST_RELIEF_M:
        return f"its heights span {high - low:.2g} m, which no topograph in metres does"
    return None


def is_featureless(seen: ScorerInput, scan: Scan) -> bool:
    """Whether nothing in a scan could show whether the tip is sharp.

    On a bare flat terrace a blunt tip draws the same picture as a sharp one. Where the scale is
    unknown nothing can be said, and the answer is no.

    Args:
        seen: what the network sees of the scan.
        scan: the scan.
    """
    if not scan.scale_known:
        return False
    scanned = seen.pictures[-1].min(axis=1) > 0
    flat = np.sinh(seen.pictures[0, scanned])
    away = np.abs(flat - np.median(flat, axis=1, keepdims=True))
    return bool((away > FEATURE_M / UNIT_M).mean() < STRAY_SHARE)


def complete_lines(scan: Scan) -> Image:
    """The forward lines without gaps in the order in which they were scanned; (lines, pixels)."""
    order = slice(None, None, -1 if scan.direction == "up" else 1)
    z = scan.forward[order]
    lines: Image = z[np.isfinite(z).all(axis=1)]
    return lines
