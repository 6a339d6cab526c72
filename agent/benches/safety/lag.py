"""How late the agent's event loop comes while it repairs: everything that waits for it waits so.

A real repair of a simulated controller in a process of its own, over sockets and under a guardian,
faster than a laboratory's so that there is more to judge. What else runs on the loop are naps whose
overtime is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path

import numpy as np

from agent.config import Config, GuardianSettings, RepairSettings
from agent.loop import run
from agent.result import Progress
from agent.session import run_repair
from drivers.bench import HOST, served
from drivers.benchmark import Row, judged
from drivers.errors import InstrumentError
from policies.scorer import Scorer

#: A line every 25 ms: ten times as many to judge as usual.
TIME_SCALE = 10
SEED = 5
NAP_S, IDLE_S = 0.002, 3.0
#: No tip is ever good enough, so that no repair ends too soon.
REPAIR = RepairSettings(doubt_quality=0.98, confirm_quality=0.999, search_looks=1000)
P99_S, MOST_S = 0.005, 0.020


def rows(seconds: float, folder: Path) -> list[Row]:
    """Watch the loop of a repair for so long.

    Args:
        seconds: wall time (s), from before its instrument is opened.
        folder: an empty folder for its journal.

    Raises:
        ConnectionFailed: the simulated controller does not start.
        FileError: the scorer cannot be loaded.
        InstrumentError: the repair did not begin to scan in time, or ended too soon.
    """
    with served("--seed", str(SEED), "--time-scale", str(TIME_SCALE)) as port:
        late_s, idle_s = run(_watched(seconds, port, folder))
    if not late_s:
        raise InstrumentError(f"the repair did not begin to scan within {seconds:g} s")
    note = (
        f"{len(late_s)} naps during a repair with inference, a line every 25 ms, no viewers; "
        f"with an idle loop {1e3 * waited_s(idle_s, 99):.1f} ms"
    )
    return [
        judged("loop lag, p99", waited_s(late_s, 99), "s", f"<= {P99_S:g}", note=note),
        judged("loop lag, p99.9", waited_s(late_s, 99.9), "s", f"<= {MOST_S:g}"),
        judged("loop lag, longest", max(late_s), "s", f"< {GuardianSettings().lost_after_s:g}"),
    ]


def waited_s(late_s: Sequence[float], percent: float) -> float:
    """How long something waits at that percentile which comes at any time, not once a nap (s).

    A loop that is blocked for long makes one nap late, and whatever comes meanwhile.
    """
    # As if there had been a nap every so often while one was overdue.
    missed = [np.arange(late, -1e-9, -NAP_S) for late in late_s]
    return float(np.percentile(np.concatenate(missed), percent))


async def _watched(seconds: float, port: int, folder: Path) -> tuple[list[float], list[float]]:
    """How late each nap beside a repair ended, and each on an idle loop (s)."""
    late_s: list[float] = []
    idle_s: list[float] = []
    await _ended_within(IDLE_S, _nap(idle_s))
    begun = asyncio.Event()

    def see(progress: Progress) -> None:
        # Whatever is slow the first time comes before the guardian is armed.
        if progress.lines:
            begun.set()

    async def nap_beside() -> None:
        await begun.wait()
        await _nap(late_s)

    guardian = GuardianSettings(state=str(folder / "guardian.json"))
    config = Config(guardian=guardian, repair=REPAIR).overridden(
        uri=f"nanonis://{HOST}:{port}", directory=folder / "runs"
    )
    napping = asyncio.create_task(nap_beside())
    if await _ended_within(seconds, run_repair(config, None, Scorer.load(), see)):
        raise InstrumentError("the repair ended while its loop was watched; why, its journal tells")
    napping.cancel()
    return late_s, idle_s


async def _nap(late_s: list[float]) -> None:
    """Nap without end, and note how late each ends (s)."""
    while True:
        due = time.perf_counter() + NAP_S
        await asyncio.sleep(NAP_S)
        late_s.append(max(time.perf_counter() - due, 0.0))


async def _ended_within(seconds: float, work: Coroutine[None, None, object]) -> bool:
    """Whether ``work`` ended by itself; it is stopped after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True
