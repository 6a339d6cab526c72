"""Killing the agent at random moments of a repair: is anything lost, is anything sent twice?

The agent is a process of its own and so is the simulated controller, which goes on while the agent
is dead. The guardian withdraws the tip after each kill, and the benchmark re-arms it at once. What
was sent is heard on the wire between them, what was acknowledged is what the agent has told on its
screen.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from agent.benches.safety.faults import release
from agent.benches.safety.wiretap import HOST, START, Wiretap
from agent.journal import FILE, Journal
from agent.journal.past import read_past
from agent.record import Intent, Kind, Record, decode_intent, encode_intent
from drivers.actions import Indentation, Pulse
from drivers.bench import SERVE, served
from drivers.benchmark import Row, judged
from drivers.errors import InstrumentError
from drivers.nanonis.options import LOGGER_OFFSET

SEED = 1
TIME_SCALE = 100
#: The kill comes after at most so many commands: several looks and actions.
MOST_COMMANDS = 400
MOST_DELAY_S = 0.02
READY_TIMEOUT_S = 120.0
ACTING = frozenset({"Bias.Pulse", "TipShaper.Start"})
WITHDRAW = "ZCtrl.Withdraw"
#: A finished step on the screen: the time, then ``look`` or the kind of the action.
STEP = re.compile(rb"^ *\d+:\d\d  (?:look|pulse|indentation) .*\n", re.MULTILINE)
#: No tip is ever good enough, so that no repair ends before it is killed.
CONFIG = """
[repair]
doubt_quality = 0.98
confirm_quality = 0.999
search_looks = 1000
forward_s = 0.05
backward_s = 0.05

