"""What is around a guardian: in virtual time all that its core needs, and a stranger's port."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent.guardian.core import Guardian
from agent.guardian.effects import Connect, Drop, Send, Tell
from agent.guardian.orders import Exchange, Orders, Timing
from agent.guardian.states import ALLOWED, State

TICK_S = 0.02
TIMING = Timing(
    lost_after_s=0.5,
    grace_s=0.25,
    answer_s=0.15,
    connect_s=0.3,
    retry_s=0.5,
    watch_s=1.0,
    blind_after_s=3.0,
)
TAIL = bytes(8)


def exchange(name: str, number: str = "", good: tuple[tuple[float, float], ...] = ()) -> Exchange:
    echo = name.encode().ljust(32, b"\0")
    return Exchange(name, echo + bytes(8), echo, TAIL, number, good)


STOP, WITHDRAW = exchange("stop"), exchange("withdraw")
STATUS = exchange("status", ">H", ((1, 1), (5, 5)))
HEIGHT = exchange("height", ">f", ((99.0, float("inf")),))
ORDERS = Orders("instrument", 6504, 40, 32, (STOP, WITHDRAW), (STATUS, HEIGHT))


@dataclass
class World:
    """Everything around the guardian; what is true of it may be changed at any time.

    Attributes:
        reachable: whether connections succeed.
        deaf: whether what is sent on the connections opened so far gets lost.
        answers: bodies that the instrument gives instead of the right ones, by name.
        obeys: whether withdrawing withdraws.
        sent: names of the requests that arrived, with their time.
        told: the states gone through.
    """

    guardian: Guardian = field(default_factory=Guardian)
    now: float = 1000.0
    reachable: bool = True
    deaf: bool = False
    obeys: bool = True
    withdrawn: bool = False
    answers: dict[str, bytes | None] = field(default_factory=dict)
    sent: list[tuple[str, float]] = field(default_factory=list)
    told: list[Tell] = field(default_factory=list)
    connections: int = 0

    def arm(self) -> World:
        assert self.guardian.arm(self.now, ORDERS, TIMING)
        self.guardian.renew(self.now)
        self.settle()
        return self

    def run(self, seconds: float, *, renewing: bool = False) -> None:
        """Let time pass, tick by tick."""
        end = self.now + seconds
        while self.now < end:
            self.step(TICK_S, renew=renewing)

    def step(self, seconds: float, *, renew: bool = False) -> None:
        self.now += seconds
        if renew:
            self.guardian.renew(self.now)
        self.guardian.tick(self.now)
        self.settle()

    def settle(self) -> None:
        """Carry out what the guardian wants, as its process does."""
        while (effect := self.guardian.take()) is not None:
            match effect:
                case Connect():
                    self.connections += 1
                    if self.reachable:
                        self.deaf = False
                        self.guardian.connected(self.now)
                    else:
                        self.guardian.disconnected(self.now)
                case Send(data=data):
                    self._arrive(data)
                case Tell(state=state):
                    before = self.told[-1].state if self.told else State.DISARMED
                    assert state is before or state in ALLOWED[before]
                    self.told.append(effect)
                case Drop():
                    pass

    def names(self) -> list[str]:
        return [name for name, _ in self.sent]

    def _arrive(self, data: bytes) -> None:
        if self.deaf or not self.reachable:
            return
        name = data[:32].rstrip(b"\0").decode()
        self.sent.append((name, self.now))
        if name == "withdraw" and self.obeys:
            self.withdrawn = True
        body = self.answers.get(name, self._body(name))
        if body is not None:
            reply = data[:32] + struct.pack(">i", len(body)) + bytes(4) + body
            # In two pieces, as the network may deliver it.
            self.guardian.received(self.now, reply[:17])
            self.guardian.received(self.now, reply[17:])

    def _body(self, name: str) -> bytes:
        match name:
            case "status":
                return struct.pack(">H", 1 if self.withdrawn else 2) + TAIL
            case "height":
                return struct.pack(">f", 100.0 if self.withdrawn else 3.0) + TAIL
        return TAIL


@asynccontextmanager
async def silent() -> AsyncGenerator[int]:
    """The port of a program that takes every connection and never says a word."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in writers:
        writer.close()
    await server.wait_closed()
    await asyncio.sleep(0.02)
