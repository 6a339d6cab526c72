"""Somebody who tells a run, for those who watch; and a run to tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import zmq

from agent.phases import Phase
from agent.result import RepairResult
from agent.telemetry.glance import Glance, Mention, encode
from drivers.bench import free_port

RESULT = RepairResult("good", "why", 5, 3, 60.0, 61.5, 0.5, "runs/a/journal.sqlite", None, 0)
LOOKING = Glance(
    Phase.LOOKING,
    "a",
    83.0,
    2,
    40,
    0.25,
    {"blunt": 0.9},
    step=Mention("look", (12e-9, -8e-9), "see what it is like"),
)
ENDED = Glance(Phase.ENDED, "a", result=RESULT)


def free_address() -> str:
    """An address on this computer that nobody listens at just now."""
    return f"tcp://127.0.0.1:{free_port()}"


@contextmanager
def told(address: str, play: Callable[[Callable[[bytes], None]], None]) -> Iterator[None]:
    """Listen at ``address``; once somebody has come, ``play`` tells them something and goes."""

    def work() -> None:
        with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
            socket.linger = 1000
            socket.rcvtimeo = 20_000
            socket.bind(address)
            bound.set()
            socket.recv()
            play(socket.send)

    bound = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert bound.wait(20)
        yield
    finally:
        thread.join()


def saying(glances: Sequence[Glance]) -> Callable[[Callable[[bytes], None]], None]:
    """What tells ``glances``, one after the other."""

    def play(send: Callable[[bytes], None]) -> None:
        for glance in glances:
            send(encode(glance))

    return play
