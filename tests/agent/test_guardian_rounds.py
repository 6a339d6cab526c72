"""Rounds of exchanges one event at a time: what is sent, what is given up."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.guardian import core
from agent.guardian.core import Guardian
from agent.guardian.effects import Connect, Drop, Effect, Send
from agent.guardian.lease import Lease, SteadyClock
from agent.guardian.orders import Exchange, Verdict, read_timing
from agent.guardian.rounds import MAX_BODY, Rounds
from agent.guardian.states import State
from tests.agent.guardian_world import HEIGHT, ORDERS, STATUS, STOP, TAIL, TIMING, WITHDRAW

CONNECT = Connect("instrument", 6504)
GOOD = struct.pack(">H", 1) + TAIL


def reply(to: Exchange, body: bytes = TAIL, size: int | None = None) -> bytes:
    return to.echo + struct.pack(">i", len(body) if size is None else size) + bytes(4) + body


class Round:
    """Rounds that begin at 10 s, and what they have wanted since last asked."""

    def __init__(self, *exchanges: Exchange, connected: bool = True) -> None:
        self.effects: deque[Effect] = deque()
        self.rounds = Rounds(ORDERS, TIMING, self.effects)
        self.rounds.begin(10.0, exchanges)
        if connected:
            assert self.wanted() == [CONNECT]
            self.rounds.connected(10.0)
            assert self.wanted() == [Send(exchanges[0].request)]

    def wanted(self) -> list[Effect]:
        wanted = list(self.effects)
        self.effects.clear()
        return wanted

    def verdicts(self) -> list[Verdict]:
        return [verdict for _, verdict in self.rounds.verdicts]


def test_one_exchange_follows_the_other_on_one_connection():
    one = Round(STOP, STATUS)
    assert one.rounds.busy
    one.rounds.received(10.1, reply(STOP))
    assert one.wanted() == [Send(STATUS.request)]
    assert one.rounds.busy
    one.rounds.received(10.1, reply(STATUS, GOOD))
    assert one.rounds.verdicts == [(STOP, Verdict.GOOD), (STATUS, Verdict.GOOD)]
    assert not one.rounds.busy
    one.rounds.begin(11.0, [STATUS])
    assert one.rounds.verdicts == []
    assert one.wanted() == [Send(STATUS.request)]


def test_a_connection_that_does_not_come_in_time_ends_the_round():
    one = Round(STOP, STATUS, connected=False)
    one.rounds.tick(10.29)
    assert (one.wanted(), one.verdicts()) == ([CONNECT], [])
    one.rounds.tick(10.3)
    assert one.wanted() == [Drop()]
    assert one.verdicts() == [Verdict.UNANSWERED] * 2
    assert not one.rounds.busy
    one.rounds.tick(20.0)
    one.rounds.disconnected(20.0)
    assert one.wanted() == []


def test_an_answer_that_does_not_come_in_time_costs_its_connection():
    one = Round(STOP, STATUS)
    one.rounds.tick(10.149)
    assert one.wanted() == []
    one.rounds.tick(10.151)
    assert one.wanted() == [Drop(), CONNECT]
    assert one.verdicts() == [Verdict.UNANSWERED]
    one.rounds.connected(10.4)
    assert one.wanted() == [Send(STATUS.request)]
    one.rounds.tick(10.549)
    assert one.wanted() == []


def test_a_connection_that_breaks_leaves_its_exchange_unanswered():
    one = Round(STOP, STATUS)
    one.rounds.disconnected(10.1)
    assert one.wanted() == [Drop(), CONNECT]
    assert one.verdicts() == [Verdict.UNANSWERED]


@pytest.mark.parametrize(
    "raw",
    [
        reply(STATUS),
        reply(STOP, size=-1),
        reply(STOP, size=MAX_BODY + 1),
        reply(STOP) + b"\0",
        reply(STOP, b"", 0) + b"\0",
    ],
)
def test_what_is_out_of_step_is_not_understood_and_costs_the_connection(raw: bytes):
    one = Round(STOP, STATUS)
    one.rounds.received(10.1, raw)
    assert one.wanted() == [Drop(), CONNECT]
    assert one.verdicts() == [Verdict.UNKNOWN]
    assert MAX_BODY == 1024 * 1024


@pytest.mark.parametrize("size", [MAX_BODY, 8])
def test_a_body_may_take_its_time(size: int):
    one = Round(STOP)
    raw = reply(STOP, bytes(size))
    one.rounds.received(10.1, raw[:40])
    one.rounds.received(10.1, raw[40:-1])
    assert (one.wanted(), one.verdicts(), one.rounds.busy) == ([], [], True)
    one.rounds.received(10.1, raw[-1:])
    assert one.verdicts() == [Verdict.GOOD if size == 8 else Verdict.UNKNOWN]
    assert one.wanted() == []


def test_an_answer_without_a_body_is_complete_with_its_head():
    one = Round(STOP, STATUS)
    one.rounds.received(10.1, reply(STOP, b""))
    assert one.verdicts() == [Verdict.UNKNOWN]
    assert one.wanted() == [Send(STATUS.request)]


@given(st.sets(st.integers(1, 49)))
def test_it_does_not_matter_how_the_network_cuts(cuts: set[int]):
    one, raw = Round(STATUS, STOP), reply(STATUS, GOOD)
    places = [0, *sorted(cuts), len(raw)]
    for begin, end in pairwise(places):
        assert one.verdicts() == []
        one.rounds.received(10.1, raw[begin:end])
    assert one.verdicts() == [Verdict.GOOD]
    assert one.wanted() == [Send(STOP.request)]


def test_the_answer_to_an_earlier_round_does_not_count_in_the_next():
    one = Round(HEIGHT, STATUS)
    one.rounds.begin(10.1, [WITHDRAW])
    assert one.wanted() == []
    one.rounds.received(10.1, reply(HEIGHT))
    assert (one.wanted(), one.verdicts()) == ([Send(WITHDRAW.request)], [])
    one.rounds.received(10.1, reply(WITHDRAW))
    assert one.rounds.verdicts == [(WITHDRAW, Verdict.GOOD)]


def test_a_round_that_is_closed_wants_nothing_more():
    one = Round(STOP, STATUS)
    one.rounds.close()
    assert one.wanted() == [Drop()]
    assert not one.rounds.busy
    one.rounds.close()
    one.rounds.tick(20.0)
    assert (one.wanted(), one.verdicts()) == ([], [])


def test_spans_hold_their_ends_and_nothing_beyond():
    spans = replace(STATUS, good=((2, 4), (7, 7)))
    good = [n for n in range(10) if spans.judge(struct.pack(">H", n) + TAIL) is Verdict.GOOD]
    assert good == [2, 3, 4, 7]
    assert spans.judge(struct.pack(">H", 3) + TAIL[:-1] + b"\1") is Verdict.UNKNOWN
    assert STOP.judge(TAIL) is Verdict.GOOD


def test_a_lease_ends_after_its_silence_and_not_before():
    lease = Lease(5.0, TIMING)
    assert not any(lease.lost(5.0 + 0.02 * tick) for tick in range(26))
    assert lease.lost(5.52)
    lease.renew(6.0)
    assert not lease.lost(6.24)
    assert not lease.lost(6.49)
    assert lease.lost(6.51)


@pytest.mark.parametrize(("lost_after_s", "spared_s"), [(0.5, 5.0), (9.0, 9.0)])
def test_an_agent_that_waits_to_be_told_is_spared(lost_after_s: float, spared_s: float):
    lease = Lease(1.0, replace(TIMING, lost_after_s=lost_after_s))
    lease.spare(1.0)
    ticks = range(round(spared_s / 0.02))
    assert not any(lease.lost(1.0 + 0.02 * tick) for tick in ticks)
    assert lease.lost(1.0 + spared_s + 0.02)


def test_a_stall_is_graced_once_from_its_end():
    lease = Lease(0.0, TIMING)
    # A stall: longer than half of the silence that is allowed.
    assert not lease.lost(0.26)
    assert not lease.lost(0.5)
    assert lease.lost(0.52)
    lease.renew(1.0)
    assert not lease.lost(9.0)
    assert not lease.lost(9.25)
    assert lease.lost(9.26)
    assert lease.lost(20.0)


def test_half_of_the_silence_that_is_allowed_is_no_stall():
    lease = Lease(0.0, TIMING)
    # Exact in binary.
    assert [lease.lost(at) for at in (0.125, 0.25, 0.375, 0.625)] == [False, False, False, True]
    lease = Lease(0.0, TIMING)
    assert [lease.lost(at) for at in (0.125, 0.25, 0.375, 0.75)] == [False] * 4


def test_steady_time_begins_at_zero_and_stands_still_where_the_clock_goes_back():
    clock = SteadyClock()
    assert [clock.read(reading) for reading in (7.0, 7.5, 3.0, 4.0)] == [0.0, 0.5, 0.5, 1.5]
    assert clock.now == 1.5


def test_events_of_a_duty_that_is_over_do_nothing():
    guardian = Guardian()
    guardian.connected(1.0)
    guardian.received(1.0, b"late")
    guardian.disconnected(1.0)
    guardian.renew(1.0)
    guardian.tick(1.0)
    assert not guardian.trip(1.0, "too early")
    assert not guardian.rearm(1.0)
    assert guardian.disarm(1.0)
    assert guardian.take() is None
    assert (guardian.state, guardian.reason) == (State.DISARMED, "nothing is guarded")


def test_a_way_that_the_table_does_not_have_is_not_gone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(core, "ALLOWED", {State.DISARMED: frozenset()})
    guardian = Guardian()
    with pytest.raises(RuntimeError, match="no way from disarmed to blind"):
        guardian.arm(1.0, ORDERS, TIMING)
    assert guardian.state is State.DISARMED
    assert guardian.take() is None


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_every_time_is_positive_and_finite(value: float):
    times = dict.fromkeys(TIMING.__slots__, 0.5)
    assert read_timing(times).answer_s == 0.5
    with pytest.raises(ValueError, match="every time must be positive and finite"):
        read_timing(times | {"answer_s": value})
