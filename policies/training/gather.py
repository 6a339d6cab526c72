"""Fills a bank: scans tips of the kind that repairs meet, and keeps what the scorer says."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_cache_path

from drivers.actions import TunnellingPoint
from drivers.sample_map import clear_site
from drivers.scan import Frame, Scan, ScanSettings
from policies.plan import RepairPlan
from policies.scorer import Scorer
from policies.scorer.stream import EARLIEST_ROW
from policies.training.bank import COLUMNS, Gathered, Numbers, View, described
from policies.training.processes import in_order
from policies.training.reporting import reporting
from policies.training.tips import draw_tips
from sim.environments.worlds import episode_preset
from sim.presets.blocks import Spread
from sim.presets.preset import Preset, load_preset
from sim.tips.tip import Tip
from sim.world import World

#: How a repair looks unless it is told otherwise; the share of lines that is taken in any case.
PIXELS, FORWARD_S, BACKWARD_S, LEAST_SHARE = 96, 0.15, 0.10, 0.33
AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
SPOTS = 5
#: Changes per frame of tips that are to stay as they are, and of those that are to change.
NEVER, OFTEN = 1e-9, 1.0
#: Tips for each one that changes during its scan.
STEADY = 6
#: Share kept of the bad tips: good ones are rare, and what is said of them decides a repair.
BAD_KEPT = 0.4
#: Tips that one process scans at a time.
SHARE = 20


def bank_at(scorer: Scorer, seed: int, tips: int, folder: Path | None = None) -> Path:
    """A bank of reports of ``scorer``; built now unless ``folder`` (the user's cache) has it.

    Args:
        scorer: the judge.
        seed: seed of tips and scans.
        tips: how many tips to scan, each on ``SPOTS`` spots.
        folder: where banks lie.

    Raises:
        FileError: it cannot be written there.
    """
    preset, judge = load_preset("au111"), scorer.manifest.sha256
    folder = folder or user_cache_path("tipsmith", ensure_exists=True)
    path = folder / f"bank-{preset.hash}-{judge[:12]}-{seed}-{tips}.safetensors"
    if not path.exists():
        command = f"seed {seed}, {tips} tips"
        origin: dict[str, object] = {"command": command, "preset": preset.hash, "scorer": judge}
        gather(preset, scorer, seed, tips, os.cpu_count() or 1).write(path, origin)
    return path


def gather(preset: Preset, scorer: Scorer, seed: int, tips: int, workers: int) -> Gathered:
    """Scan ``tips`` tips, each on fresh spots of a sample and an instrument of its own.

    Args:
        preset: the numbers of the simulator.
        scorer: the judge.
        seed: seed of tips and scans.
        tips: how many, rounded up to whole shares.
        workers: processes that scan.
    """
    jobs = ((seed, share, SHARE) for share in range(math.ceil(tips / SHARE)))
    done: list[Gathered] = []
    with reporting("gathering reports", tips * SPOTS, 0) as report:
        for share in in_order(partial(_share, preset, scorer), jobs, workers):
            done.append(share)
            report(len(share.tips) * SPOTS, f"{sum(len(one.tips) for one in done)} tips")
    return Gathered.joined(done)


def _share(preset: Preset, scorer: Scorer, job: tuple[int, int, int]) -> Gathered:
    """A few of the tips, drawn from a stream of their own."""
    torch.set_num_threads(1)
    seed, share, size = job
    rng = np.random.default_rng([seed, share])
    steady: list[tuple[Numbers, Numbers]] = []
    changed: list[tuple[Numbers, Numbers]] = []
    for number, tip in enumerate(itertools.islice(_worth_a_look(rng, preset), size)):
        own = episode_preset(preset, "randomised", int(rng.integers(2**31)))
        world = World(_changing(own, NEVER), int(rng.integers(2**31)), tip)
        steady.append((described(tip), _looked_at(world, scorer, SPOTS)))
        if number % STEADY == 0:
            changed.append(_changes(own, int(rng.integers(2**31)), tip, scorer))
    return Gathered(*_stacked(steady), *_stacked(changed))


def _worth_a_look(rng: np.random.Generator, preset: Preset) -> Iterator[Tip]:
    """Tips as the scorer learns from, a good deal more of them good."""
    return (
        tip
        for tip in draw_tips(rng, preset)
        if tip.is_good(preset.good) or rng.uniform() < BAD_KEPT
    )


def _stacked(found: list[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    return np.stack([tip for tip, _ in found]), np.stack([views for _, views in found])


def _changing(preset: Preset, per_frame: float) -> Preset:
    """The preset with as many changes of the tip per frame."""
    rate = Spread(law="log_uniform", a=per_frame, b=per_frame)
    hidden = preset.hidden.model_copy(update={"change_per_frame": rate})
    return preset.model_copy(update={"hidden": hidden})


def _changes(preset: Preset, seed: int, tip: Tip, scorer: Scorer) -> tuple[Numbers, Numbers]:
    """The first scan in which a tip changes, and what it became."""
    world = World(_changing(preset, OFTEN), seed, tip)
    while True:
        views = _looked_at(world, scorer, 1)
        if world.tip is not tip:
            return described(world.tip), views
        world = World(_changing(preset, OFTEN), seed := seed + 1, tip)


def _looked_at(world: World, scorer: Scorer, spots: int) -> Numbers:
    """Views of neighbouring frames, whole and cut short, shape (spots, 2, COLUMNS)."""
    side = RepairPlan().frame_nm * 1e-9
    views = np.empty((spots, 2, COLUMNS), np.float32)
    for spot in range(spots):
        frame = Frame(x_m=spot * side, y_m=0.0, width_m=side, height_m=side)
        settings = _settings(frame)
        lines = list(world.lines(settings))
        whole = Scan.from_lines(settings, lines, "simulated")
        enough = _hopeless_after(scorer, whole)
        cut = Scan.from_lines(settings, lines[:enough], "simulated")
        scans = [whole, cut] if enough < len(lines) else [whole]
        found = [
            View(report, site.clear_m if (site := clear_site(scan)) else 0.0)
            for report, scan in zip(scorer.judge_all(scans), scans, strict=True)
        ]
        views[spot] = [found[0].numbers(), found[-1].numbers()]
    return views


def _settings(frame: Frame) -> ScanSettings:
    return ScanSettings(
        frame=frame, pixels=PIXELS, lines=PIXELS, forward_s=FORWARD_S, backward_s=BACKWARD_S, at=AT
    )


def _hopeless_after(scorer: Scorer, scan: Scan) -> int:
    """After how many lines a first look would have ended; each is a row of its own."""
    enough = max(math.ceil(LEAST_SHARE * PIXELS), EARLIEST_ROW + 1)
    for count, quality in enumerate(scorer.qualities(scan), 1):
        if count >= enough and quality < scorer.manifest.stop:
            return count
    return scan.lines_done
