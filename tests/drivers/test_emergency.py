"""The frames that withdraw a tip behind a Nanonis controller without its driver."""

from __future__ import annotations

import math
import struct

import pytest

from drivers.clock import VirtualClock
from drivers.emergency import Emergency, Exchange, Guardable
from drivers.envelope import Limits
from drivers.enveloped import EnvelopedMicroscope
from drivers.nanonis.codec import HEADER_SIZE, OK, Header, decode_request, encode_reply
from drivers.nanonis.codes import ScanAction, ScanDirection, Switch, ZStatus
from drivers.nanonis.commands import lookup
from drivers.nanonis.microscope import NanonisMicroscope
from tests.drivers.nanonis_fake import PORT, TOP_M, Controller, meet

RELEASE = 13742


def frames(controller: Controller | None = None) -> Emergency:
    """What the driver hands over for ``controller``."""
    found: list[Emergency] = []

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        before = fake.names()
        emergency = await EnvelopedMicroscope(microscope, Limits()).emergency()
        assert emergency is not None
        found.append(emergency)
        assert fake.names() == before

    meet(test, controller)
    return found[0]


def named(emergency: Emergency, name: str) -> Exchange:
    return next(exchange for exchange in emergency.checks if exchange.name == name)


def good(exchange: Exchange, value: float) -> bool:
    assert exchange.reading is not None
    return any(low <= value <= high for low, high in exchange.reading.good)


def decoded(exchange: Exchange) -> dict[str, object]:
    header = Header.decode(exchange.request[:HEADER_SIZE])
    assert (header.name, header.respond) == (exchange.name, True)
    assert header.size == len(exchange.request) - HEADER_SIZE
    return decode_request(lookup(header.name, RELEASE), exchange.request[HEADER_SIZE:])


def test_the_steps_stop_what_would_bring_the_tip_back_and_then_withdraw():
    assert [(step.name, decoded(step)) for step in frames().steps] == [
        ("AutoApproach.OnOffSet", {"status": Switch.OFF}),
        ("Motor.StopMove", {}),
        ("ZCtrl.Withdraw", {"wait": 0, "timeout_ms": -1}),
        ("Scan.Action", {"action": ScanAction.STOP, "direction": ScanDirection.DOWN}),
    ]


def test_they_are_for_the_port_that_the_driver_never_opens():
    emergency = frames()
    assert (emergency.host, emergency.port) == ("127.0.0.1", PORT + 3)


def test_nothing_but_stops_and_readings_is_handed_over():
    emergency = frames()
    assert all(decoded(check) == {} and check.name.endswith("Get") for check in emergency.checks)
    assert all(step.reading is None for step in emergency.steps)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ZCtrl.StatusGet", {"status": ZStatus.OFF}),
        ("ZCtrl.ZPosGet", {"z_m": TOP_M}),
        ("AutoApproach.OnOffGet", {"status": Switch.OFF}),
        ("ZCtrl.Withdraw", {}),
    ],
)
def test_answers_of_the_codec_are_recognised(name: str, values: dict[str, object]):
    emergency = frames()
    exchange = next(e for e in (*emergency.steps, *emergency.checks) if e.name == name)
    reply = encode_reply(lookup(name, RELEASE), values)
    head, body = reply[: emergency.framing.head_bytes], reply[emergency.framing.head_bytes :]
    assert head.startswith(exchange.echo)
    assert struct.unpack_from(">i", head, emergency.framing.size_offset) == (len(body),)
    assert body.endswith(exchange.tail)
    assert exchange.tail == OK
    if exchange.reading is not None:
        number = body[: -len(exchange.tail)]
        assert good(exchange, *struct.unpack(exchange.reading.format, number))


def test_only_a_tip_at_rest_counts_as_withdrawn():
    status = named(frames(), "ZCtrl.StatusGet")
    assert {code for code in ZStatus if good(status, code)} == {ZStatus.OFF, ZStatus.SAFE_TIP}
    assert not good(status, 77)


def test_only_the_upper_end_of_the_range_counts_as_withdrawn():
    height = named(frames(), "ZCtrl.ZPosGet")
    assert good(height, TOP_M)
    assert not good(height, 0.9 * TOP_M)
    assert not good(height, math.nan)


def test_the_limits_of_z_move_that_end():
    fake = Controller()
    fake.store["ZCtrl.LimitsEnabled"] = {"status": Switch.ON}
    fake.store["ZCtrl.Limits"] = {"high_m": 0.5 * TOP_M, "low_m": -TOP_M}
    assert good(named(frames(fake), "ZCtrl.ZPosGet"), 0.5 * TOP_M)


def test_an_approach_is_not_asked_for_where_there_is_none():
    fake = Controller()
    fake.refuse.add("AutoApproach.OnOffGet")
    emergency = frames(fake)
    assert [check.name for check in emergency.checks] == ["ZCtrl.StatusGet", "ZCtrl.ZPosGet"]
    assert len(emergency.steps) == 4


async def test_an_instrument_without_frames_says_so():
    class Plain:
        name = "plain"
        clock = VirtualClock()

    assert not isinstance(Plain(), Guardable)
    assert await EnvelopedMicroscope(Plain(), Limits()).emergency() is None
