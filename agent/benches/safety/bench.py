"""Whether what protects the tip comes in time, and only when it is needed.

A new measurement is a function ``(Setting) -> rows`` in ``PARTS``.
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

from agent.benches.safety import disk, killing, lag, nights, wire
from agent.benches.safety.faults import (
    WITHDRAW_TIMEOUT_S,
    Fault,
    seconds_to_stop,
    seconds_to_withdraw,
)
from agent.benches.safety.trips import false_trips_for, false_trips_in_a_night
from drivers.bench import served
from drivers.benchmark import BenchOptions, Report, Row, judged
from drivers.errors import GuardianLost, UserError

HOGS = 4
LIMIT_S = 1.0
#: Of the operator's stop, which waits for no silence.
STOP_LIMIT_S = 0.25
#: Of each fault.
TRIALS, QUICK_TRIALS = 50, 1
KILLS, QUICK_KILLS = 200, 2
STOPS, QUICK_STOPS = 100, 2
FULL_DISKS, QUICK_FULL_DISKS = 10, 1
HOSTILE, QUICK_HOSTILE = 100_000, 3_000
NIGHTS, QUICK_NIGHTS = 100, 1
#: Of repairs: nights in which everything is real, and with recorded reports after each of them.
REAL_NIGHTS, QUICK_REAL_NIGHTS = 10, 1
RECORDED_NIGHTS, QUICK_RECORDED_NIGHTS = 4, 2
HOURS, QUICK_HOURS = 8.0, 0.5
#: So many that none of two cores waits while others wait for the disk, and that all end together.
PROCESSES = 5
MINUTES, QUICK_MINUTES = 120.0, 1 / 6
LAG_S, QUICK_LAG_S = 300.0, 8.0
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
        UserError: this system cannot stop a process, or ``options.only`` names no part.
        ConnectionFailed: the simulated controller does not start.
    """
    if sys.platform == "win32":
        raise UserError("this benchmark stops processes, which Windows cannot; run it elsewhere")
    if unknown := [name for name in options.only if name not in PARTS]:
        raise UserError(f"no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    wanted = [name for name in PARTS if name in (options.only or PARTS)]
    rows: list[Row] = []
    with served("--seed", "1") as port, tempfile.TemporaryDirectory() as folder:
        for done, name in enumerate(wanted):
            here = Path(folder) / name
            here.mkdir()
            progress = partial(options.progress, done / len(wanted))
            rows += PARTS[name](Setting(options, port, here, progress))
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


def stops(setting: Setting) -> list[Row]:
    """From the operator's stop to the withdrawal on the wire, while the agent's loop is blocked."""
    trials = QUICK_STOPS if setting.options.quick else STOPS
    with hogs():
        seconds = [_stop(setting, trial) for trial in range(trials)]
    note = f"median {float(np.median(seconds)):.3f} s of {trials}, with {HOGS} CPU hogs"
    p99_s = float(np.percentile(seconds, 99))
    name = "operator's stop to withdrawal on the wire, loop blocked, p99"
    return [judged(name, p99_s, "s", f"<= {STOP_LIMIT_S:g}", note=note)]


def full_disks(setting: Setting) -> list[Row]:
    """Repairs that cannot write their journal any more, or never could."""
    trials = QUICK_FULL_DISKS if setting.options.quick else FULL_DISKS
    return disk.rows(trials, setting.progress)


def hostile_actions(setting: Setting) -> list[Row]:
    """What an adversary gets past envelope and driver onto the wire."""
    count = QUICK_HOSTILE if setting.options.quick else HOSTILE
    found = wire.run(count, _SEED, setting.progress)
    note = f"{found.asked} actions, {found.refused} refused, {found.requests} requests"
    offences, crashed = len(found.offences), found.crashed
    first = f"; first: {found.offences[0]}" if found.offences else ""
    return [
        judged("hostile values on the wire", offences, "", "<= 0", note=note + first),
        judged("hostile actions that crash", crashed, "", "<= 0", note=found.crashes),
    ]


def false_trips_in_virtual_nights(setting: Setting) -> list[Row]:
    """Trips of the core although the agent lives."""
    count = QUICK_NIGHTS if setting.options.quick else NIGHTS
    trips = 0
    for night in range(count):
        setting.progress(f"virtual night {night + 1}")
        trips += false_trips_in_a_night(np.random.default_rng(_SEED + night))
    return [judged("false trips in virtual nights of 8 h", trips, "", "<= 0", note=f"{count}")]


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


def nights_of_repairs(setting: Setting) -> list[Row]:
    """Nights of repairs in virtual time: how they end, and what they leave piled up."""
    quick = setting.options.quick
    real = QUICK_REAL_NIGHTS if quick else REAL_NIGHTS
    recorded = QUICK_RECORDED_NIGHTS if quick else RECORDED_NIGHTS
    hours = QUICK_HOURS if quick else HOURS
    orders = [nights.Order(number, recorded, hours, setting.folder) for number in range(real)]
    return nights.rows(orders, min(PROCESSES, real), setting.progress)


def loop_lag(setting: Setting) -> list[Row]:
    """How late the agent's event loop comes while it repairs."""
    setting.progress("loop lag during a repair")
    return lag.rows(QUICK_LAG_S if setting.options.quick else LAG_S, setting.folder)


PARTS: dict[str, Measurement] = {
    "withdrawals": withdrawals,
    "kills": repairs_killed,
    "stops": stops,
    "disks": full_disks,
    "hostile": hostile_actions,
    "virtual-nights": false_trips_in_virtual_nights,
    "real-minutes": false_trips_in_real_minutes,
    "nights": nights_of_repairs,
    "lag": loop_lag,
}


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


def _stop(setting: Setting, trial: int) -> float:
    setting.progress(f"operator's stop {trial + 1}")
    try:
        return asyncio.run(seconds_to_stop(setting.port, setting.folder / f"{trial}.json"))
    except GuardianLost:
        return WITHDRAW_TIMEOUT_S


def _slowest(fault: Fault, seconds: Sequence[float]) -> Row:
    note = f"median {float(np.median(seconds)):.2f} s of {len(seconds)}"
    return judged(f"slowest after: agent {fault}", max(seconds), "s", f"<= {LIMIT_S:g}", note=note)