# Not what is measured here, and the machine may be busy.
[guardian]
lost_after_s = 5.0
"""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Killed:
    """One agent from its start to its kill.

    Attributes:
        ready_s: wall time from its start to its first withdrawal or scan (s).
        told: steps that it has told the end of.
        sent: the commands it has sent, in order.
        records: its journal; empty if it was killed before it had one.
        left: the action of unknown outcome that the next one has to find, or None.
    """

    ready_s: float
    told: int
    sent: Sequence[str]
    records: Sequence[Record] = ()
    left: Intent | None = None

    @property
    def unknown(self) -> Intent | None:
        """The action that it was killed in."""
        last = next((one for one in reversed(self.records) if one.kind in _OF_ACTIONS), None)
        return decode_intent(last.payload) if last and last.kind is Kind.INTENT else None

    @property
    def lost(self) -> int:
        """Acknowledged steps that the journal does not hold, and gaps in it."""
        finished = sum(one.kind is Kind.LOOKED for one in self.records) + len(self._acted)
        gaps = (records := self.records) and records[-1].sequence - len(records)
        return max(self.told - finished, 0) + int(gaps or 0)

    @property
    def unannounced(self) -> int:
        """Actions that went over the wire more often than the journal says."""
        sent = sum(name in ACTING for name in self.sent)
        known = self.unknown is not None and isinstance(self.unknown.action, Pulse | Indentation)
        return max(sent - len(self._acted) - known, 0)

    @property
    def hasty(self) -> bool:
        """Whether it acted before it had withdrawn and looked; after a kill it must not."""
        acted = next((at for at, name in enumerate(self.sent) if name in ACTING), None)
        if acted is None:
            return False
        withdrawn = [at for at, name in enumerate(self.sent[:acted]) if name == WITHDRAW]
        return not withdrawn or START not in self.sent[withdrawn[-1] : acted]

    @property
    def _acted(self) -> list[Record]:
        return [one for one in self.records if one.kind is Kind.OUTCOME and _own(self, one)]

    def found(self, before: Killed) -> bool:
        """Whether it has said what ``before`` has left, unless it was killed before it could."""
        said = next((one.payload for one in self.records if one.kind is Kind.FOUND), None)
        left = None if before.left is None else encode_intent(before.left)
        return said is None or said["intent"] == left


_OF_ACTIONS = frozenset({Kind.INTENT, Kind.OUTCOME, Kind.REFUSED})


def _own(killed: Killed, answer: Record) -> bool:
    asked = next(one for one in killed.records if one.sequence == answer.intent)
    return bool(asked.payload["own"])


def rows(count: int, progress: Progress) -> list[Row]:
    """Kill ``count`` agents, each of which takes up after the one before; the figures.

    Args:
        count: how many kills, at least 2.
        progress: told the share that is done, 0..1, and what comes next.

    Raises:
        ConnectionFailed: the simulated controller does not start.
        InstrumentError: an agent ended by itself.
    """
    killed = kills(count, progress)
    # One that was killed before it did anything is passed over by the next.
    begun = [one for one in killed if len(one.records) > 1]
    pairs = list(zip(begun[1:], begun, strict=False))
    restarts = [one.ready_s for one in killed[1:]]
    return [
        Row("agents killed", len(killed), note=f"{len(begun)} of them after their first entry"),
        Row("of these in an action of unknown outcome", sum(bool(one.unknown) for one in killed)),
        Row(
            "actions heard on the wire", sum(name in ACTING for one in killed for name in one.sent)
        ),
        judged("acknowledged steps lost", sum(one.lost for one in killed), "", "<= 0"),
        judged(
            "actions sent twice or unannounced", sum(one.unannounced for one in killed), "", "<= 0"
        ),
        judged(
            "acted before withdrawing and looking", sum(one.hasty for one in killed[1:]), "", "<= 0"
        ),
        judged(
            "unknown outcomes not found again", sum(not a.found(b) for a, b in pairs), "", "<= 0"
        ),
        Row("restart to withdrawal on the wire, median", median(restarts), "s"),
        judged("restart to withdrawal on the wire, longest", max(restarts), "s", "<= 5"),
    ]


def kills(count: int, progress: Progress, seed: int = SEED) -> list[Killed]:
    """Kill ``count`` agents on one simulated controller, at moments drawn from ``seed``."""
    rng = np.random.default_rng(seed)
    with (
        served("--seed", str(seed), "--time-scale", str(TIME_SCALE)) as port,
        tempfile.TemporaryDirectory() as folder,
    ):
        return asyncio.run(_kill_all(count, progress, rng, port, Path(folder)))


async def _kill_all(
    count: int, progress: Progress, rng: np.random.Generator, port: int, folder: Path
) -> list[Killed]:
    config = folder / "tipsmith.toml"
    state = folder / "guardian.json"
    config.write_text(f"{CONFIG}state = {str(state)!r}\n", encoding="utf-8")
    killed: list[Killed] = []
    async with Wiretap(port) as tap:
        uri = f"nanonis://{HOST}:{tap.port}?logger_port={port + LOGGER_OFFSET}"
        arguments = ("repair", "--microscope", uri, "--config", str(config))
        for number in range(count):
            progress(number / count, f"kill {number + 1} of {count}")
            commands = int(rng.integers(MOST_COMMANDS))
            delay_s = float(rng.uniform(0, MOST_DELAY_S))
            killed.append(await _kill_one(tap, arguments, folder / "runs", commands, delay_s))
            await release(state)
    return killed


async def _kill_one(
    tap: Wiretap, arguments: Sequence[str], runs: Path, commands: int, delay_s: float
) -> Killed:
    """Start an agent and kill it ``delay_s`` after so many commands from when it was ready."""
    before, earlier = len(tap.sent), _journals(runs)
    with tempfile.TemporaryFile() as screen:
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", SERVE, *arguments, "--journal", str(runs)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=screen,
            env=os.environ | {"COLUMNS": "200"},
        )
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await heard(tap, process, lambda: {WITHDRAW, START} & set(tap.sent[before:]))
                ready_s, ready = time.monotonic() - started, len(tap.sent)
                await heard(tap, process, lambda: len(tap.sent) >= ready + commands)
            await asyncio.sleep(delay_s)
        except InstrumentError as error:
            screen.seek(0)
            raise InstrumentError(f"{error}: {last_words(screen.read())}") from None
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await tap.quiet()
        screen.seek(0)
        told = len(STEP.findall(screen.read()))
    killed = Killed(ready_s, told, tap.sent[before:])
    for path in _journals(runs) - earlier:
        past = read_past(path)
        if past.entries:
            with Journal.open(path) as journal:
                killed = replace(killed, records=journal.records(), left=past.unknown)
    return killed


def _journals(runs: Path) -> set[Path]:
    return set(runs.glob(f"*/{FILE}"))


def last_words(said: bytes) -> str:
    """The last lines of what an agent has said, on one line."""
    lines = said.decode(errors="replace").strip().splitlines()
    return " ".join(line.strip() for line in lines[-3:])


async def heard(
    tap: Wiretap, process: asyncio.subprocess.Process, enough: Callable[[], object]
) -> None:
    """Wait until what was heard on the wire is ``enough``.

    Raises:
        InstrumentError: the agent has ended before it was.
    """
    ended = asyncio.create_task(process.wait())
    try:
        while not enough():
            tap.heard.clear()
            heard = asyncio.create_task(tap.heard.wait())
            await asyncio.wait({ended, heard}, return_when=asyncio.FIRST_COMPLETED)
            heard.cancel()
            if ended.done():
                raise InstrumentError(f"the agent ended by itself, with code {ended.result()}")
    finally:
        ended.cancel()
