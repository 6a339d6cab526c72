"""The guardian's sockets and its lock one by one, whom one asks, and what it says and writes."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from agent.guardian import alive, asking, telling
from agent.guardian.desk import MAX_LINE, Answer
from agent.guardian.link import InstrumentLink, VisitorLink
from agent.guardian.statefile import Report, read_report, write_report
from agent.guardian.states import State
from agent.guardian.telling import Teller
from tests.agent.guardian_world import silent

HOST = "127.0.0.1"


class Wire(asyncio.Transport):
    """A connection that notes what becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def abort(self) -> None:
        self.done.append(b"aborted")


class Heard:
    """An instrument link, and what it reports."""

    def __init__(self) -> None:
        self.of: list[object] = []
        self.ended = asyncio.Event()
        self.link = InstrumentLink(lambda: self.of.append("connected"), self.of.append, self._end)

    def _end(self) -> None:
        self.of.append("ended")
        self.ended.set()


def test_a_link_reports_until_it_is_closed_here():
    heard, wire = Heard(), Wire()
    heard.link.send(b"too early")
    heard.link.connection_made(wire)
    heard.link.send(b"a")
    heard.link.data_received(b"b")
    heard.link.close()
    heard.link.data_received(b"late")
    heard.link.connection_lost(None)
    assert heard.of == ["connected", b"b"]
    assert wire.done == [b"a", b"aborted"]


def test_a_link_that_breaks_says_so_once():
    heard = Heard()
    heard.link.connection_made(Wire())
    heard.link.connection_lost(None)
    heard.link.connection_lost(None)
    assert heard.of == ["connected", "ended"]


def test_a_connection_that_comes_too_late_is_not_kept():
    heard, wire = Heard(), Wire()
    heard.link.close()
    heard.link.connection_made(wire)
    assert (heard.of, wire.done) == ([], [b"aborted"])


@pytest.mark.parametrize("host", [HOST, "no" * 40 + ".invalid"])
async def test_a_connection_that_cannot_be_had_is_told(host: str, unused_tcp_port: int):
    heard = Heard()
    heard.link.connect(host, unused_tcp_port)
    await asyncio.wait_for(heard.ended.wait(), 20.0)
    assert heard.of == ["ended"]


async def test_a_connection_that_is_given_up_is_not_made():
    connected: list[object] = []
    server = await asyncio.start_server(lambda *streams: connected.append(streams), HOST, 0)
    heard = Heard()
    heard.link.connect(HOST, server.sockets[0].getsockname()[1])
    heard.link.close()
    await asyncio.sleep(0.05)
    server.close()
    await server.wait_closed()
    assert (heard.of, connected) == ([], [])


def test_a_visitor_is_answered_line_by_line_however_the_lines_come():
    left: list[object] = []
    visitor, wire = VisitorLink(lambda line, _: line.upper(), left.append), Wire()
    visitor.data_received(b"too early\n")
    visitor.connection_made(wire)
    for piece in (b"on", b"e\ntwo\nth", b"ree\n"):
        visitor.data_received(piece)
    assert wire.done == [b"ONE", b"TWO", b"THREE"]
    visitor.connection_lost(None)
    assert left == [visitor]


def test_a_visitor_may_be_answered_later():
    visitor, wire = VisitorLink(lambda line, _: None, lambda _: None), Wire()
    visitor.reply(b"too early")
    visitor.connection_made(wire)
    visitor.data_received(b"one\n")
    assert wire.done == []
    visitor.reply(b"ONE")
    assert wire.done == [b"ONE"]


def test_a_visitor_without_end_is_sent_away():
    visitor, wire = VisitorLink(lambda line, _: line, lambda _: None), Wire()
    visitor.connection_made(wire)
    visitor.data_received(b"x" * MAX_LINE)
    assert wire.done == []
    visitor.data_received(b"x")
    assert wire.done == [b"aborted"]
    assert MAX_LINE == 1024 * 1024


def ended(_: str | None) -> None:
    raise RuntimeError("Event loop is closed")


def test_a_disk_that_cannot_be_written_is_said_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    problems: list[str | None] = []
    path = tmp_path / "guardian.json"
    path.mkdir()
    teller = Teller(path)
    report = Report(State.ARMED, "why", "now", 1, 2, "0", None)
    teller.tell(report, aloud=True, written=problems.append)
    teller.tell(report, aloud=False, written=ended)
    teller.flush()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "tipsmith guardian, now: armed: why"
    assert [f"{path} cannot be written" in line for line in said] == [False, True, True]
    assert len(problems) == 1
    assert said[1].endswith(f"cannot be written: {problems[0]}; tried again every 5 s")


