"""How late the agent's event loop comes while it repairs: everything that waits for it waits so.

A real repair of a simulated controller in a process of its own, over sockets and under a guardian,
faster than a laboratory's so that there is more to judge, and watched by viewers. What else runs on
the loop are naps whose overtime is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path

import numpy as np

from agent.config import Config, GuardianSettings, RepairSettings, TelemetrySettings
from agent.loop import run
from agent.result import Progress
from agent.session import run_repair
from drivers.bench import HOST, SERVE, free_port, served
from drivers.benchmark import Row, judged
from drivers.errors import InstrumentError
from policies.scorer import Scorer

#: A line every 25 ms: ten times as many to judge as usual.
TIME_SCALE = 10
SEED = 5
NAP_S, IDLE_S = 0.002, 3.0
VIEWERS = 5
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
        InstrumentError: the repair did not begin to scan before all viewers in time, or ended too
            soon.
    """
    address = f"tcp://{HOST}:{free_port()}"
    scorer = Scorer.load()
    idle_s = run(_idle())
    with (
        served("--seed", str(SEED), "--time-scale", str(TIME_SCALE)) as port,
        viewers(address, folder) as heard,
    ):
        config = _config(port, folder, address)
        late_s = run(_watched(seconds, config, scorer, heard))
        least = min(path.read_bytes().count(b"\n") for path in heard)
    if not late_s:
        raise InstrumentError(
            f"within {seconds:g} s the repair did not scan and be heard by all viewers, of whom "
            f"the slowest got {least} messages"
        )
    note = (
        f"{len(late_s)} naps during a repair with inference, a line every 25 ms, {VIEWERS} viewers "
        f"of whom the slowest got {least} messages; with an idle loop "
        f"{1e3 * waited_s(idle_s, 99):.1f} ms"
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


@contextlib.contextmanager
def viewers(address: str, folder: Path) -> Iterator[list[Path]]:
    """Processes that watch a run at ``address``; the files with what each of them hears, by lines.

    Args:
        address: where the run is told.
        folder: gets the files.
    """
    command = [sys.executable, "-P", "-c", SERVE, "watch", address, "--json"]
    heard = [folder / f"viewer-{number}.jsonl" for number in range(VIEWERS)]
    with contextlib.ExitStack() as undo:
        for path in heard:
            file = undo.enter_context(path.open("wb"))
            process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                command, stdout=file, stderr=subprocess.DEVNULL
            )
            undo.enter_context(process)
            undo.callback(process.terminate)
        yield heard


def _config(port: int, folder: Path, address: str) -> Config:
    return Config(
        guardian=GuardianSettings(state=str(folder / "guardian.json")),
        repair=REPAIR,
        telemetry=TelemetrySettings(publish=address),
    ).overridden(uri=f"nanonis://{HOST}:{port}", directory=folder / "runs")


async def _idle() -> list[float]:
    """How late each nap on an idle loop ended (s)."""
    late_s: list[float] = []
    await _ended_within(IDLE_S, _nap(late_s))
    return late_s


async def _watched(
    seconds: float, config: Config, scorer: Scorer, heard: Sequence[Path]
) -> list[float]:
    """How late each nap beside a repair ended (s)."""
    late_s: list[float] = []
    begun = asyncio.Event()

    def see(progress: Progress) -> None:
        # Whatever is slow the first time comes before the guardian is armed; viewers start slowly.
        if progress.lines and not begun.is_set() and all(path.stat().st_size for path in heard):
            begun.set()

    async def nap_beside() -> None:
        await begun.wait()
        await _nap(late_s)

    napping = asyncio.create_task(nap_beside())
    if await _ended_within(seconds, run_repair(config, None, scorer, see)):
        raise InstrumentError("the repair ended while its loop was watched; why, its journal tells")
    napping.cancel()
    return late_s


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
