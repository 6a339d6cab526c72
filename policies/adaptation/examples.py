"""What the heads of an adapted scorer learn from: scans as numbers, whole and in windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from drivers.scan import Image, Scan
from policies.adaptation.descriptors import describe
from policies.scorer.assessable import complete_lines
from policies.scorer.lines import Setting
from policies.scorer.scorer import Scorer

#: Scans with fewer of their lines than this share are judged by what was taught on such parts.
WHOLE_SHARE = 0.5
#: Windows of each scan, and the shares of the lines they have; the first is the beginning.
WINDOWS, FIRST_SHARE, SHARES = 5, 0.12, (0.08, 0.3)

#: Names of the parts that a whole scan is judged by; beginnings are judged by the first alone.
DESCRIBED, PICTURE, LINES = "described", "picture", "lines"

Parts = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Example:
    """One scan in numbers.

    Attributes:
        whole: the numbers of each part, of all its lines, each of shape (n,).
        windows: described windows of it, the first at its beginning; shape (WINDOWS, n).
        logits: what the shipped scorer says to it, shape (OUTPUTS,).
    """

    whole: Parts
    windows: torch.Tensor
    logits: torch.Tensor


def example(scorer: Scorer, scan: Scan, rng: np.random.Generator) -> Example:
    """Turn a scan into numbers.

    Raises:
        ValueError: the scan holds too little to be judged.
    """
    features = scorer.features(scan)
    lines = complete_lines(scan)
    described = torch.from_numpy(describe(lines))
    windows = [_window(lines, expected_lines(scan), rng, first=k == 0) for k in range(WINDOWS)]
    stacked = torch.stack([described if one is None else one for one in windows])
    parts = {DESCRIBED: described, PICTURE: features.picture, LINES: features.lines}
    return Example(parts, stacked, features.logits)


def whole_parts(examples: list[Example]) -> Parts:
    """The parts of all scans, each of shape (1, scans, n)."""
    names = (DESCRIBED, PICTURE, LINES)
    return {name: torch.stack([one.whole[name] for one in examples])[None] for name in names}


def window_parts(examples: list[Example]) -> Parts:
    """The windows of all scans, shape (WINDOWS, scans, n)."""
    return {DESCRIBED: torch.stack([one.windows for one in examples], dim=1)}


def expected_lines(scan: Scan) -> int:
    """How many lines the scan was to have; a picture without a frame was to be square."""
    return Setting.of(scan).lines


def _window(
    lines: Image, expected: int, rng: np.random.Generator, *, first: bool
) -> torch.Tensor | None:
    """Describe a window of the lines; None if there is nothing in it."""
    share = FIRST_SHARE if first else float(np.exp(rng.uniform(*np.log(SHARES))))
    size = max(round(share * expected), 2)
    start = 0 if first or len(lines) <= size else int(rng.integers(len(lines) - size))
    try:
        described: NDArray[np.float32] = describe(lines[start : start + size])
    except ValueError:
        return None
    return torch.from_numpy(described)