def test_what_cannot_be_written_is_tried_again_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(telling, "RETRY_S", 0.01)
    tried, full, done = [], threading.Event(), threading.Event()
    full.set()

    def write(path: Path, report: Report) -> None:
        tried.append(report.reason)
        if full.is_set():
            raise OSError(28, "No space left on device")
        write_report(path, report)
        done.set()

    monkeypatch.setattr(telling, "write_report", write)
    path, problems = tmp_path / "guardian.json", []
    teller = Teller(path)
    for reason in ("first", "second"):
        report = Report(State.ARMED, reason, "now", 1, 2, "0", None)
        teller.tell(report, aloud=False, written=problems.append)
    while tried.count("second") < 4:
        time.sleep(0.005)
    full.clear()
    assert done.wait(10.0)
    teller.flush()
    assert read_report(path).reason == "second"
    # What is older than the latest is never written over it, and nothing is done twice.
    assert tried[tried.index("second") :].count("first") == 0
    tries = len(tried)
    time.sleep(0.05)
    assert len(tried) == tries
    assert problems == 2 * ["[Errno 28] No space left on device"]
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 2
    assert said.endswith(f"tipsmith guardian, {path} is written again\n")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text('{"a": 1}')])
def test_a_file_that_is_needed_is_written_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], object],
):
    monkeypatch.setattr(telling, "RETRY_S", 0.01)
    path, done = tmp_path / "guardian.json", threading.Event()
    teller = Teller(path)
    report = Report(State.ARMED, "why", "now", 1, 2, "0", None)
    teller.tell(report, aloud=False, written=ended)
    teller.flush()
    monkeypatch.setattr(telling, "write_report", lambda *told: (write_report(*told), done.set()))
    harm(path)
    assert done.wait(10.0)
    # No longer needed: whoever takes it away may do so.
    teller.tell(replace(report, state=State.DISARMED), aloud=False, written=ended)
    teller.flush()
    assert read_report(path).state is State.DISARMED
    done.clear()
    path.unlink()
    assert not done.wait(0.1)
    assert capsys.readouterr().err == f"tipsmith guardian, {path} is written again\n"


def test_after_the_last_words_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(telling, "RETRY_S", 0.01)
    path = tmp_path / "guardian.json"
    before = set(threading.enumerate())
    teller = Teller(path)
    (thread,) = set(threading.enumerate()) - before
    teller.tell(Report(State.ARMED, "why", "now", 1, 2, "0", None), aloud=False, written=ended)
    teller.finish()
    thread.join(10.0)
    assert not thread.is_alive()
    assert read_report(path).reason == "why"


def test_a_report_that_was_written_is_confirmed(tmp_path: Path):
    problems: list[str | None] = []
    teller = Teller(tmp_path / "guardian.json")
    report = Report(State.ARMED, "why", "now", 1, 2, "0", None)
    teller.tell(report, aloud=False, written=problems.append)
    teller.flush()
    assert problems == [None]
    assert read_report(tmp_path / "guardian.json") == report


def test_whoever_waits_for_the_last_words_waits_as_long_as_they_take_or_a_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    free, begun = threading.Event(), threading.Event()

    def hang(_: Path, __: Report) -> None:
        begun.set()
        free.wait(30.0)

    monkeypatch.setattr(telling, "write_report", hang)
    monkeypatch.setattr(telling, "LAST_WORDS_S", 0.01)
    teller = Teller(tmp_path / "guardian.json")
    report = Report(State.ARMED, "why", "now", 1, 2, "0", None)
    teller.tell(report, aloud=False, written=ended)
    assert begun.wait(10.0)
    started = time.monotonic()
    teller.flush()
    monkeypatch.setattr(telling, "LAST_WORDS_S", 30.0)
    free.set()
    teller.flush()
    assert time.monotonic() - started < 20.0


