"""The guardian's process run inside the test, between real sockets: what it does with its core."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import runpy
import signal
import struct
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from agent.config import GuardianSettings
from agent.guardian import __main__ as program
from agent.guardian import alive, asking, process, telling
from agent.guardian.desk import Answer, decode_answer, encode_request
from agent.guardian.process import GuardianProcess
from agent.guardian.statefile import Report, read_report, write_report
from agent.guardian.states import State
from tests.agent.guardian_world import silent

HOST = "127.0.0.1"
TAIL = bytes(8)
TIMING = {
    "lost_after_s": 20.0,
    "grace_s": 5.0,
    "answer_s": 5.0,
    "connect_s": 5.0,
    "retry_s": 0.05,
    "watch_s": 0.05,
    "blind_after_s": 20.0,
}


def exchange(name: str, reading: dict[str, object] | None = None) -> dict[str, object]:
    echo = name.encode().ljust(32, b"\0")
    told = {"request": echo + bytes(8), "echo": echo, "tail": TAIL}
    return {"name": name, "reading": reading, **{key: raw.hex() for key, raw in told.items()}}


@dataclass
class Controller:
    """As much of a controller as emergency frames need.

    Attributes:
        port: where it listens; 0 while it does not.
        withdrawn: whether its tip is.
        mute: whether it hears and says nothing.
        connections: how many there were.
    """

    port: int = 0
    withdrawn: bool = False
    mute: bool = False
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def handed(self) -> dict[str, object]:
        """What an agent hands to its guardian."""
        orders = {
            "host": HOST,
            "port": self.port,
            "framing": {"head_bytes": 40, "size_offset": 32},
            "steps": [exchange("withdraw")],
            "checks": [exchange("status", {"format": ">H", "good": [[1, 1]]})],
        }
        return {"orders": orders, "timing": TIMING}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(40)
                if self.mute:
                    continue
                name = head[:32].rstrip(b"\0")
                self.withdrawn |= name == b"withdraw"
                body = (struct.pack(">H", self.withdrawn) if name == b"status" else b"") + TAIL
                writer.write(head[:32] + struct.pack(">i", len(body)) + bytes(4) + body)
        writer.close()


@pytest.fixture
async def controller() -> AsyncGenerator[Controller]:
    one = Controller()
    server = await asyncio.start_server(one.serve, HOST, 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()
    for writer in one.writers:
        writer.close()
    await server.wait_closed()
    await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Take the signals back that a guardian has heeded."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guardian.json"


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(4000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not happen")


def held(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def told(path: Path) -> State | None:
    report = read_report(path)
    return report and report.state


@asynccontextmanager
async def running(path: Path, *, once: bool = True) -> AsyncGenerator[asyncio.Task[None]]:
    """A guardian with a state file that says it runs."""
    before = held(path)
    task = asyncio.create_task(GuardianProcess(path, once=once).run())
    await until(lambda: task.done() or held(path) != before)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass
class Visitor:
    """Somebody at the guardian's desk."""

    token: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def at(cls, path: Path) -> Visitor:
        report = read_report(path)
        return cls(report.token, *await asyncio.open_connection(HOST, report.port))

    async def ask(self, question: str, **more: object) -> Answer:
        self.writer.write(encode_request(question, self.token, **more))
        return decode_answer(await self.reader.readline())

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def armed(path: Path, controller: Controller) -> Visitor:
    agent = await Visitor.at(path)
    assert (await agent.ask("arm", **controller.handed)).done
    await until(lambda: told(path) is State.ARMED)
    return agent


async def asked(path: Path, question: str, **more: object) -> Answer | None:
    return await asyncio.to_thread(asking.ask, path, question, **more)


async def test_one_lease_given_back_ends_it_and_leaves_the_tip(path: Path, controller: Controller):
    async with running(path) as guardian:
        first = read_report(path)
        assert (first.state, first.reason) == (State.DISARMED, "nothing is guarded")
        assert (first.pid, first.handed, len(first.token)) == (os.getpid(), None, 32)
        # The system chose it.
        assert first.port >= 1024
        agent = await armed(path, controller)
        assert read_report(path).handed == controller.handed
        assert (await agent.ask("renew")).state is State.ARMED
        assert (await asked(path, "state")).state is State.ARMED
        assert not guardian.done()
        assert (await agent.ask("disarm")).done
        await asyncio.wait_for(guardian, 10.0)
        await agent.leave()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, first.port)
    last = read_report(path)
    assert (last.state, last.handed) == (State.DISARMED, None)
    assert not controller.withdrawn


