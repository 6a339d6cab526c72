"""How fast our Nanonis client is beside the vendor's, both on one simulated controller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.benchmark import BenchOptions, Report, Row, judged
from drivers.errors import ConnectionFailed, UserError
from drivers.nanonis.client import NanonisConnection
from drivers.nanonis.codes import Sweep
from drivers.nanonis.options import LOGGER_OFFSET
from drivers.peers import PEERS, peer_python

HOST = "127.0.0.1"
SERVE = "from agent.main import main; main()"
START_TIMEOUT_S = 60.0
PORT_OFFSETS = (0, 1, 2, 3, LOGGER_OFFSET)
#: Below the ports that systems hand out by themselves: none is taken by a client that connects
#: somewhere between the moment that it was found free and the moment that it is listened on.
QUIET_PORTS = range(15_000, 30_000)

PEER = "nanonis-spm"
#: Takes lines of a command and a count; answers each with the seconds that every call took.
PEER_PROGRAM = """
import json, socket, sys, time
from nanonis_spm import Nanonis
client = Nanonis(socket.create_connection((sys.argv[1], int(sys.argv[2]))))
channel = int(sys.argv[3])
calls = {"Bias.Get": client.Bias_Get,
         "Scan.FrameDataGrab": lambda: client.Scan_FrameDataGrab(channel, 1)}
for line in sys.stdin:
    name, count = line.split()
    times = []
    for _ in range(int(count)):
        started = time.perf_counter()
        calls[name]()
        times.append(time.perf_counter() - started)
    print(json.dumps(times), flush=True)
"""

PIXELS = 256
Z_SIGNAL = "Z (m)"
#: Calls per turn. The clients take turns, so that both meet the same moods of the machine.
TURN = {"Bias.Get": 100, "Scan.FrameDataGrab": 10}
TURNS, QUICK_TURNS = 200, 50
RESAMPLES = 2000

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds per call of one command, shape (turns, calls); theirs may be missing."""

    ours: Times
    theirs: Times | None


