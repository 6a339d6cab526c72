"""How late the agent's event loop comes while it repairs: everything that waits for it waits so.

A real repair of a simulated controller in a process of its own, over sockets and under a guardian,
faster than a laboratory's so that there is more to judge. What else runs on the loop are naps whose
overtime is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
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
        InstrumentError: the repair did not begin to scan in time.
    """
    with served("--seed", str(SEED), "--time-scale", str(TIME_SCALE)) as port:
        late_s, idle_s = run(_watched(seconds, port, folder))
    if not late_s:
        raise InstrumentError(f"the repair did not begin to scan within {seconds:g} s")
    p99_s, most_s = (float(np.percentile(late_s, percent)) for percent in (99, 99.9))
    note = (
        f"{len(late_s)} naps during a repair with inference, a line every 25 ms, no viewers; "
        f"with an idle loop {1e3 * float(np.percentile(idle_s, 99)):.1f} ms"
    )
    return [
        judged("loop lag, p99", p99_s, "s", f"<= {P99_S:g}", note=note),
        judged("loop lag, p99.9", most_s, "s", f"<= {MOST_S:g}"),
    ]


async def _watched(seconds: float, port: int, folder: Path) -> tuple[list[float], list[float]]:
    """How late each nap beside a repair ended, and each on an idle loop (s)."""
    late_s: list[float] = []
    idle_s: list[float] = []
    await _stopped_after(IDLE_S, _nap(idle_s))
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
    await _stopped_after(seconds, run_repair(config, None, Scorer.load(), see))
    napping.cancel()
    return late_s, idle_s


async def _nap(late_s: list[float]) -> None:
    """Nap without end, and note how late each ends (s)."""
    while True:
        due = time.perf_counter() + NAP_S
        await asyncio.sleep(NAP_S)
        late_s.append(max(time.perf_counter() - due, 0.0))


async def _stopped_after(seconds: float, work: Coroutine[None, None, object]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work
