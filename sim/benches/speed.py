"""How fast the simulator is, where the time goes, and how soon the first scan is there."""

from __future__ import annotations

import numpy as np

from drivers.benchmark import BenchOptions, Report, Row, judged
from drivers.errors import UserError
from drivers.peers import PEERS
from sim.benches import vector
from sim.benches.first_scan import first_scan
from sim.benches.peer import PEER, peer_scans
from sim.benches.workload import (
    LARGE,
    SMALL,
    WHOLE,
    WORLDS,
    Size,
    Workload,
    interval,
    seconds_per_call,
)

#: Scans per second that are wanted of one core, on fresh area and on area seen before.
WANTED = {SMALL: (800, 1500), LARGE: (300, 450)}
WANTED_RATIO = 10
WARM_S, COLD_S = 2, 20
#: Steps per second and memory that are wanted of many environments, and the steps of one turn.
WANTED_STEPS, WANTED_GB = 1200, 1.5
STEPS = 20
TURNS, QUICK_TURNS = 20, 5
#: Compiled code cannot do the parts of a 128 x 128 scan in less (CPU ms): estimates for one core
#: that does 75 billion operations per second. The surface takes 60 operations per point of its
#: grid, exponential and blur 80; lines with one apex take 0.07 ms of arithmetic and 0.1 ms to
#: gather from the grid, which each further apex does once more.
LIMITS_MS = {"drawing the surface": 0.03, "the tip's blur": 0.04, "lines": 0.2}
PEER_NOTE = "one thread, 25-pixel kernel, there and back; its bitmap is given"


def run(options: BenchOptions) -> Report:
    """Scans per second on one core, beside another simulator; environments; the first scan."""
    turns = QUICK_TURNS if options.quick else TURNS
    work = Workload()
    rows: list[Row] = []
    for part, size in enumerate(WANTED):
        options.progress(0.2 * part, str(size))
        rows += _rates(work, size, turns)
    options.progress(0.4, f"{PEER} {PEERS[PEER]}")
    rows += _ratio(work, turns)
    for part, size in enumerate(WANTED):
        options.progress(0.6 + 0.1 * part, f"stages of {size}")
        rows += _stages(work, size, turns)
    options.progress(0.8, "environments")
    rows += _environments(turns)
    options.progress(0.9, "first scan")
    rows += _first(options.quick)
    return Report("sim", rows)


def _rates(work: Workload, size: Size, turns: int) -> list[Row]:
    rows = []
    for wanted, (name, scan) in zip(
        WANTED[size],
        {"fresh area": work.fresh(size), "area seen before": work.seen(size)}.items(),
        strict=True,
    ):
        seconds_per_call(scan, WORLDS, 1)
        rates = 1 / seconds_per_call(scan, WORLDS, turns)
        rate = float(np.median(rates))
        target = f">= {wanted}"
        rows.append(judged(f"{size}, {name}", rate, "scans/s", target, interval(rates)))
    return rows


def _ratio(work: Workload, turns: int) -> list[Row]:
    name = f"{PEER} {PEERS[PEER]}"
    ours = {"fresh area": work.fresh(LARGE), "area seen before": work.seen(LARGE)}
    target = f">= {WANTED_RATIO}"
    theirs: list[float] = []
    mine: dict[str, list[float]] = {where: [] for where in ours}
    try:
        with peer_scans() as peer:
            peer(1)
            # In turns, so that all meet the same moods of the machine.
            for _ in range(turns):
                theirs.append(peer(10))
                for where, scan in ours.items():
                    mine[where].append(float(seconds_per_call(scan, WORLDS, 1)[0]))
    except UserError as error:
        return [judged(f"{name} / ours, 128 x 128", None, "", target, note=str(error))]
    rows = [Row(f"{name}, 128 x 128", float(np.median(theirs)) * 1e3, "ms", note=PEER_NOTE)]
    for where, times in mine.items():
        ratios = np.array(theirs) / np.array(times)
        title, ratio = f"{name} / ours, 128 x 128, {where}", float(np.median(ratios))
        rows.append(judged(title, ratio, "", target, interval(ratios)))
    return rows


def _stages(work: Workload, size: Size, turns: int) -> list[Row]:
    """What each step of a scan adds to the steps before it."""
    stages = work.stages(size)
    times = {name: np.empty(turns) for name in stages}
    for turn in range(turns):
        for name, step in stages.items():
            times[name][turn] = seconds_per_call(step, WORLDS, 1)[0] * 1e3
    until = {name: float(np.median(values)) for name, values in times.items()}
    rows, before = [], 0.0
    for name, end in until.items():
        note = f"{(end - before) / until[WHOLE]:.0%} of a scan"
        if size == LARGE and name in LIMITS_MS:
            limit = LIMITS_MS[name]
            one = " with one apex" if name == "lines" else ""
            note += f"; {(end - before) / limit:.1f} times the limit, about {limit} ms{one}"
        rows.append(Row(f"{size}: {name}", end - before, "ms", note=note))
        before = end
    return rows


def _environments(turns: int) -> list[Row]:
    name = f"{vector.WORLDS} environments, {vector.WORKERS} processes"
    try:
        found = vector.vector_figures(turns, STEPS)
    except UserError as error:
        return [judged(name, None, "steps/s", f">= {WANTED_STEPS}", note=str(error))]
    rate = float(np.median(found.rates))
    ends = interval(found.rates)
    return [
        judged(
            name, rate, "steps/s", f">= {WANTED_STEPS}", ends, "random legal actions, wall time"
        ),
        judged(f"{name}: memory", found.memory_gb, "GB", f"< {WANTED_GB}"),
    ]


def _first(quick: bool) -> list[Row]:
    if quick:
        # Compiling everything anew takes a third of the time that a quick run has.
        left = "left out of --quick"
        return [judged("first scan after import, cold", None, "s", f"< {COLD_S}", note=left)]
    try:
        first = first_scan()
    except UserError as error:
        return [judged("first scan after import, warm", None, "s", f"< {WARM_S}", note=str(error))]
    return [
        judged("first scan after import, warm", first.warm_s, "s", f"< {WARM_S}"),
        judged("first scan after import, cold", first.cold_s, "s", f"< {COLD_S}"),
    ]
