"""What the scorer gets wrong, most confidently first: pictures to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.scan import Image
from policies.bench.hsi import Judged, Pictures
from policies.bench.real_rows import TARGETS, asked, scores_of
from policies.bench.sheet import ACROSS, Strip, draw_sheet
from policies.scorer.outputs import NAMES, STATES
from policies.training.scans import Examples
from policies.training.settings import SURFACES

REAL, SIMULATED = "scorer_failures_real.png", "scorer_failures_simulated.png"


def draw_real(folder: Path, pictures: Pictures, found: Judged) -> None:
    """Draw what the adapted scorer gets wrong on real pictures: missed, and false alarms.

    Raises:
        FileError: the folder or the file cannot be written.
    """
    strips = []
    for name in TARGETS:
        which, question = asked(name, pictures)
        scores = scores_of(name, found.adapted)[which]
        for truth, order in _wrong(scores, question.positive):
            photos = [pictures.voted[which[k]].photo.astype(np.float32) for k in order]
            said = "yes" if truth else "no"
            title = f"{name}: labelled {said}, scored {'low' if truth else 'high'}"
            strips.append(Strip(title, photos, [f"{scores[k]:.2f}" for k in order]))
    draw_sheet(folder / REAL, strips)


def draw_simulated(folder: Path, examples: Examples, found: NDArray[np.float32]) -> None:
    """Draw what the shipped scorer gets wrong on simulated scans.

    Args:
        folder: where the sheet goes.
        examples: the scans.
        found: probabilities, shape (n, OUTPUTS).

    Raises:
        FileError: the folder or the file cannot be written.
    """
    strips = []
    for column, name in enumerate(NAMES[: STATES.stop]):
        scores = found[:, column]
        for truth, order in _wrong(scores, examples.labels[:, column] > 0.5):
            title = f"{name}: in truth {'yes' if truth else 'no'}, scored"
            captions = [f"{scores[k]:.2f}, {SURFACES[examples.surfaces[k]].name}" for k in order]
            strips.append(
                Strip(
                    f"{title} {'low' if truth else 'high'}",
                    [_picture(examples, k) for k in order],
                    captions,
                )
            )
    draw_sheet(folder / SIMULATED, strips)


def _wrong(
    scores: NDArray[np.floating], positive: NDArray[np.bool_]
) -> Iterator[tuple[bool, list[int]]]:
    """The lowest of what is true, then the highest of what is not."""
    order = [int(k) for k in np.argsort(scores)]
    yield True, [k for k in order if positive[k]][:ACROSS]
    yield False, [k for k in order[::-1] if not positive[k]][:ACROSS]


def _picture(examples: Examples, k: int) -> Image:
    """The levelled forward picture as the network sees it, heights compressed."""
    forward, mask = examples.pictures[k, 0].astype(np.float32), examples.pictures[k, -1]
    return np.where(mask > 0, forward, np.float32(np.nan))
