"""A listener on the wire between agent and controller: what has really been sent."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from functools import partial
from types import TracebackType
from typing import Self

from drivers.errors import ConnectionFailed, ProtocolError
from drivers.nanonis.codec import HEADER_SIZE, Header
from drivers.nanonis.codes import ScanAction
from drivers.nanonis.emergency import EMERGENCY_PORT

HOST = "127.0.0.1"
#: A Nanonis controller takes commands on so many ports in a row.
PORTS = 4
TRIES = 50
START = "Scan.Action START"
_U16 = struct.Struct(">H")


class Wiretap:
    """Passes everything on between clients and the controller on this machine; a context manager.

    What the guardian sends over its own port is passed on and not listened to.

    Attributes:
        port: the first of the ports to connect to instead of the controller's.
        sent: names of the commands that clients have sent, in order; ``START`` stands for the
            ``Scan.Action`` that begins a scan.
        heard: set whenever another command has been sent.
    """

    def __init__(self, controller_port: int) -> None:
        self.port = 0
        self.sent: list[str] = []
        self.heard = asyncio.Event()
        self._controller_port = controller_port
        self._servers: list[asyncio.Server] = []
        self._talks: set[asyncio.Task[None]] = set()
        self._guardians: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        for _ in range(TRIES):
            if await self._listen():
                return self
        raise ConnectionFailed(f"no {PORTS} free ports in a row were found on {HOST}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        guardians = set(self._guardians)
        for task in guardians:
            task.cancel()
        await asyncio.gather(*guardians, return_exceptions=True)
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until no client is connected and what each has sent is passed on."""
        while self._talks:
            await asyncio.wait(set(self._talks))

    async def _listen(self) -> bool:
        first = await asyncio.start_server(partial(self._accept, 0), HOST, 0)
        self.port = first.sockets[0].getsockname()[1]
        self._servers = [first]
        try:
            for number in range(1, PORTS):
                server = await asyncio.start_server(
                    partial(self._accept, number), HOST, self.port + number
                )
                self._servers.append(server)
        except (OSError, OverflowError):
            for server in self._servers:
                server.close()
            return False
        return True

    def _accept(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        heard = number != EMERGENCY_PORT
        talk = self._talk(reader, writer, self._controller_port + number, heard=heard)
        task = asyncio.create_task(talk)
        talks = self._talks if heard else self._guardians
        talks.add(task)
        task.add_done_callback(talks.discard)

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, *, heard: bool
    ) -> None:
        answers, requests = await asyncio.open_connection(HOST, port)
        back = asyncio.create_task(_pass_on(answers, writer))
        try:
            # A client that was killed resets its connection, or leaves a request half sent.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ProtocolError):
                while True:
                    head = await reader.readexactly(HEADER_SIZE)
                    header = Header.decode(head)
                    body = await reader.readexactly(header.size)
                    if heard:
                        self.sent.append(_named(header, body))
                        self.heard.set()
                    requests.write(head + body)
                    await requests.drain()
        finally:
            requests.close()
            writer.close()
            await back


def _named(header: Header, body: bytes) -> str:
    begins = header.name == "Scan.Action" and body[: _U16.size] == _U16.pack(ScanAction.START)
    return START if begins else header.name


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Nobody may be left to be answered; what the controller says is then of no use.
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()
