"""The guardian's sockets one by one, and what it says aloud and writes down."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agent.guardian.desk import MAX_LINE
from agent.guardian.link import InstrumentLink, VisitorLink
from agent.guardian.statefile import Report, read_report
from agent.guardian.states import State
from agent.guardian.telling import Teller

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


def test_a_visitor_without_end_is_sent_away():
    visitor, wire = VisitorLink(lambda line, _: line, lambda _: None), Wire()
    visitor.connection_made(wire)
    visitor.data_received(b"x" * MAX_LINE)
    assert wire.done == []
    visitor.data_received(b"x")
    assert wire.done == [b"aborted"]
    assert MAX_LINE == 1024 * 1024


def test_a_disk_that_cannot_be_written_is_said_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "guardian.json"
    path.mkdir()
    teller = Teller(path)
    report = Report(State.ARMED, "why", "now", 1, 2, "0", None)
    teller.tell(report, aloud=True)
    teller.tell(report, aloud=False)
    teller.flush()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "tipsmith guardian, now: armed: why"
    assert [f"{path} cannot be written" in line for line in said] == [False, True, True]


def test_a_terminal_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with open(os.devnull) as closed:
        monkeypatch.setattr(sys, "stderr", closed)
        teller = Teller(tmp_path / "guardian.json")
        teller.tell(Report(State.ARMED, "why", "now", 1, 2, "0", None), aloud=True)
        teller.flush()
    assert read_report(tmp_path / "guardian.json").state is State.ARMED
