"""A run told over real sockets: who hears it, what of it, and that nobody is waited for."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from agent.config import TelemetrySettings
from agent.phases import Phase
from agent.result import Progress
from agent.telemetry import publisher as module
from agent.telemetry.glance import Glance, decode
from agent.telemetry.keys import ViewerKeys, new_keys, new_viewer, viewer_keys
from agent.telemetry.publisher import BEAT_S, LINE_GAP_S, Publisher, publishing
from agent.telemetry.telling import glance_of
from drivers.errors import ConfigError
from drivers.scan import Frame
from policies.episode import Look
from policies.history import Looked
from policies.report import TipReport
from tests.agent.telling_world import RESULT, free_address

FRAME = Frame(x_m=12e-9, y_m=-8e-9, width_m=24e-9, height_m=24e-9)
REPORT = TipReport.of_outputs([0.5] + [0.1] * 8, 40)
LOOK = Progress(Phase.LOOKING, step=Look(FRAME, "see", whole=False), report=REPORT)
EVENT = Looked(FRAME, REPORT, None, 1.0)


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Viewer:
    """A raw socket that hears."""

    def __init__(self, raw: zmq.asyncio.Socket) -> None:
        self.raw = raw

    async def next(self) -> Glance:
        return decode(await asyncio.wait_for(self.raw.recv(), 20))


@asynccontextmanager
async def viewer(address: str, keys: ViewerKeys | None = None) -> AsyncGenerator[Viewer]:
    with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as raw:
        raw.linger = 0
        if keys is not None:
            raw.curve_publickey, raw.curve_secretkey = keys.own.public, keys.own.secret
            raw.curve_serverkey = keys.server
        raw.subscribe(b"")
        raw.connect(address)
        yield Viewer(raw)


@pytest.fixture
def no_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the first beat."""
    monkeypatch.setattr(module, "BEAT_S", 3600.0)


async def come(publisher: Publisher, one: Viewer) -> None:
    """Wait until the viewer is heard of: what it does not hear before is nobody's fault."""
    mark = replace(LOOK, note="here?")
    while True:
        publisher.see(mark)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await one.raw.recv()
                break
    publisher.see(replace(LOOK, note="here"))
    while (await one.next()).note != "here":
        pass


async def test_what_is_told_is_heard():
    address = free_address()
    async with Publisher(address) as publisher, viewer(address) as one:
        publisher.run = "a"
        await come(publisher, one)
        for progress in (
            replace(LOOK, event=EVENT),
            replace(LOOK, note="so"),
            replace(LOOK, result=RESULT),
        ):
            publisher.see(progress)
            heard = await one.next()
            while (heard.event, heard.note, heard.result) == (None, None, None):
                heard = await one.next()
            assert heard == glance_of(progress, "a")


@pytest.mark.usefixtures("no_beats")
async def test_lines_are_told_now_and_then_and_all_else_at_once():
    address, clock = free_address(), Clock()
    async with Publisher(address, clock=clock) as publisher, viewer(address) as one:
        await come(publisher, one)
        for line in range(1000):
            # Three of these fall into the time of one glance.
            clock.now_s += LINE_GAP_S / 3.0001
            publisher.see(replace(LOOK, lines=line))
        told = [
            replace(LOOK, event=EVENT),
            replace(LOOK, note="so"),
            replace(LOOK, phase=Phase.DECIDING),
            replace(LOOK, phase=Phase.DECIDING, step=Look(FRAME, "see", whole=False)),
            replace(LOOK, request=object()),
            LOOK,
            replace(LOOK, result=RESULT),
            replace(LOOK, result=replace(RESULT, warning="look")),
        ]
        for progress in told:
            publisher.see(progress)
        heard = [await one.next()]
        while heard[-1].result is None or heard[-1].result.warning is None:
            heard.append(await one.next())
    assert heard[-len(told) :] == [glance_of(progress) for progress in told]
    lines = [glance.lines for glance in heard[: -len(told)]]
    assert lines == list(range(3, 1000, 4))


