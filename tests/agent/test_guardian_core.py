"""The core of the guardian in virtual time: when it trips, what it sends, what it believes."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.guardian.effects import Drop, Tell
from agent.guardian.lease import ARMING_S
from agent.guardian.states import ALLOWED, GUARDING, LATCHED, State
from tests.agent.guardian_world import (
    ORDERS,
    STOP,
    TAIL,
    TICK_S,
    TIMING,
    WITHDRAW,
    World,
)

ERROR = struct.pack(">Ii", 1, 3) + b"no!"
ROUND = ["stop", "withdraw", "status", "height"]
#: What there is for a connection that fails just when it is needed, and the ticks between.
SLACK_S = 2 * TIMING.answer_s + 4 * TICK_S


def tripped(**changes: object) -> World:
    world = World().arm()
    for name, value in changes.items():
        setattr(world, name, value)
    assert world.guardian.trip(world.now, "for the test")
    world.settle()
    return world


def test_arming_looks_at_the_instrument_and_at_nothing_else():
    world = World().arm()
    assert world.guardian.state is State.ARMED
    assert world.names() == ["status", "height"]
    assert world.guardian.arm(world.now, ORDERS, TIMING) is False


@pytest.mark.parametrize("ending", ["disarm", "refuse"])
def test_with_the_lease_the_connection_to_the_instrument_ends(ending: str):
    world = World().arm()
    assert world.guardian.take() is None
    if ending == "disarm":
        world.guardian.disarm(world.now)
    else:
        world.guardian.refuse(world.now, "for the test")
    done = []
    while (effect := world.guardian.take()) is not None:
        done.append(type(effect))
    assert done == [Drop, Tell]


def test_silence_withdraws_in_order_and_is_verified():
    world = World().arm()
    world.run(2.0)
    assert world.guardian.state is State.WITHDRAWN
    assert world.names()[2:6] == ROUND
    at = dict(world.sent[2:6])["withdraw"]
    assert 0.5 < at - 1000.0 <= 0.5 + 2 * TICK_S
    assert "no sign of life" in world.guardian.reason


def test_silence_counts_from_the_moment_that_the_agent_is_told():
    world = World()
    assert world.guardian.arm(world.now, ORDERS, TIMING)
    world.run(ARMING_S - 0.1)
    assert world.guardian.state is State.ARMED
    world.guardian.renew(world.now)
    world.run(TIMING.lost_after_s - 0.02)
    assert world.guardian.state is State.ARMED
    world.run(0.1)
    assert world.guardian.state is State.WITHDRAWN


def test_an_agent_that_is_never_told_is_not_waited_for_for_ever():
    world = World()
    assert world.guardian.arm(world.now, ORDERS, TIMING)
    world.run(ARMING_S + 0.1)
    assert world.guardian.state is State.WITHDRAWN


def test_what_is_refused_was_never_guarded():
    world = World().arm()
    world.guardian.refuse(world.now, "no room")
    world.settle()
    world.run(10.0)
    assert (world.guardian.state, world.guardian.reason) == (State.DISARMED, "no room")
    assert "withdraw" not in world.names()
    latched = tripped()
    latched.guardian.refuse(latched.now, "no room")
    assert latched.guardian.reason == "for the test"
    assert latched.guardian.state in LATCHED


def test_a_silent_agent_is_noticed_before_the_instrument_was_ever_read():
    world = World(reachable=False).arm()
    assert world.guardian.state is State.BLIND
    world.run(0.6)
    assert world.guardian.state is State.UNREACHABLE
    world.reachable = True
    world.run(1.0)
    assert world.guardian.state is State.WITHDRAWN


def test_a_connection_that_fails_is_known_without_waiting_for_a_tick():
    world = World(reachable=False).arm()
    assert world.guardian.trip(world.now, "for the test")
    world.settle()
    assert world.guardian.state is State.UNREACHABLE
    assert world.guardian.reason == "for the test; the instrument does not answer"


def test_an_agent_that_ends_in_order_leaves_the_tip_alone():
    world = World().arm()
    assert world.guardian.disarm(world.now)
    world.run(10.0)
    assert world.guardian.state is State.DISARMED
    assert "withdraw" not in world.names()


def test_only_a_human_ends_the_latch():
    world = tripped()
    world.run(1.0)
    assert not world.guardian.disarm(world.now)
    assert not world.guardian.arm(world.now, ORDERS, TIMING)
    world.run(5.0, renewing=True)
    assert world.guardian.state is State.WITHDRAWN
    assert world.guardian.rearm(world.now)
    world.settle()
    assert world.guardian.state is State.DISARMED
    assert world.arm().guardian.state is State.ARMED


def test_what_is_not_verified_cannot_be_rearmed():
    world = tripped(obeys=False)
    world.run(3.0)
    assert not world.guardian.rearm(world.now)
    assert world.guardian.state is State.TRIPPING
    assert world.names().count("withdraw") >= 5
    world.obeys = True
    world.run(1.0)
    assert world.guardian.state is State.WITHDRAWN


@pytest.mark.parametrize("name", ["status", "height"])
@pytest.mark.parametrize(
    "body",
    [
        ERROR,
        b"",
        TAIL,
        struct.pack(">H", 77) + TAIL,
        struct.pack(">f", float("nan")) + TAIL,
        struct.pack(">f", 98.9) + TAIL,
        struct.pack(">f", 100.0) + TAIL + b"\0",
        struct.pack(">f", 100.0) + ERROR[:8],
        None,
    ],
)
def test_an_answer_that_is_not_a_good_one_verifies_nothing(name: str, body: bytes | None):
    world = tripped(answers={name: body})
    world.run(3.0)
    assert world.guardian.state in (State.TRIPPING, State.UNREACHABLE)
    assert world.withdrawn
    world.answers = {}
    world.run(1.0)
    assert world.guardian.state is State.WITHDRAWN


def test_it_is_all_checks_that_verify_and_no_step_however_many_there_are():
    few, many = World(answers={"status": struct.pack(">H", 2) + TAIL}), World()
    many.answers["stop"] = ERROR
    few.guardian.resume(few.now, replace(ORDERS, steps=(WITHDRAW,)), TIMING)
    many.guardian.resume(many.now, replace(ORDERS, steps=(WITHDRAW, STOP, STOP)), TIMING)
    for world in (few, many):
        world.settle()
    assert few.guardian.state is State.TRIPPING
    assert few.guardian.reason.endswith("; not verified yet: status not yet")
    assert many.guardian.state is State.WITHDRAWN


def test_the_same_alarm_is_told_once():
    world = tripped(obeys=False)
    world.run(1.0)
    told = len(world.told)
    world.run(3.0)
    assert len(world.told) == told


def test_a_tip_that_is_withdrawn_is_not_withdrawn_for_a_second_stop():
    world = tripped()
    sent = len(world.sent)
    assert world.guardian.trip(world.now, "a second stop")
    world.settle()
    assert (world.guardian.state, world.guardian.reason) == (State.WITHDRAWN, "for the test")
    assert len(world.sent) == sent


def test_a_step_that_is_refused_does_not_keep_the_tip_in_contact():
    world = tripped(answers={"stop": ERROR})
    assert world.guardian.state is State.WITHDRAWN


def test_a_step_that_is_never_answered_does_not_keep_the_tip_in_contact():
    world = World(answers={"stop": None}).arm()
    world.run(0.5 + SLACK_S)
    assert world.withdrawn
    assert world.guardian.state is State.TRIPPING
    assert "stop not answered" in world.guardian.reason


def test_a_half_open_link_is_replaced():
    world = World().arm()
    world.deaf = True
    world.run(0.5 + SLACK_S)
    assert world.withdrawn
    assert world.connections == 2


def test_an_instrument_that_vanishes_is_told_and_so_is_its_return():
    world = World().arm()
    world.reachable = False
    world.run(6.0, renewing=True)
    assert world.guardian.state is State.BLIND
    world.reachable = True
    world.run(1.0, renewing=True)
    assert world.guardian.state is State.ARMED
    assert [tell.state for tell in world.told] == ["blind", "armed", "blind", "armed"]


def test_an_instrument_is_looked_for_until_its_time_is_over_and_then_it_is_told():
    world = World().arm()
    world.reachable = False
    world.guardian.disconnected(world.now)
    # Steps without rounding: the looks fall on whole seconds.
    for _ in range(12):
        world.step(0.25, renew=True)
    assert TIMING.blind_after_s == 3.0
    assert (world.guardian.state, world.connections) == (State.ARMED, 1 + 3)
    for _ in range(4):
        world.step(0.25, renew=True)
    assert world.guardian.state is State.BLIND
    unanswered = "status not answered, height not answered"
    assert world.guardian.reason == f"the instrument cannot be read: {unanswered}"


def test_a_tip_that_does_not_stay_withdrawn_is_withdrawn_again():
    world = tripped()
    world.run(1.0)
    world.withdrawn = False
    world.run(2.5)
    assert world.withdrawn
    assert world.guardian.state is State.WITHDRAWN
    assert "did not stay withdrawn" in world.guardian.reason


def test_a_controller_that_is_switched_off_afterwards_stays_latched():
    world = tripped()
    world.reachable = False
    told = len(world.told)
    world.run(20.0)
    assert world.guardian.state is State.WITHDRAWN
    assert len(world.told) == told


def test_bytes_nobody_asked_for_end_the_connection():
    world = World().arm()
    world.guardian.received(world.now, b"late")
    world.settle()
    world.run(1.2, renewing=True)
    assert world.guardian.state is State.ARMED
    assert world.connections == 2


def test_a_successor_withdraws_what_was_left_armed():
    world = World()
    world.guardian.resume(world.now, ORDERS, TIMING)
    world.settle()
    assert world.guardian.state is State.WITHDRAWN
    assert world.names() == ROUND


def test_a_paused_machine_gets_one_grace_and_no_second():
    world = World().arm()
    world.run(2.0, renewing=True)
    world.step(3600.0)
    assert world.guardian.state is State.ARMED
    world.run(0.2)
    world.guardian.renew(world.now)
    world.run(0.4)
    assert world.guardian.state is State.ARMED
    world.step(0.4)
    world.step(0.4)
    assert world.guardian.state in LATCHED


def test_a_clock_that_goes_back_neither_trips_nor_hides():
    world = World().arm()
    world.run(0.3)
    world.now -= 500.0
    world.run(0.1)
    assert world.guardian.state is State.ARMED
    world.run(0.2)
    assert world.guardian.state in LATCHED


@pytest.mark.parametrize(
    ("event", "more"),
    [("renew", ()), ("disarm", ()), ("rearm", ()), ("refuse", ("no room",)), ("trip", ("a stop",))],
)
def test_time_counts_whoever_brings_it(event: str, more: tuple[str, ...]):
    world = tripped(obeys=False)
    sent = len(world.sent)
    getattr(world.guardian, event)(world.now + TIMING.retry_s, *more)
    # The clock has gone back since, but the pause between two rounds is over.
    world.step(0.0)
    assert world.names()[sent:] == ROUND


intervals = st.lists(st.floats(0.0, TIMING.lost_after_s - 2 * TICK_S), max_size=40)


@given(intervals)
def test_it_never_trips_while_leases_come_in_time(silences: list[float]):
    world = World().arm()
    for silence in silences:
        world.run(silence)
        world.guardian.renew(world.now)
    assert world.guardian.state is State.ARMED
    assert "withdraw" not in world.names()


@given(intervals, st.lists(st.floats(0.0, 0.25), min_size=1, max_size=200), st.booleans())
def test_it_always_trips_in_time_when_they_stop(
    silences: list[float], steps: list[float], deaf: bool
):
    world = World().arm()
    for silence in silences:
        world.run(silence)
        world.guardian.renew(world.now)
    silent_since, world.deaf = world.now, deaf
    for step in steps:
        world.step(step)
        if world.now - silent_since > TIMING.lost_after_s:
            break
    else:
        world.run(TIMING.lost_after_s + TICK_S)
    longest = max(*steps, TICK_S)
    assert world.guardian.state in LATCHED
    tripping = next(tell for tell in world.told if tell.state is State.TRIPPING)
    assert "no sign of life" in tripping.reason
    world.run(SLACK_S)
    at = next(at for name, at in world.sent if name == "withdraw")
    assert at - silent_since <= TIMING.lost_after_s + longest + TICK_S + SLACK_S


@given(st.floats(0.26, 1e7), st.floats(0, 1))
def test_a_jump_neither_trips_falsely_nor_hides_a_loss(jump_s: float, share: float):
    alive, dead = World().arm(), World().arm()
    for world in (alive, dead):
        world.run(0.1 * share)
        world.step(jump_s)
        assert world.guardian.state is State.ARMED or jump_s < TIMING.lost_after_s
    alive.run(TIMING.grace_s - 2 * TICK_S)
    alive.guardian.renew(alive.now)
    alive.run(0.3)
    dead.run(max(TIMING.grace_s, TIMING.lost_after_s) + 2 * TICK_S)
    assert alive.guardian.state is State.ARMED
    assert dead.guardian.state in LATCHED


EVENTS = ("renew", "disarm", "trip", "tick", "vanish", "return", "deafen", "disobey", "obey")


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(0, 3)), max_size=40))
def test_whatever_happens_the_latch_holds_and_only_its_frames_are_sent(
    events: list[tuple[str, float]],
):
    world = World().arm()
    latched = False
    for event, seconds in events:
        match event:
            case "renew" | "disarm":
                getattr(world.guardian, event)(world.now)
            case "trip":
                world.guardian.trip(world.now, "for the test")
            case "vanish" | "return":
                world.reachable = event == "return"
            case "deafen":
                world.deaf = True
            case "disobey" | "obey":
                world.obeys = event == "obey"
        world.settle()
        world.run(seconds)
        assert not latched or world.guardian.state in LATCHED
        latched = world.guardian.state in LATCHED
    assert set(world.names()) <= set(ROUND)
    if not latched:
        assert "withdraw" not in world.names()
    else:
        world.reachable, world.obeys = True, True
        world.run(4.0)
        assert world.guardian.state is State.WITHDRAWN


def test_what_nobody_knows_how_to_withdraw_is_latched_until_a_human_rearms():
    world = World()
    world.guardian.doubt(world.now, "the file is torn")
    world.settle()
    assert [(told.state, told.reason) for told in world.told] == [
        (State.UNKNOWN, "the file is torn")
    ]
    assert not world.guardian.arm(world.now, ORDERS, TIMING)
    assert not world.guardian.trip(world.now, "a stop")
    assert not world.guardian.disarm(world.now)
    world.run(5.0, renewing=True)
    assert (world.guardian.state, world.connections) == (State.UNKNOWN, 0)
    assert world.guardian.rearm(world.now)
    world.settle()
    assert world.guardian.state is State.DISARMED
    assert not world.guardian.rearm(world.now)
    assert world.arm().guardian.state is State.ARMED


def test_the_table_lets_nothing_out_of_the_latch_but_what_a_human_can_rearm():
    ways_out = {state for state in LATCHED if ALLOWED[state] - LATCHED}
    assert ways_out == {State.WITHDRAWN, State.UNKNOWN}
    assert ALLOWED[State.UNKNOWN] == {State.DISARMED}
    assert all(State.TRIPPING in ALLOWED[state] for state in GUARDING)
