"""How often, how fast and how cheaply the agent repairs simulated tips."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drivers.bench import HOST, served
from drivers.benchmark import BenchOptions, Report, Row, judged

if TYPE_CHECKING:
    from agent.result import RepairResult
    from policies.scorer import Scorer

SEEDS = range(1, 21)
MICROSCOPE = "sim:au111"
#: Instrument seconds per second when the repair goes over TCP.
TIME_SCALE = 100
#: Wall time after which the quick benchmark starts no further repair, in process and over TCP.
QUICK_S = 15.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One repair, and whether its tip is good in truth."""

    seed: int
    result: RepairResult
    truly_good: bool


def run(options: BenchOptions) -> Report:
    """Repair simulated tips, in process and over TCP: how often, how fast, at what cost."""
    from policies.scorer import Scorer

    scorer = Scorer.load()
    rows: list[Row] = []
    for part, (way, one) in enumerate({"in process": in_process, "over TCP": over_tcp}.items()):
        started = time.monotonic()
        trials: list[Trial] = []
        for seed in SEEDS:
            if options.quick and time.monotonic() - started > QUICK_S:
                break
            options.progress((part + len(trials) / len(SEEDS)) / 2, f"{way}, seed {seed}")
            with tempfile.TemporaryDirectory() as folder:
                trials.append(one(seed, scorer, Path(folder)))
        rows += summary(way, trials)
    return Report("repair", rows)


def in_process(seed: int, scorer: Scorer, folder: Path) -> Trial:
    """Repair the tip of the simulator within this process, in virtual time."""
    result = _repair(MICROSCOPE, seed, scorer, folder)
    return Trial(seed, result, bool((result.true_state or {}).get("good")))


def over_tcp(seed: int, scorer: Scorer, folder: Path) -> Trial:
    """Repair the tip of a simulated controller in another process, over its TCP interface."""
    truth = folder / "truth.json"
    arguments = ("--seed", str(seed), "--time-scale", str(TIME_SCALE), "--truth", str(truth))
    with served(*arguments) as port:
        result = _repair(f"nanonis://{HOST}:{port}", None, scorer, folder)
    return Trial(seed, result, bool(json.loads(truth.read_text())["good"]))


def _repair(uri: str, seed: int | None, scorer: Scorer, folder: Path) -> RepairResult:
    from agent.config import Config, GuardianSettings
    from agent.loop import run as run_loop
    from agent.session import run_repair

    # Not the user's own guardian, which may be at work beside this; and how busy the machine is
    # otherwise must not end a repair that is to be measured.
    guardian = GuardianSettings(state=str(folder / "guardian.json"), lost_after_s=5.0)
    config = Config(guardian=guardian).overridden(uri=uri, directory=folder)
    return run_loop(run_repair(config, seed, scorer, lambda _: None))


def summary(way: str, trials: Sequence[Trial]) -> list[Row]:
    """The figures of the trials that went one way; at least one."""
    results = [trial.result for trial in trials]
    good = [trial for trial in trials if trial.result.outcome == "good"]
    true = sum(trial.truly_good for trial in good)
    minutes = np.array([result.instrument_s for result in results]) / 60
    overhead = sum(result.overhead_s for result in results) / float(60 * minutes.sum())
    rows = [
        judged("good, and good in truth", true / len(trials), "", ">= 0.9", note=_of(true, trials)),
        judged("good, but not in truth", len(good) - true, "", "<= 0"),
        Row("gave up", sum(result.outcome == "gave_up" for result in results)),
        Row("stopped", sum(result.outcome == "stopped" for result in results)),
        Row("instrument time, mean", float(minutes.mean()), "min"),
        Row("instrument time, median", float(np.median(minutes)), "min"),
        Row("instrument time, p90", float(np.percentile(minutes, 90)), "min"),
        Row("actions, mean", float(np.mean([result.actions for result in results]))),
        Row("wall time, all", sum(result.wall_s for result in results), "s"),
        judged("agent's own share of instrument time", overhead, "", "< 0.01"),
    ]
    return [replace(row, name=f"{way}: {row.name}") for row in rows]


def _of(true: int, trials: Sequence[Trial]) -> str:
    return f"{true} of seeds {trials[0].seed} to {trials[-1].seed}"
