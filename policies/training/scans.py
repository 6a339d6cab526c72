"""Simulated scans with what their tips are really like: the scorer's training data."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from drivers.actions import TunnellingPoint
from drivers.scan import Direction, Frame, Scan, ScanLine, ScanSettings
from policies.report import TipState
from policies.scorer.preprocess import ScorerInput, prepare
from policies.training.tips import draw_tips
from sim.presets.preset import Preset, load_preset
from sim.tips.tip import Tip
from sim.world import World

CHUNK = 512


@dataclass(frozen=True, slots=True)
class Examples:
    """Prepared scans and their labels.

    Attributes:
        pictures: shape (n, CHANNELS, SIDE, SIDE), half precision to save memory.
        numbers: shape (n, NUMBERS).
        protrusions: shape (n, PATCHES, POINTS, POINTS).
        labels: good, then one column per ``TipState``, 0 or 1; then radius and gap, each as a
            number of order one; shape (n, OUTPUTS + MEASURES).
    """

    pictures: NDArray[np.float16]
    protrusions: NDArray[np.float16]
    numbers: NDArray[np.float32]
    labels: NDArray[np.float32]


def generate(seed: int, chunks: range, preset: str, workers: int) -> Iterator[Examples]:
    """Yield chunks of ``CHUNK`` examples; the same seed and number give the same chunk.

    Args:
        seed: seed of everything.
        chunks: numbers of the chunks.
        preset: name of the simulator's preset.
        workers: processes that render.
    """
    jobs = ((seed, index, CHUNK, preset) for index in chunks)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        # A few chunks ahead and no more: they would fill the memory faster than they are used.
        ahead = deque(pool.submit(_chunk, job) for job in islice(jobs, 2 * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(_chunk, job) for job in islice(jobs, 1))


def _chunk(job: tuple[int, int, int, str]) -> Examples:
    seed, index, size, name = job
    rng = np.random.default_rng([seed, index])
    preset = load_preset(name)
    inputs: list[ScorerInput] = []
    labels: list[NDArray[np.float32]] = []
    for tip in islice(draw_tips(rng, preset), size):
        world = World(preset, int(rng.integers(2**31)), tip)
        scan, label = _scan(rng, world, preset)
        inputs.append(prepare(scan))
        labels.append(label)
    return Examples(
        np.stack([one.pictures for one in inputs]).astype(np.float16),
        np.stack([one.protrusion for one in inputs]).astype(np.float16),
        np.stack([one.numbers for one in inputs]),
        np.stack(labels),
    )


def _scan(
    rng: np.random.Generator, world: World, preset: Preset
) -> tuple[Scan, NDArray[np.float32]]:
    """Scan a random frame, often only its first lines, and say what the tip was like."""
    settings = _settings(rng, world)
    before = world.tip
    wanted = settings.lines
    if rng.uniform() < 0.25:
        wanted = int(rng.integers(12, settings.lines))
    lines: list[ScanLine] = []
    for line in world.lines(settings):
        lines.append(line)
        if len(lines) == wanted:
            break
    scan = Scan.from_lines(settings, lines)
    if rng.uniform() < 0.05:
        scan = replace(scan, backward=None)
    if rng.uniform() < 0.05:
        scan = replace(scan, frame=None, scale_known=False)
    return scan, _labels(before, world.tip, preset)


def _settings(rng: np.random.Generator, world: World) -> ScanSettings:
    usual = rng.uniform() < 0.8
    width = 24e-9 if usual else math.exp(rng.uniform(math.log(12e-9), math.log(60e-9)))
    pixels = 96 if usual else int(rng.choice([64, 96, 128, 192]))
    reach = (world.range_m[0] - 1.5 * width) / 2
    direction: Direction = "down" if rng.uniform() < 0.5 else "up"
    frame = Frame(
        x_m=rng.uniform(-reach, reach), y_m=rng.uniform(-reach, reach),
        width_m=width, height_m=width, angle_deg=0.0,
    )  # fmt: skip
    forward = width / (160e-9 * math.exp(rng.normal(0, 0.3)))
    return ScanSettings(
        frame=frame, pixels=pixels, lines=pixels, forward_s=forward, backward_s=forward / 1.5,
        at=TunnellingPoint(
            bias_v=float(rng.choice([-1, 1]) * rng.uniform(0.1, 1.5)),
            setpoint_a=math.exp(rng.uniform(math.log(20e-12), math.log(300e-12))),
        ),
        direction=direction,
    )  # fmt: skip


def _labels(before: Tip, after: Tip, preset: Preset) -> NDArray[np.float32]:
    """A tip that changed on the way counts as good only if it was good throughout."""
    changed = (before.radius_nm, before.apexes, before.termination, before.stable) != (
        after.radius_nm, after.apexes, after.termination, after.stable,
    )  # fmt: skip
    good = preset.good
    states = {
        TipState.DOUBLE: after.gap_nm <= good.min_gap_nm,
        TipState.BLUNT: after.radius_nm >= good.max_radius_nm,
        TipState.UNSTABLE: not after.stable,
        TipState.CONTAMINATED: not after.clean,
        TipState.CHANGED: changed,
    }
    is_good = before.is_good(good) and after.is_good(good)
    radius = math.log(after.radius_nm / good.max_radius_nm)
    gap = min(after.gap_nm / good.min_gap_nm, 3.0)
    return np.array([is_good, *(states[state] for state in TipState), radius, gap], np.float32)