async def test_an_agent_that_dies_is_replaced_until_a_human_rearms(
    path: Path, controller: Controller, capsys: pytest.CaptureFixture[str]
):
    async with running(path) as guardian:
        agent = await armed(path, controller)
        await agent.leave()
        await until(lambda: told(path) is State.WITHDRAWN)
        assert controller.withdrawn
        assert not guardian.done()
        assert (await asked(path, "rearm")).done
        await asyncio.wait_for(guardian, 10.0)
    said = capsys.readouterr().err
    assert "withdrawn: the agent has died" in said
    # Good news of one run is the agent's to tell.
    assert "armed: " not in said.replace("disarmed", "")


async def test_what_happens_is_acted_on_at_once_and_not_with_the_next_tick(
    path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
):
    assert 0.0 < process.TICK_S < min(GuardianSettings().timing.values()) / 5
    monkeypatch.setattr(process, "TICK_S", 1000.0)
    async with running(path) as guardian:
        agent = await armed(path, controller)
        await agent.leave()
        await until(lambda: told(path) is State.WITHDRAWN)
        assert (await asked(path, "rearm")).done
        await asyncio.wait_for(guardian, 10.0)
    async with running(path) as guardian:
        agent = await armed(path, controller)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(guardian, 10.0)
        await agent.leave()
    controller.port, other = unused_tcp_port, path.with_name("other.json")
    async with running(other):
        agent = await Visitor.at(other)
        assert (await agent.ask("arm", **controller.handed)).done
        assert (await agent.ask("trip", reason="a stop")).done
        await until(lambda: told(other) is State.UNREACHABLE)
        await agent.leave()


