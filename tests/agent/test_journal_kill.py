"""Agents killed at random moments; and that the count of what went wrong can count."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.benches.safety.killing import STEP, Killed, kills, rows
from agent.benches.safety.wiretap import HOST, START, Wiretap
from agent.installation import own_version
from agent.record import Intent, Kind, Record, encode_intent, encode_outcome
from drivers.actions import MoveTo
from drivers.errors import InstrumentError
from drivers.nanonis.codec import Header
from drivers.outcome import Outcome
from tests.agent.scripted import DIP

INTENT = encode_intent(Intent(DIP, 0.0, 0.0, "because", own=True))
WAY = encode_intent(
    Intent(MoveTo(x_m=0.0, y_m=0.0, speed_m_per_s=1e-7), 0.0, 0.0, "there", own=False)
)
OUTCOME, _ = encode_outcome(Outcome(0.0, 1.0))


def records(*entries: tuple[Kind, dict, int | None]) -> list[Record]:
    return [
        Record(number, kind, 0.0, "", payload, intent)
        for number, (kind, payload, intent) in enumerate(entries, 1)
    ]


DONE = records(
    (Kind.STARTED, {}, None),
    (Kind.LOOKED, {}, None),
    (Kind.INTENT, WAY, None),
    (Kind.OUTCOME, OUTCOME, 3),
    (Kind.INTENT, INTENT, None),
    (Kind.OUTCOME, OUTCOME, 5),
)
SENT = ("Scan.Action", "ZCtrl.Withdraw", START, "TipShaper.Start")
INSTALLED = pytest.mark.skipif(
    own_version() == "unknown", reason="the distribution is not installed"
)
FINE = Killed(1.0, 2, SENT, DONE)
LEFT = Killed(1.0, 0, (), left=Intent(DIP, 0.0, 0.0, "because", own=True))
OPEN = replace(FINE, sent=(*SENT, "TipShaper.Start"), records=[*DONE, replace(DONE[4], sequence=7)])


def test_a_run_in_order_counts_nothing():
    for run in (FINE, OPEN):
        assert (run.lost, run.unannounced, run.hasty) == (0, 0, False)
    assert FINE.unknown is None
    assert OPEN.unknown.action == DIP
    assert replace(FINE, records=[], told=0, sent=()).lost == 0


def test_what_goes_wrong_is_counted():
    assert replace(FINE, told=4).lost == 2
    assert replace(FINE, records=[one for one in DONE if one.sequence != 4]).lost == 1
    assert replace(FINE, sent=(*SENT, "TipShaper.Start")).unannounced == 1
    assert replace(OPEN, sent=(*OPEN.sent, "Bias.Pulse")).unannounced == 1
    way = [*DONE, replace(DONE[2], sequence=7)]
    assert replace(FINE, sent=(*SENT, "Bias.Pulse"), records=way).unannounced == 1
    assert replace(FINE, sent=("Scan.Action", "ZCtrl.Withdraw", "TipShaper.Start")).hasty
    assert replace(FINE, sent=(START, "TipShaper.Start")).hasty
    # Withdrawing begins with stopping a scan, which is no look.
    stops = ("Scan.Action", "ZCtrl.Withdraw", "Scan.Action", "ZCtrl.Withdraw")
    assert replace(FINE, sent=(*stops, "TipShaper.Start")).hasty
    assert replace(FINE, sent=(START, *stops, "TipShaper.Start")).hasty
    assert not replace(FINE, sent=(*stops, START, "TipShaper.Start")).hasty


def test_what_was_found_is_compared():
    said = records((Kind.FOUND, {"intent": INTENT}, None))
    after = replace(FINE, records=said)
    assert after.found(LEFT)
    assert not after.found(FINE)
    assert FINE.found(LEFT)


def test_steps_are_told_on_the_screen():
    screen = (
        b"   0:00  the run x before this one is broken off; look\n"
        b"   0:24  look         (1, 2) nm  quality 0.10\n"
        b"   0:26  indentation  (1, 2) nm  z jump +5 pm\n"
        b"   0:30  look         (1,"
    )
    assert len(STEP.findall(screen)) == 2


@pytest.mark.timeout(20)
async def test_the_wiretap_hears_what_it_passes_on():
    begin = Header("Scan.Action", 6).encode() + b"\0\0" + bytes(4)
    end = Header("Scan.Action", 6).encode() + b"\0\1" + bytes(4)
    request, served = Header("Bias.Get", 4).encode() + b"body" + begin + end, []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.readexactly(len(request)))
        writer.write(b"answer")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        async with Wiretap(server.sockets[0].getsockname()[1]) as tap:
            reader, writer = await asyncio.open_connection(HOST, tap.port)
            writer.write(request + b"half a head")
            assert await reader.read() == b"answer"
            writer.close()
            await tap.quiet()
        assert tap.sent == ["Bias.Get", START, "Scan.Action"]
        assert tap.heard.is_set()
    assert served == [request]


@INSTALLED
@pytest.mark.timeout(300)
def test_killed_agents_lose_nothing_and_repeat_nothing():
    told: list[str] = []
    figures = {row.name: row for row in rows(2, lambda _, text: told.append(text))}
    assert told == ["kill 1 of 2", "kill 2 of 2"]
    assert figures["agents killed"].value == 2
    for name in (
        "acknowledged steps lost",
        "actions sent twice or unannounced",
        "acted before withdrawing and looking",
        "unknown outcomes not found again",
    ):
        assert figures[name].holds, figures[name]


@INSTALLED
@pytest.mark.timeout(120)
def test_an_agent_that_ends_by_itself_is_no_kill(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.benches.safety.killing.SERVE", "raise SystemExit(7)")
    with pytest.raises(InstrumentError, match="ended by itself, with code 7"):
        kills(1, lambda _, text: None)
