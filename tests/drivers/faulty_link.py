"""A link between client and controller that fails in one chosen way, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import math
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np

from drivers.nanonis.codec import HEADER_SIZE, NAME_SIZE, Header
from tests.drivers.nanonis_fake import PORT as TARGET

HOST = "127.0.0.1"
#: First port of the link; the controller's own ports lie beyond it.
PORT = 7501
PORTS = 3
#: Longer than any command of these tests may take to be answered (s).
TOO_LATE_S = (12.0, 20.0)

#: Beyond the header and the first fields, one byte is like the other.
DRIBBLED = 44
#: Single bytes are what costs time here; more of them find no more.
DRIBBLE_EVERY = 6


class Fault(StrEnum):
    """What the link does to what it should pass on."""

    LATENCY = "latency"
    JITTER = "jitter"
    DRIBBLE = "1-byte dribble"
    SPLIT_HEADER = "split header"
    TRUNCATED = "truncated body"
    WRONG_ECHO = "wrong echo"
    LATE = "late reply"
    DUPLICATE = "duplicate reply"
    RESET = "reset"
    HALF_OPEN = "half-open"
    REFUSED = "connect refused"
    GARBAGE = "garbage"


#: Faults that only take time: whatever they do, every reply comes whole, once and in order.
SLOW = frozenset({Fault.LATENCY, Fault.JITTER, Fault.DRIBBLE, Fault.SPLIT_HEADER})


class FaultyLink:
    """Passes requests and replies on, whole, until the fault strikes; a context manager.

    Args:
        fault: what goes wrong.
        strike: from which request on, counted over all connections.
        counted: the commands that count for it; all if empty.
        lasts_s: for how long after that (s); 0 strikes once, infinity never ends.
        rng: decides everything else.

    Attributes:
        requests: how many requests have come that count.
        struck: how many of them the fault has struck.
        held_s: how long replies that came whole were held back, all of them together (s).
        reused: commands that came over a connection whose last reply was missing or damaged.
    """

    def __init__(
        self,
        fault: Fault,
        strike: int,
        lasts_s: float,
        rng: np.random.Generator,
        counted: frozenset[str] = frozenset(),
    ) -> None:
        self.requests = 0
        self.struck = 0
        self.held_s = 0.0
        self.reused: list[str] = []
        self._fault = fault
        self._strike = strike
        self._counted = counted
        self._lasts_s = lasts_s
        self._rng = rng
        self._ends_s = math.inf
        self._latency_s = float(rng.uniform(0.01, 1.2))
        self._servers: list[asyncio.Server] = []
        self._talks: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deafen()
        for task in self._talks:
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    @property
    def failing(self) -> bool:
        """Whether what passes now would be struck."""
        due = self.requests >= self._strike
        return due and (not self.struck or asyncio.get_running_loop().time() < self._ends_s)

    async def _listen(self) -> None:
        for offset in range(PORTS):
            accept = partial(self._accept, offset)
            self._servers.append(await asyncio.start_server(accept, HOST, PORT + offset))

    def _deafen(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _accept(
        self, offset: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.create_task(self._talk(offset, reader, writer))
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)

    async def _talk(
        self, offset: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answers, controller = await asyncio.open_connection(HOST, TARGET + offset)
        self._ends |= {writer, controller}
        in_doubt = False
        try:
            with contextlib.suppress(EOFError, OSError):
                while True:
                    request = await _message(reader)
                    if in_doubt:
                        self.reused.append(_name(request))
                    in_doubt = await self._pass_on(request, answers, controller, writer)
        finally:
            self._ends -= {writer, controller}
            writer.close()
            controller.close()

    async def _pass_on(
        self,
        request: bytes,
        answers: asyncio.StreamReader,
        controller: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> bool:
        """Have one request answered; whether its reply was not the one it should have been."""
        self.requests += not self._counted or _name(request) in self._counted
        failing = self.failing
        if failing:
            self._struck()
        if failing and self._fault in _BREAKING and self._rng.random() < 0.5:
            # The other half of the time only the reply is lost.
            await self._break()
            return True
        controller.write(request)
        reply = await _message(answers)
        if not failing:
            client.write(reply)
            return False
        if self._fault in _BREAKING:
            await self._break()
            return True
        return await _DELIVER[self._fault](self, reply, client)

    def _struck(self) -> None:
        if not self.struck:
            self._ends_s = asyncio.get_running_loop().time() + self._lasts_s
        self.struck += 1

    async def _break(self) -> None:
        """What breaks is every connection, as a link does."""
        if self._fault is Fault.HALF_OPEN:
            return
        ends = set(self._ends)
        if self._fault is Fault.REFUSED and self._servers:
            self._deafen()
            if math.isfinite(self._lasts_s):
                task = asyncio.create_task(self._hear_again(max(self._lasts_s, 1.0)))
                self._talks.add(task)
                task.add_done_callback(self._talks.discard)
        for end in ends:
            end.transport.abort()
        await asyncio.sleep(0)

    async def _hear_again(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._listen()

    async def _slow(self, seconds: float) -> None:
        self.held_s += seconds
        await asyncio.sleep(seconds)

    async def _latency(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        await self._slow(self._latency_s)
        client.write(reply)
        return False

    async def _jitter(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        await self._slow(float(self._rng.uniform(0, 0.8)))
        client.write(reply)
        return False

    async def _dribble(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        dribbled = DRIBBLED if self.struck % DRIBBLE_EVERY == 1 else 0
        for byte in reply[:dribbled]:
            client.write(bytes([byte]))
            await self._slow(1e-3)
        client.write(reply[dribbled:])
        return False

    async def _split_header(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        cut = int(self._rng.integers(1, HEADER_SIZE))
        client.write(reply[:cut])
        await self._slow(float(self._rng.uniform(0, 1)))
        client.write(reply[cut:])
        return False

    async def _truncated(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        client.write(reply[: int(self._rng.integers(len(reply)))])
        if self._rng.random() < 0.5:
            client.close()
        return True

    async def _wrong_echo(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        other = b"Bias.Set" if _name(reply) != "Bias.Set" else b"Bias.Get"
        client.write(other.ljust(NAME_SIZE, b"\0") + reply[NAME_SIZE:])
        return True

    async def _late(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(float(self._rng.uniform(*TOO_LATE_S)))
        client.write(reply)
        return True

    async def _duplicate(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        client.write(reply)
        if self._rng.random() < 0.3:
            client.write(reply)
        else:
            again = partial(_write_if_open, client, reply)
            asyncio.get_running_loop().call_later(float(self._rng.uniform(0, 0.3)), again)
        # It may meet another request of the same name, and the protocol numbers neither.
        return False

    async def _garbage(self, reply: bytes, client: asyncio.StreamWriter) -> bool:
        noise = self._rng.bytes(int(self._rng.integers(1, 200)))
        client.write(noise + reply if self._rng.random() < 0.5 else noise)
        return True


_BREAKING = frozenset({Fault.RESET, Fault.HALF_OPEN, Fault.REFUSED})
_DELIVER = {
    Fault.LATENCY: FaultyLink._latency,
    Fault.JITTER: FaultyLink._jitter,
    Fault.DRIBBLE: FaultyLink._dribble,
    Fault.SPLIT_HEADER: FaultyLink._split_header,
    Fault.TRUNCATED: FaultyLink._truncated,
    Fault.WRONG_ECHO: FaultyLink._wrong_echo,
    Fault.LATE: FaultyLink._late,
    Fault.DUPLICATE: FaultyLink._duplicate,
    Fault.GARBAGE: FaultyLink._garbage,
}


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(HEADER_SIZE)
    return head + await reader.readexactly(Header.decode(head).size)


def _name(message: bytes) -> str:
    return message[:NAME_SIZE].rstrip(b"\0").decode()


def _write_if_open(client: asyncio.StreamWriter, reply: bytes) -> None:
    if not client.is_closing():
        client.write(reply)