def run(options: BenchOptions) -> Report:
    """Measure our Nanonis client beside the vendor's, call by call.

    Raises:
        ConnectionFailed: the simulated controller does not start.
    """
    turns = QUICK_TURNS if options.quick else TURNS
    peer, missing = _find_peer(options)
    rows: list[Row] = []
    with served("--seed", "1") as port:
        timed = asyncio.run(_measure(port, peer, turns, options))
    for name, times in timed.items():
        rows += _rows(name, times, missing)
    return Report("driver", rows)


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[int]:
    """Run the simulated Nanonis controller as a process of its own.

    Args:
        arguments: what ``tipsmith serve`` is told besides protocol and port.

    Yields:
        The first of its ports on this machine.

    Raises:
        ConnectionFailed: it does not start.
    """
    port = free_port()
    command = [sys.executable, "-P", "-c", SERVE, "serve", "--protocol", "nanonis"]
    with (
        tempfile.TemporaryDirectory() as session,
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - our own program, no shell
            [*command, "--port", str(port), "--session-path", session, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process,
    ):
        try:
            if not _listening(process, port):
                said.seek(0)
                last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise ConnectionFailed(f"the simulated controller does not start: {last}")
            yield port
        finally:
            process.terminate()


def _listening(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        # Every port serves one client: the question is put to the last, which no client uses.
        with contextlib.suppress(OSError), socket.create_connection((HOST, port + 3), timeout=1):
            return True
        time.sleep(0.05)
    return False


def free_port() -> int:
    """The first of the ports that a controller needs, all of them free just now."""
    while True:
        first = secrets.choice(QUIET_PORTS)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for offset in PORT_OFFSETS:
                held.enter_context(socket.create_server((HOST, first + offset)))
            return first


class _Peer:
    """The vendor's client in its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def turn(self, name: str) -> list[float]:
        """Seconds that each call of one turn took."""
        command, answer = self._process.stdin, self._process.stdout
        if command is None or answer is None:
            raise ValueError("the peer's process needs pipes")
        print(name, TURN[name], file=command, flush=True)
        line = answer.readline()
        if not line:
            raise ConnectionFailed(f"{PEER} gave up on {name}")
        times: list[float] = json.loads(line)
        return times


def _find_peer(options: BenchOptions) -> tuple[str | None, str]:
    options.progress(0.0, f"preparing {PEER}")
    try:
        return str(peer_python(PEER)), ""
    except UserError as error:
        return None, str(error)


async def _measure(
    port: int, peer_program: str | None, turns: int, options: BenchOptions
) -> dict[str, Timed]:
    connection = NanonisConnection(HOST, port)
    try:
        names = (await connection.call("Signals.NamesGet"))["names"]
        channel = names.index(Z_SIGNAL)
        size = {"pixels": PIXELS, "lines": PIXELS}
        await connection.call("Scan.BufferSet", channels=(channel,), **size)
        arguments = {"Bias.Get": {}, "Scan.FrameDataGrab": _frame(channel)}
        with _started(peer_program, port + 1, channel) as peer:
            times = {}
            for done, (name, values) in enumerate(arguments.items()):
                options.progress(done / len(arguments), name)
                times[name] = await _alternate(connection, peer, name, values, turns)
            return times
    finally:
        await connection.close()


def _frame(channel: int) -> dict[str, Any]:
    return {"channel": channel, "sweep": Sweep.FORWARD}


@contextlib.contextmanager
def _started(program: str | None, port: int, channel: int) -> Iterator[_Peer | None]:
    if program is None:
        yield None
        return
    command = [program, "-c", PEER_PROGRAM, HOST, str(port), str(channel)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603
        yield _Peer(process)
        # Leaving closes the pipes, which ends the program.


async def _alternate(
    connection: NanonisConnection,
    peer: _Peer | None,
    name: str,
    values: dict[str, Any],
    turns: int,
) -> Timed:
    ours: list[Sequence[float]] = []
    theirs: list[Sequence[float]] = []
    # The first turn warms up and does not count.
    for _ in range(turns + 1):
        ours.append(await _turn(connection, name, values))
        if peer is not None:
            theirs.append(await asyncio.to_thread(peer.turn, name))
    return Timed(np.array(ours[1:]), np.array(theirs[1:]) if peer is not None else None)


async def _turn(connection: NanonisConnection, name: str, values: dict[str, Any]) -> list[float]:
    times = []
    for _ in range(TURN[name]):
        started = time.perf_counter()
        await connection.call(name, **values)
        times.append(time.perf_counter() - started)
    return times


def _rows(name: str, timed: Timed, missing: str) -> list[Row]:
    size = f" {PIXELS}x{PIXELS}" if name == "Scan.FrameDataGrab" else ""
    peer = f"{PEER} {PEERS[PEER]}"
    rows = [
        *_percentiles(f"{name}{size}, ours", timed.ours),
        *_percentiles(f"{name}{size}, {peer}", timed.theirs, missing),
    ]
    ratio, interval = _ratio(timed)
    title = f"{name}{size}, theirs / ours at the median"
    return [*rows, judged(title, ratio, "", "> 1", interval, missing)]


def _percentiles(title: str, times: Times | None, note: str = "") -> list[Row]:
    def at(percent: int) -> float | None:
        return None if times is None else float(np.percentile(times, percent)) * 1e3

    return [Row(f"{title}, p{percent}", at(percent), "ms", note=note) for percent in (50, 99)]


def _ratio(timed: Timed) -> tuple[float | None, tuple[float, float] | None]:
    """Ratio of the medians of a turn, and its 95 % interval from resampled turns."""
    if timed.theirs is None:
        return None, None
    ratios = np.median(timed.theirs, axis=1) / np.median(timed.ours, axis=1)
    draws = np.random.default_rng(0).choice(ratios, (RESAMPLES, ratios.size))
    low, high = np.percentile(np.median(draws, axis=1), (2.5, 97.5))
    return float(np.median(ratios)), (float(low), float(high))