async def test_who_comes_late_hears_how_it_stands_but_not_again_what_happened(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    address = free_address()
    async with Publisher(address) as publisher:
        publisher.see(replace(LOOK, lines=3, event=EVENT, note="so"))
        async with viewer(address) as one:
            heard = [await one.next() for _ in range(5)]
    assert heard == [glance_of(replace(LOOK, lines=3))] * 5


def test_a_beat_tells_that_the_loop_lives():
    assert BEAT_S <= 1.0


async def test_a_beat_that_fails_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    address = free_address()
    async with Publisher(address) as publisher, viewer(address) as one:
        with pytest.raises(ValueError, match="JSON"):
            publisher.see(replace(LOOK, instrument_s=float("nan"), note="none"))
        await asyncio.sleep(0.03)
        publisher.see(LOOK)
        assert await one.next() == glance_of(LOOK)


async def test_a_viewer_who_does_not_read_is_not_waited_for():
    address, full = free_address(), replace(LOOK, note="x" * 10_000)
    async with Publisher(address) as publisher, viewer(address) as one:
        one.raw.rcvhwm = 1
        await come(publisher, one)
        longest_s = 0.0
        for _ in range(5000):
            began_s = time.perf_counter()
            publisher.see(full)
            longest_s = max(longest_s, time.perf_counter() - began_s)
        ending_s = time.perf_counter()
    # Fifty megabytes, which nobody has taken.
    assert longest_s < 1.0
    assert time.perf_counter() - ending_s < 5.0


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
async def test_a_taken_address_is_told(scheme: str, tmp_path: Path):
    address = free_address() if scheme == "tcp" else f"ipc://{tmp_path / 's'}"
    async with Publisher(address):
        with pytest.raises(ConfigError, match=rf"publish: {address} is taken.*another port"):
            async with Publisher(address):
                pytest.fail("both listen")


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such sockets")
async def test_what_a_run_has_left_is_taken_over_and_nothing_else(tmp_path: Path):
    left, file = tmp_path / "s", tmp_path / "journal.sqlite"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    async with Publisher(f"ipc://{left}") as publisher, viewer(f"ipc://{left}") as one:
        await come(publisher, one)
    file.write_text("precious")
    with pytest.raises(ConfigError, match=r"cannot be listened on \(there is a file\)"):
        async with Publisher(f"ipc://{file}"):
            pytest.fail("it listens")
    assert file.read_text() == "precious"


async def test_an_address_of_another_machine_is_told(tmp_path: Path):
    new_keys(tmp_path / "keys")
    with pytest.raises(ConfigError, match=r"tcp://192.0.2.7:6510 cannot be listened on"):
        async with Publisher("tcp://192.0.2.7:6510", str(tmp_path / "keys")):
            pytest.fail("it listens")


async def test_only_known_keys_get_in(tmp_path: Path):
    folder, address = tmp_path / "keys", free_address()
    known = viewer_keys(new_keys(folder))
    new_keys(tmp_path / "others")
    stranger = replace(
        viewer_keys(tmp_path / "others" / "hand_out" / "viewer"), server=known.server
    )
    misled = replace(known, server=stranger.own.public)
    async with Publisher(address, str(folder)) as publisher:
        # Whoever has been made known since has to wait for the next run.
        late = viewer_keys(new_viewer(folder, "late"))
        async with (
            viewer(address, known) as one,
            viewer(address, stranger) as other,
            viewer(address, misled) as third,
            viewer(address, late) as fourth,
            viewer(address) as fifth,
        ):
            refused = [watched(outside.raw) for outside in (other, third, fourth, fifth)]
            await come(publisher, one)
            for outcome in refused:
                assert await outcome != zmq.EVENT_HANDSHAKE_SUCCEEDED
            publisher.see(replace(LOOK, note="secret"))
            while (await one.next()).note != "secret":
                pass
            for outside in (other, third, fourth, fifth):
                with pytest.raises(zmq.Again):
                    await outside.raw.recv(zmq.NOBLOCK)


async def test_without_a_doorkeeper_nobody_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    address = free_address()
    known = viewer_keys(new_keys(tmp_path / "keys"))
    monkeypatch.setattr(
        "agent.telemetry.doorkeeper.Doorkeeper._work", lambda self: self._book.stop()
    )
    async with Publisher(address, str(tmp_path / "keys")), viewer(address, known) as one:
        assert await watched(one.raw) == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


def watched(raw: zmq.asyncio.Socket) -> asyncio.Future[int]:
    """How the next handshake of ``raw`` ends."""
    failed = (
        zmq.EVENT_HANDSHAKE_FAILED_AUTH
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    )
    monitor = raw.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | failed)

    async def wait() -> int:
        with monitor:
            said = await asyncio.wait_for(monitor.recv_multipart(), 20)
            raw.disable_monitor()
        return int.from_bytes(said[0][:2], "little")

    return asyncio.ensure_future(wait())


async def test_nothing_listens_where_nothing_is_configured():
    async with publishing(TelemetrySettings()) as publisher:
        assert publisher is None


async def test_it_leaves_no_threads_behind(tmp_path: Path):
    new_keys(tmp_path / "keys")
    before = set(threading.enumerate())
    async with Publisher(free_address(), str(tmp_path / "keys")):
        assert "doorkeeper" in {thread.name for thread in threading.enumerate()}
    assert {thread.name for thread in set(threading.enumerate()) - before} <= {"aside"}


@pytest.mark.parametrize("fails", [True, False])
async def test_a_listener_that_fails_is_no_matter_of_viewers(fails: bool):
    seen: list[Progress] = []

    def listener(progress: Progress) -> None:
        seen.append(progress)
        if fails:
            raise OSError("the terminal is gone")

    address = free_address()
    async with Publisher(address) as publisher, viewer(address) as one:
        await come(publisher, one)
        both: Callable[[Progress], None] = publisher.beside(listener)
        note = replace(LOOK, note="both")
        with suppress(OSError):
            both(note)
        while (await one.next()).note != "both":
            pass
    assert seen == [note]