def test_what_is_said_is_not_kept_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with (tmp_path / "said").open("w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        teller = Teller(tmp_path / "guardian.json")
        teller.tell(Report(State.ARMED, "why", "now", 1, 2, "0", None), aloud=True, written=ended)
        teller.flush()
        assert (tmp_path / "said").read_text() == "tipsmith guardian, now: armed: why\n"


def test_a_terminal_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with open(os.devnull) as closed:
        monkeypatch.setattr(sys, "stderr", closed)
        teller = Teller(tmp_path / "guardian.json")
        teller.tell(Report(State.ARMED, "why", "now", 1, 2, "0", None), aloud=True, written=ended)
        teller.flush()
    assert read_report(tmp_path / "guardian.json").state is State.ARMED


def test_the_lock_says_who_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alive, "PATIENCE_S", 0.0)
    folder = tmp_path / "very" / "deep"
    path, other = folder / "guardian.json", folder / "other.json"
    assert alive.lives(path) is None
    with alive.alone(path):
        assert alive.lives(path) is True
        with pytest.raises(ValueError, match=r"another guardian runs with .*guardian\.json"):
            alive.alone(path).__enter__()
        with alive.alone(other):
            assert alive.lives(other) is True
    assert alive.lives(path) is False
    assert [found.name for found in path.parent.glob("guardian*")] == ["guardian.json.alive"]
    with alive.alone(path):
        assert alive.lives(path) is True


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
def test_others_cannot_take_the_lock(tmp_path: Path):
    with alive.alone(tmp_path / "guardian.json"):
        mode = (tmp_path / "guardian.json.alive").stat().st_mode
    assert stat.S_IMODE(mode) & 0o077 == 0


def test_one_that_is_about_to_end_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "guardian.json"
    before = alive.alone(path)
    before.__enter__()

    def sleep(seconds: float) -> None:
        assert 0.0 < seconds < alive.PATIENCE_S / 10
        before.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", sleep)
    with alive.alone(path):
        assert alive.lives(path) is True
    # It may still be telling its last words.
    assert 1.0 < telling.LAST_WORDS_S < alive.PATIENCE_S < 4.0


def as_on_windows(monkeypatch: pytest.MonkeyPatch, holders: list[object]) -> ModuleType:
    """The module as it is loaded there; whoever locks while there are ``holders`` is refused."""

    def locking(_handle: int, mode: int, size: int) -> None:
        assert (mode, size) == (2, 1)
        if holders:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("alive_elsewhere", alive.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    return module


def test_the_lock_of_the_other_system_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, holders = tmp_path / "guardian.json", []
    elsewhere = as_on_windows(monkeypatch, holders)
    elsewhere.PATIENCE_S = 0.0
    with elsewhere.alone(path):
        assert elsewhere.lives(path) is False
    holders.append("another")
    assert elsewhere.lives(path) is True
    with pytest.raises(ValueError, match="another guardian runs"):
        elsewhere.alone(path).__enter__()


async def asked(path: Path) -> Answer | None:
    return await asyncio.to_thread(asking.ask, path, "state")


@pytest.mark.parametrize("line", [b"{}\n", b"no\n", b"", b'{"done": 1, "state": "x"}\n'])
async def test_whoever_else_has_the_port_by_now_is_no_guardian(tmp_path: Path, line: bytes):
    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(line)
        writer.close()

    path = tmp_path / "guardian.json"
    assert await asked(path) is None
    server = await asyncio.start_server(stranger, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    write_report(path, Report(State.ARMED, "", "", 1, port, "0", None))
    assert await asked(path) is None
    server.close()
    await server.wait_closed()
    assert await asked(path) is None


async def test_a_silent_program_at_the_port_of_a_dead_guardian_is_no_guardian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "guardian.json"
    # The guardian answers between two ticks, and a human waits for this.
    assert 1.0 < asking.ASK_TIMEOUT_S < 3.0
    monkeypatch.setattr(asking, "ASK_TIMEOUT_S", 0.05)
    async with silent() as port:
        left = Report(State.ARMED, "", "", 1, port, "0", None)
        write_report(path, left)
        assert await asked(path) is None
        with alive.alone(path):
            with pytest.raises(TimeoutError):
                await asked(path)
            # One that has just started and not yet replaced the report of its predecessor.
            reports = iter((left, None))
            monkeypatch.setattr(asking, "read_report", lambda _: next(reports))
            assert await asked(path) is None
            assert next(reports, "both are read") == "both are read"


def test_a_dead_guardian_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "guardian.json"
    write_report(path, Report(State.ARMED, "", "", 1, 1, "0", None))
    with alive.alone(path):
        pass
    monkeypatch.setattr(asking, "_exchange", lambda *_: pytest.fail("a stranger was asked"))
    assert asking.ask(path, "state") is None


def test_a_teller_that_hangs_keeps_no_program_from_ending(tmp_path: Path):
    before = set(threading.enumerate())
    Teller(tmp_path / "guardian.json")
    (writer,) = set(threading.enumerate()) - before
    assert writer.daemon
