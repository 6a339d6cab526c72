"""Whether what protects the tip comes in time, and only when it is needed.

A new measurement is a function ``(Setting) -> rows`` in ``MEASUREMENTS``.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from agent.benches.safety import killing
from agent.benches.safety.faults import WITHDRAW_TIMEOUT_S, Fault, seconds_to_withdraw
from agent.benches.safety.nights import false_trips_for, false_trips_in_a_night
from drivers.bench import served
from drivers.benchmark import BenchOptions, Report, Row, judged
from drivers.errors import GuardianLost, UserError

HOGS = 4
LIMIT_S = 1.0
#: Of each fault.
TRIALS, QUICK_TRIALS = 50, 1
KILLS, QUICK_KILLS = 200, 2
NIGHTS, QUICK_NIGHTS = 100, 1
MINUTES, QUICK_MINUTES = 120.0, 1 / 6
_SEED = 20_000


@dataclass(frozen=True, slots=True)
class Setting:
    """What every measurement is given.

    Attributes:
        options: as the benchmark was called.
        port: first port of a simulated controller.
        folder: an empty folder for its files.
        progress: told what comes next.
    """

    options: BenchOptions
    port: int
    folder: Path
    progress: Callable[[str], None]


Measurement = Callable[[Setting], Sequence[Row]]


def run(options: BenchOptions) -> Report:
    """Hurt the agent, busy machine and all: is the tip withdrawn in time, and only then?

    Raises:
        UserError: this system cannot stop a process.
        ConnectionFailed: the simulated controller does not start.
    """
    if sys.platform == "win32":
        raise UserError("this benchmark stops processes, which Windows cannot; run it elsewhere")
    rows: list[Row] = []
    with served("--seed", "1") as port, tempfile.TemporaryDirectory() as folder:
        for done, measure in enumerate(MEASUREMENTS):
            here = Path(folder) / str(done)
            here.mkdir()
            progress = partial(options.progress, done / len(MEASUREMENTS))
            rows += measure(Setting(options, port, here, progress))
    return Report("safety", rows)


def withdrawals(setting: Setting) -> list[Row]:
    """From each fault of the agent to the withdrawal on the wire."""
    trials = QUICK_TRIALS if setting.options.quick else TRIALS
    rows: list[Row] = []
    in_time = 0
    with hogs():
        for fault in Fault:
            seconds = [_trial(setting, fault, trial) for trial in range(trials)]
            in_time += sum(taken <= LIMIT_S for taken in seconds)
            rows.append(_slowest(fault, seconds))
    share = in_time / (trials * len(Fault))
    note = f"{in_time} of {trials * len(Fault)}, with {HOGS} CPU hogs"
    return [judged("tip withdrawn within 1.0 s", share, "", ">= 1", note=note), *rows]


def repairs_killed(setting: Setting) -> list[Row]:
    """Repairs killed at random moments: is anything lost, is anything sent twice?"""
    kills = QUICK_KILLS if setting.options.quick else KILLS
    return killing.rows(kills, lambda _, text: setting.progress(text))


def false_trips_in_virtual_nights(setting: Setting) -> list[Row]:
    """Trips of the core although the agent lives."""
    nights = QUICK_NIGHTS if setting.options.quick else NIGHTS
    trips = 0
    for night in range(nights):
        setting.progress(f"virtual night {night + 1}")
        trips += false_trips_in_a_night(np.random.default_rng(_SEED + night))
    return [judged("false trips in virtual nights of 8 h", trips, "", "<= 0", note=f"{nights}")]


def false_trips_in_real_minutes(setting: Setting) -> list[Row]:
    """Trips of the process although the agent lives."""
    options = setting.options
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    setting.progress(f"{minutes:.3g} min of the real guardian")
    with hogs():
        state = setting.folder / "guardian.json"
        trips = asyncio.run(false_trips_for(60 * minutes, setting.port, state))
    note = f"{minutes:.3g} min, with {HOGS} CPU hogs"
    return [judged("false trips of the real process", trips, "", "<= 0", note=note)]


MEASUREMENTS: tuple[Measurement, ...] = (
    withdrawals,
    repairs_killed,
    false_trips_in_virtual_nights,
    false_trips_in_real_minutes,
)


@contextlib.contextmanager
def hogs(count: int = HOGS) -> Iterator[None]:
    """Processes that take all the time they can get."""
    command = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(count)]  # noqa: S603 - our own, no shell
    try:
        yield
    finally:
        for hog in running:
            hog.kill()
        for hog in running:
            hog.wait()


def _trial(setting: Setting, fault: Fault, trial: int) -> float:
    setting.progress(f"agent {fault}, {trial + 1}")
    state = setting.folder / f"{fault.name}-{trial}.json"
    try:
        return asyncio.run(seconds_to_withdraw(fault, setting.port, state))
    except GuardianLost:
        return WITHDRAW_TIMEOUT_S


def _slowest(fault: Fault, seconds: Sequence[float]) -> Row:
    note = f"median {float(np.median(seconds)):.2f} s of {len(seconds)}"
    return judged(f"slowest after: agent {fault}", max(seconds), "s", f"<= {LIMIT_S:g}", note=note)