async def test_a_connection_that_breaks_is_replaced_at_once(
    path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(process, "TICK_S", 1000.0)
    controller.mute = True
    handed = controller.handed
    handed["orders"]["checks"] *= 2
    async with running(path):
        agent = await Visitor.at(path)
        assert (await agent.ask("arm", **handed)).done
        await until(lambda: controller.connections == 1)
        controller.writers[0].transport.abort()
        await until(lambda: controller.connections == 2)
        await agent.leave()


async def test_an_agent_that_falls_silent_is_withdrawn_from(path: Path, controller: Controller):
    handed = controller.handed | {"timing": TIMING | {"lost_after_s": 0.05, "grace_s": 0.05}}
    async with running(path):
        agent = await Visitor.at(path)
        assert (await agent.ask("arm", **handed)).done
        await until(lambda: told(path) is State.WITHDRAWN)
        assert controller.withdrawn
        assert read_report(path).reason == "no sign of life from the agent for 0.05 s"
        await agent.leave()


async def test_what_is_told_last_is_on_the_disk_before_anybody_goes_on(
    path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch
):
    def slowly(where: Path, report: Report) -> None:
        threading.Event().wait(0.1)
        write_report(where, report)

    monkeypatch.setattr(telling, "write_report", slowly)
    async with running(path, once=False) as guardian:
        agent = await armed(path, controller)
        assert (await agent.ask("disarm")).done
        assert told(path) is State.DISARMED
        assert (await agent.ask("arm", **controller.handed)).done
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(guardian, 10.0)
        await agent.leave()
    assert told(path) is State.WITHDRAWN


async def test_as_a_service_it_waits_for_the_next_lease_and_says_all(
    path: Path, controller: Controller, capsys: pytest.CaptureFixture[str]
):
    async with running(path, once=False) as guardian:
        for _ in range(2):
            agent = await armed(path, controller)
            assert (await agent.ask("disarm")).done
            await agent.leave()
            assert told(path) is State.DISARMED
        assert not guardian.done()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(guardian, 10.0)
    said = capsys.readouterr().err
    assert said.count(": armed: the instrument can be withdrawn from here\n") == 2
    assert said.count("tipsmith guardian, ") == said.count("\n") == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_end_it_withdraws_first_and_a_successor_does_so_again(
    path: Path, controller: Controller, number: signal.Signals
):
    async with running(path) as guardian:
        agent = await armed(path, controller)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(guardian, 10.0)
        await agent.leave()
    left = read_report(path)
    assert (left.state, left.reason) == (State.WITHDRAWN, "the guardian was told to end")
    assert controller.withdrawn
    controller.withdrawn = False
    async with running(path) as successor:
        await until(lambda: told(path) is State.WITHDRAWN and controller.withdrawn)
        resumed = read_report(path)
        assert resumed.reason == "an earlier guardian ended while it was armed or latched"
        assert resumed.handed == left.handed
        assert resumed.token != left.token
        os.kill(os.getpid(), number)
        await asyncio.wait_for(successor, 10.0)


async def test_told_to_end_it_stays_while_the_tip_is_not_seen_to_be_withdrawn(
    path: Path, controller: Controller, unused_tcp_port: int
):
    async with running(path) as guardian:
        agent = await armed(path, controller)
        for writer in controller.writers:
            writer.transport.abort()
        await agent.leave()
        await until(lambda: told(path) is State.WITHDRAWN)
        assert controller.connections == 2
    controller.port = unused_tcp_port
    handed = Report(State.ARMED, "", "", 1, 1, "0", controller.handed)
    write_report(path, handed)
    async with running(path) as guardian:
        await until(lambda: told(path) is State.UNREACHABLE)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        assert not guardian.done()
        assert not (await asked(path, "rearm")).done


async def test_one_that_nobody_uses_ends(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "UNUSED_S", 0.05)
    # As on a system without this signal.
    monkeypatch.delattr(signal, "SIGHUP")
    await asyncio.wait_for(GuardianProcess(path, once=True).run(), 10.0)
    assert told(path) is State.DISARMED
    async with running(path, once=False) as service:
        await asyncio.sleep(0.2)
        assert not service.done()


async def test_there_is_one_guardian_for_a_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alive, "PATIENCE_S", 0.0)
    monkeypatch.setattr(process, "UNUSED_S", 0.0)
    # One that has just started has written nothing yet, and nobody can ask it.
    with alive.alone(path), pytest.raises(ValueError, match="another guardian runs with the state"):
        await GuardianProcess(path, once=True).run()
    assert told(path) is None
    async with running(path, once=False):
        report = read_report(path)
        with pytest.raises(ValueError, match="another guardian runs with the state file"):
            await GuardianProcess(path, once=True).run()
        assert read_report(path) == report
    await GuardianProcess(path, once=True).run()
    assert read_report(path).token != report.token


async def test_another_guardian_at_the_port_does_not_count(path: Path):
    async with running(path):
        theirs = read_report(path)
        ours = path.with_name("ours.json")
        write_report(ours, Report(State.ARMED, "", "", 1, theirs.port, "not theirs", None))
        assert await asked(ours, "state") is None
        assert (await asked(path, "state")).reason == "nothing is guarded"


async def test_it_withdraws_although_a_silent_program_has_the_port_of_its_predecessor(
    path: Path, controller: Controller
):
    async with silent() as port:
        write_report(path, Report(State.ARMED, "", "", 1, port, "0", controller.handed))
        async with running(path):
            await until(lambda: told(path) is State.WITHDRAWN)
            assert controller.withdrawn
            assert read_report(path).port != port


NO_ROOM = OSError(28, "No space left on device")


def refuse_writing(_: Path, __: Report) -> None:
    raise NO_ROOM


