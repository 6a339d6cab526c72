"""A guardian's desk in the event loop of a test, and the instrument behind it, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent.guardian.asking import HOST
from agent.guardian.desk import Desk
from agent.guardian.orders import Exchange as Order
from agent.guardian.statefile import Report
from agent.guardian.states import State
from drivers.emergency import Emergency, Exchange, Framing, Reading
from tests.agent.guardian_world import ORDERS, World
from tests.agent.scripted import ScriptedMicroscope

PORT, TOKEN = 6600, "0123"
REPORT = Report(State.DISARMED, "nothing is guarded", "2026-01-01", 1, PORT, TOKEN, None)


def exchange(order: Order) -> Exchange:
    reading = Reading(order.format, order.good) if order.format else None
    return Exchange(order.name, order.request, order.echo, order.tail, reading)


EMERGENCY = Emergency(
    ORDERS.host,
    ORDERS.port,
    Framing(ORDERS.head_bytes, ORDERS.size_offset),
    tuple(map(exchange, ORDERS.steps)),
    tuple(map(exchange, ORDERS.checks)),
)


@dataclass
class Guardable(ScriptedMicroscope):
    """A scripted microscope that hands over emergency frames."""

    async def emergency(self) -> Emergency:
        return EMERGENCY


@dataclass
class DeskWorld:
    """The desk, and who came to it.

    Attributes:
        world: the guardian's core, and what it withdraws.
        asked: what was asked besides the renewals, with its time (s).
        disk: why nothing can be written, or None.
        disk_s: how long it takes to write what is armed (s).
    """

    world: World = field(default_factory=World)
    asked: list[tuple[str, float]] = field(default_factory=list)
    disk: str | None = None
    disk_s: float = 0.0

    @property
    def state(self) -> State:
        return self.world.guardian.state

    @property
    def questions(self) -> list[str]:
        return [question for question, _ in self.asked]

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        self._desk = Desk(self.world.guardian, TOKEN)
        async with await asyncio.start_server(self._answer, HOST, PORT):
            yield
            # Whoever leaves is seen to leave.
            await asyncio.sleep(1.0)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.world.now = asyncio.get_running_loop().time()
            question = json.loads(line)["ask"]
            if question != "renew":
                self.asked.append((question, self.world.now))
            answer = self._desk.answer(self.world.now, line, self)
            if answer is None:
                await asyncio.sleep(self.disk_s)
                _, answer = self._desk.written(self.world.now, self._desk.handed, self.disk)
            writer.write(answer)
            self.world.settle()
        self._desk.left(self.world.now, self)
        self.world.settle()
        writer.close()
