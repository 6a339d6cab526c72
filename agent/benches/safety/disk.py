"""A disk that is full, will be, or may not be written to: is the tip safe, is the operator told?

The agent is a process of its own on a simulated controller that is another. The room is taken from
it in the middle of a repair: from one moment on, the system lets it write to no file any more.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.benches.safety.faults import release
from agent.benches.safety.killing import (
    CONFIG,
    READY_TIMEOUT_S,
    SEED,
    TIME_SCALE,
    WITHDRAW,
    heard,
    last_words,
)
from agent.benches.safety.wiretap import HOST, START, Wiretap
from agent.journal import FILE, Journal
from drivers.bench import SERVE, served
from drivers.benchmark import Row, judged
from drivers.errors import FileError, InstrumentError
from drivers.nanonis.options import LOGGER_OFFSET

#: Whether the room can be taken from another process here.
POSSIBLE = sys.platform == "linux"
#: The room goes after so many commands at most.
MOST_COMMANDS = 300
TOLD = b"cannot be used"
TOLD_WITHIN_S = 5.0
USER_ERROR = 2
RUNS = "runs"
#: A run of which nobody has the room to keep the journal.
ENDLESS = "[repair]\nmax_hours = 1000.0\nlines = 16\nleast_share = 1e-9\n"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Filled:
    """One repair whose disk was full from one moment on.

    Attributes:
        told_s: wall time from that moment until the operator was told (s).
        withdrawn: whether the tip was withdrawn after it.
        entries: how many entries the journal still gives; 0 if it cannot be read or has gaps.
        exit_code: of the agent, or None if it did not end by itself.
    """

    told_s: float
    withdrawn: bool
    entries: int
    exit_code: int | None

    @property
    def in_order(self) -> bool:
        """Whether it ended as it must."""
        return self.withdrawn and self.entries > 0 and self.exit_code == USER_ERROR


def rows(trials: int, progress: Progress) -> list[Row]:
    """Fill the disk of ``trials`` repairs, and start two that cannot be journaled; the figures.

    Raises:
        ConnectionFailed: the simulated controller does not start.
        InstrumentError: a repair ended by itself.
    """
    commands = np.random.default_rng(SEED).integers(MOST_COMMANDS, size=trials)
    filled: list[Filled] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(trials if POSSIBLE else 0):
            progress(f"full disk {number + 1} of {trials}")
            here = Path(folder) / str(number)
            here.mkdir()
            # Each finds a tip in contact, not what the one before has left withdrawn.
            with _controller() as port:
                filled.append(asyncio.run(_fill_one(port, here, int(commands[number]))))
        progress("a journal that will not fit, and one that may not be written")
        with _controller() as port:
            refused = asyncio.run(_starts_refused(port, Path(folder)))
    note = f"{trials} repairs"
    slowest = max((one.told_s for one in filled), default=None)
    bad = sum(not one.in_order for one in filled)
    within = f"<= {TOLD_WITHIN_S:g}"
    missing = "" if filled else "only on Linux can the room be taken from another process"
    return [
        judged("disk full: slowest until told", slowest, "s", within, note=missing or note),
        judged(
            "disk full: not withdrawn, or the journal not readable",
            bad if filled else None,
            "",
            "<= 0",
            note=missing or note,
        ),
        judged("starts refused where no journal can be kept", refused, "", ">= 2", note="of 2"),
    ]


def _controller() -> AbstractContextManager[int]:
    return served("--seed", str(SEED), "--time-scale", str(TIME_SCALE))


def _uri(tap: Wiretap, port: int) -> str:
    return f"nanonis://{HOST}:{tap.port}?logger_port={port + LOGGER_OFFSET}"


async def _starts_refused(port: int, folder: Path) -> int:
    """How many of two repairs that cannot be journaled are refused."""
    async with Wiretap(port) as tap:
        endless = _arguments(_uri(tap, port), folder, f"{ENDLESS}[guardian]\n")
        too_long = await _refused(tap, endless, folder / RUNS)
        closed = _closed(folder / "closed") / RUNS
        shut_out = await _refused(tap, _arguments(_uri(tap, port), folder, CONFIG), closed)
    return too_long + shut_out


def _arguments(uri: str, folder: Path, config: str) -> tuple[str, ...]:
    path = folder / "tipsmith.toml"
    path.write_text(f"{config}state = {str(folder / 'guardian.json')!r}\n", encoding="utf-8")
    return ("repair", "--microscope", uri, "--config", str(path))


def _closed(folder: Path) -> Path:
    """A folder in which nobody may write; to one who may everywhere, a file in its place."""
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        folder.rmdir()
        folder.touch()
    return folder


async def _start(arguments: Sequence[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", SERVE, *arguments),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def _fill_one(port: int, folder: Path, commands: int) -> Filled:
    """Take the room from a repair ``commands`` commands after its first scan."""
    async with Wiretap(port) as tap:
        arguments = (*_arguments(_uri(tap, port), folder, CONFIG), "--journal", str(folder / RUNS))
        process = await _start(arguments)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await heard(tap, process, lambda: START in tap.sent)
                ready = len(tap.sent)
                await heard(tap, process, lambda: len(tap.sent) >= ready + commands)
                full, taken_at = len(tap.sent), time.monotonic()
                _take_the_room(process.pid)
                told_s = await _told(process) - taken_at
                # To the end of what it says, which is when its guardian has ended as well.
                await process.communicate()
        except InstrumentError as error:
            _, said = await process.communicate()
            raise InstrumentError(f"{error}: {last_words(said)}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
                await release(folder / "guardian.json")
        await tap.quiet()
    withdrawn = WITHDRAW in tap.sent[full:]
    return Filled(told_s, withdrawn, _entries(folder / RUNS), process.returncode)


def _take_the_room(pid: int) -> None:
    """Let no file of the process ``pid`` be written to any more."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))


async def _told(process: asyncio.subprocess.Process) -> float:
    """When the operator read that the journal cannot be used (monotonic s).

    Raises:
        InstrumentError: the agent has ended without having said so.
    """
    if process.stderr is not None:
        async for line in process.stderr:
            if TOLD in line:
                return time.monotonic()
    raise InstrumentError("the agent ended without a word of its journal")


def _entries(runs: Path) -> int:
    (run,) = runs.iterdir()
    try:
        with Journal.open(run / FILE) as journal:
            sequences = [one.sequence for one in journal.records()]
    except FileError:
        return 0
    return len(sequences) if sequences == list(range(1, len(sequences) + 1)) else 0


async def _refused(tap: Wiretap, arguments: Sequence[str], runs: Path) -> bool:
    """Whether a repair with its journal in ``runs`` is refused before it changes anything."""
    before = len(tap.sent)
    process = await _start((*arguments, "--journal", str(runs)))
    async with asyncio.timeout(READY_TIMEOUT_S):
        await process.communicate()
    await tap.quiet()
    changed = [name for name in tap.sent[before:] if not name.endswith("Get")]
    return process.returncode == USER_ERROR and not changed