async def test_nothing_is_guarded_that_cannot_be_written_down(
    path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(telling, "RETRY_S", 0.02)
    async with running(path, once=False):
        before = held(path)
        monkeypatch.setattr(telling, "write_report", refuse_writing)
        agent = await Visitor.at(path)
        answer = await agent.ask("arm", **controller.handed)
        assert (answer.done, answer.state) == (False, State.DISARMED)
        assert answer.reason.startswith(f"the state file cannot be written ({NO_ROOM})")
        assert held(path) == before
        # With room again the same guardian guards.
        monkeypatch.setattr(telling, "write_report", write_report)
        assert (await agent.ask("arm", **controller.handed)).done
        assert read_report(path).handed == controller.handed
        await agent.ask("disarm")
        await agent.leave()
    assert not controller.withdrawn


async def test_one_that_was_started_for_a_run_ends_with_its_refusal(
    path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(process, "TICK_S", 1000.0)
    async with running(path) as guardian:
        monkeypatch.setattr(telling, "write_report", refuse_writing)
        agent = await Visitor.at(path)
        assert not (await agent.ask("arm", **controller.handed)).done
        await asyncio.wait_for(guardian, 10.0)
        await agent.leave()


async def test_what_is_guarded_is_on_the_disk_before_the_agent_is_told(
    path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch
):
    free = threading.Event()

    def slowly(where: Path, report: Report) -> None:
        free.wait(10.0)
        write_report(where, report)

    async with running(path):
        monkeypatch.setattr(telling, "write_report", slowly)
        agent = await Visitor.at(path)
        told_of_it = asyncio.ensure_future(agent.ask("arm", **controller.handed))
        await until(lambda: controller.connections > 0)
        await asyncio.sleep(0.05)
        assert not told_of_it.done()
        assert told(path) is State.DISARMED
        free.set()
        assert (await told_of_it).done
        # Whoever comes after it knows what to withdraw.
        assert read_report(path).handed == controller.handed
        await agent.ask("disarm")
        await agent.leave()


async def test_a_disk_that_fills_up_later_stops_no_withdrawal_and_is_written_when_it_can_be(
    path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(telling, "RETRY_S", 0.02)
    async with running(path):
        agent = await armed(path, controller)
        monkeypatch.setattr(telling, "write_report", refuse_writing)
        await agent.leave()
        await until(lambda: controller.withdrawn)
        assert told(path) is State.ARMED
        monkeypatch.setattr(telling, "write_report", write_report)
        await until(lambda: told(path) is State.WITHDRAWN)


def torn(state: str, handed: object) -> str:
    report = Report(State(state), "", "", 1, 1, "0", None)
    return json.dumps({**asdict(report), "handed": handed})


def left(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0\0\0",
        '{"state": "armed", "reason": "the instr',
        torn("armed", None),
        torn("withdrawn", {"orders": []}),
        torn("blind", {"orders": {}, "timing": TIMING}),
        torn("tripping", "x"),
    ],
)
async def test_a_torn_file_is_an_alarm_that_a_human_ends(
    path: Path, controller: Controller, capsys: pytest.CaptureFixture[str], text: str
):
    left(path, text)
    kept = path.with_name("guardian.json.torn")
    async with running(path) as guardian:
        report = read_report(path)
        assert report.state is State.UNKNOWN
        assert f"kept as {kept}" in report.reason
        assert kept.read_text() == text
        agent = await Visitor.at(path)
        assert not (await agent.ask("arm", **controller.handed)).done
        assert not (await asked(path, "trip", reason="a stop")).done
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(guardian, 10.0)
        await agent.leave()
    assert f": unknown: {report.reason}\n" in capsys.readouterr().err
    async with running(path) as successor:
        again = read_report(path)
        assert (again.state, again.reason) == (State.UNKNOWN, report.reason)
        assert kept.read_text() == text
        assert (await asked(path, "rearm")).done
        await asyncio.wait_for(successor, 10.0)
    assert told(path) is State.DISARMED
    assert controller.connections == 0


async def test_a_torn_file_that_cannot_be_kept_keeps_none_from_starting(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(_: Path) -> Path:
        raise PermissionError(1, "no second names here")

    monkeypatch.setattr(process, "keep_torn", refuse)
    left(path, "")
    async with running(path):
        assert told(path) is State.UNKNOWN
        assert "cannot be kept: [Errno 1] no second names here" in read_report(path).reason


def test_the_program_says_in_one_line_why_it_cannot_start(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path.mkdir(0o700)
    monkeypatch.setattr(sys, "argv", ["guardian", "--state", str(path)])
    monkeypatch.delitem(sys.modules, "agent.guardian.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("agent.guardian", run_name="__main__")
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("tipsmith guardian: cannot start: ")


def test_the_program_asks_for_its_state_file(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        program.main([])
    assert "--state" in capsys.readouterr().err


def test_the_program_ends_well(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "UNUSED_S", 0.0)
    assert program.main(["--state", str(path), "--once"]) == 0
    assert told(path) is State.DISARMED
