"""Simulated scans with what their tips are really like: the scorer's training data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from drivers.scan import Scan, ScanSettings
from policies.report import ImageState, TipState
from policies.scorer.lines import MOST_ROWS, Rows, Setting, read_rows
from policies.scorer.outputs import OUTPUTS
from policies.scorer.preprocess import ScorerInput, prepare
from policies.training.processes import in_order
from policies.training.settings import Choice, choices
from sim.dataset.photograph import WRAPPED_SHARE, photograph, wrapped_around
from sim.tips.blocks import Good
from sim.tips.tip import Tip
from sim.world import World

CHUNK = 512
#: Shares of the scans that end early, have no backward picture, or no frame and scale.
PARTIAL, ONE_WAY, UNKNOWN = 0.25, 0.05, 0.05
FEWEST_LINES = 8
#: Noise from which a picture is noisy, damping of the loop below which it rings, and share of a
#: line by which it may be late.
NOISY_M, UNDAMPED, LATE_SHARE = 8e-12, 0.02, 0.04


@dataclass(frozen=True, slots=True)
class Examples:
    """Prepared scans and their labels.

    Attributes:
        pictures: shape (n, CHANNELS, SIDE, SIDE), half precision to save memory.
        numbers: shape (n, NUMBERS).
        protrusions: shape (n, PATCHES, POINTS, POINTS).
        labels: one column for each of ``NAMES``, 0 or 1; then radius and gap, each as a number of
            order one; shape (n, OUTPUTS + MEASURES).
        rows: what is read line by line, zeros behind the last row; half precision, shape
            (n, lines.CHANNELS, MOST_ROWS, lines.POINTS).
        row_numbers: shape (n, MOST_ROWS, lines.NUMBERS).
        row_labels: the first columns of ``labels``, as true when a row was read; NaN behind the
            last row; shape (n, MOST_ROWS, OUTPUTS).
        surfaces: number of the surface, shape (n,).
    """

    pictures: NDArray[np.float16]
    protrusions: NDArray[np.float16]
    numbers: NDArray[np.float32]
    labels: NDArray[np.float32]
    rows: NDArray[np.float16]
    row_numbers: NDArray[np.float32]
    row_labels: NDArray[np.float16]
    surfaces: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: list[Examples]) -> Examples:
        """All parts as one."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def part(self, which: slice | NDArray[np.intp]) -> Examples:
        """Some of the examples."""
        return Examples(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class _Taken:
    """A scan and what is true of it.

    Attributes:
        scan: the scan.
        before: the tip before it.
        after: the tip after it.
        changed_line: line, counted in time, from which on the tip was another, or None.
        image: what is wrong with the picture, in the order of ``ImageState``.
    """

    scan: Scan
    before: Tip
    after: Tip
    changed_line: int | None
    image: tuple[bool, ...]


def generate(seed: int, chunks: range, workers: int) -> Iterator[Examples]:
    """Chunks of ``CHUNK`` examples; the same seed and number give the same chunk.

    Args:
        seed: seed of everything.
        chunks: numbers of the chunks.
        workers: processes that render.
    """
    return in_order(_chunk, ((seed, index, CHUNK) for index in chunks), workers)


def _chunk(job: tuple[int, int, int]) -> Examples:
    seed, index, size = job
    rng = np.random.default_rng([seed, index])
    return Examples.joined([_example(rng, choice) for choice in islice(choices(rng), size)])


def _example(rng: np.random.Generator, choice: Choice) -> Examples:
    while True:
        taken = _take(rng, choice)
        scan = _as_known(rng, taken.scan, choice)
        try:
            seen = prepare(scan)
        except ValueError:
            # Nothing to be seen, such as a picture that was one grey.
            continue
        return _prepared(seen, read_rows(scan), scan, taken, choice)


def _take(rng: np.random.Generator, choice: Choice) -> _Taken:
    """Scan a random frame, often only its first lines."""
    world = World(choice.preset, int(rng.integers(2**31)), choice.tip)
    settings = choice.settings(rng, world.range_m[0])
    before, image = world.tip, _image_states(world, settings)
    wanted = settings.lines
    if rng.uniform() < PARTIAL:
        wanted = int(rng.integers(FEWEST_LINES, settings.lines))
    scan = world.scan(settings, wanted)
    return _Taken(scan, before, world.tip, next(iter(world.changed_lines), None), image)


def _image_states(world: World, settings: ScanSettings) -> tuple[bool, ...]:
    loop = world.loop
    states = {
        ImageState.NOISY: world.noise_m >= NOISY_M,
        ImageState.RINGING: loop is not None and loop.damping < UNDAMPED,
        ImageState.LAGGING: loop is not None and loop.lag_s > LATE_SHARE * settings.forward_s,
    }
    return tuple(states[state] for state in ImageState)


def _as_known(rng: np.random.Generator, scan: Scan, choice: Choice) -> Scan:
    """The scan as somebody may have it: one way only, without a scale, or as a picture."""
    if rng.uniform() < choice.photographed:
        heights = scan.forward[:: -1 if scan.direction == "up" else 1]
        if rng.uniform() < WRAPPED_SHARE:
            heights = wrapped_around(rng, heights)
        grey = photograph(heights).astype(np.float32)
        return Scan(forward=grey, scale_known=False)
    if rng.uniform() < ONE_WAY:
        scan = replace(scan, backward=None)
    if rng.uniform() < UNKNOWN:
        scan = replace(scan, frame=None, scale_known=False)
    return scan


def _prepared(seen: ScorerInput, rows: Rows, scan: Scan, taken: _Taken, choice: Choice) -> Examples:
    padded = rows.padded(MOST_ROWS)
    return Examples(
        seen.pictures[None].astype(np.float16),
        seen.protrusion[None].astype(np.float16),
        seen.numbers[None],
        _labels(taken, choice.preset.good)[None],
        padded.pictures[None].astype(np.float16),
        padded.numbers[None],
        _row_labels(taken, choice.preset.good, len(rows), _lines_per_row(scan, taken))[None],
        np.array([choice.surface], np.int64),
    )


def _lines_per_row(scan: Scan, taken: _Taken) -> float:
    """Lines of the scan that was taken to a row; a picture of it may have fewer lines."""
    shrunk = len(taken.scan.forward) / len(scan.forward) if scan.frame is None else 1.0
    return Setting.of(scan).lines_per_row * max(shrunk, 1.0)


def _classes(
    tip: Tip, good: Good, image: tuple[bool, ...], *, is_good: bool, changed: bool
) -> list[bool]:
    """What is true, in the order of ``NAMES``."""
    states = {
        TipState.DOUBLE: tip.gap_nm <= good.min_gap_nm,
        TipState.BLUNT: tip.radius_nm >= good.max_radius_nm,
        TipState.UNSTABLE: not tip.stable,
        TipState.CONTAMINATED: not tip.clean,
        TipState.CHANGED: changed,
    }
    return [is_good, *(states[state] for state in TipState), *image]


def _labels(taken: _Taken, good: Good) -> NDArray[np.float32]:
    """A tip that changed on the way counts as good only if it was good throughout."""
    tip, changed = taken.after, taken.changed_line is not None
    is_good = taken.before.is_good(good) and tip.is_good(good)
    radius = math.log(tip.radius_nm / good.max_radius_nm)
    gap = min(tip.gap_nm / good.min_gap_nm, 3.0)
    return np.array(
        [*_classes(tip, good, taken.image, is_good=is_good, changed=changed), radius, gap],
        np.float32,
    )


def _row_labels(taken: _Taken, good: Good, rows: int, lines_per_row: float) -> NDArray[np.float16]:
    labels = np.full((MOST_ROWS, OUTPUTS), np.nan, np.float16)
    first_good = taken.before.is_good(good)
    labels[:rows] = _classes(taken.before, good, taken.image, is_good=first_good, changed=False)
    if taken.changed_line is not None:
        both = first_good and taken.after.is_good(good)
        row = int(taken.changed_line / lines_per_row)
        labels[row:rows] = _classes(taken.after, good, taken.image, is_good=both, changed=True)
    return labels
