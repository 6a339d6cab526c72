"""A relay in front of a Nanonis controller: sees what passes, and breaks links on request."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from drivers.bench import HOST, PORT_OFFSETS, free_port
from drivers.nanonis.codec import NAME_SIZE
from drivers.nanonis.emergency import EMERGENCY_PORT

_WITHDRAW = b"ZCtrl.Withdraw".ljust(NAME_SIZE, b"\0")
_CHUNK = 65536


class Relay:
    """Passes every port of a controller on; an asynchronous context manager.

    Args:
        target: first port of the controller.

    Attributes:
        port: first port of the relay.
        withdrawn_at: when the guardian's withdrawals reached the controller (monotonic s).
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.withdrawn_at: list[float] = []
        self._target = target
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._emergency: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        for offset in PORT_OFFSETS:
            self._servers.append(await self._listen(offset))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def half_open(self) -> None:
        """End the guardian's link at the controller without the guardian being told."""
        if self._emergency is None:
            raise RuntimeError("there is no emergency link to break")
        self._emergency.transport.abort()

    async def _listen(self, offset: int) -> asyncio.Server:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            try:
                await self._pass_on(offset, reader, writer)
            except (asyncio.CancelledError, OSError):
                # The one only when the relay closes; the other ends this link and no more.
                pass
            finally:
                writer.close()

        return await asyncio.start_server(accept, HOST, self.port + offset)

    async def _pass_on(
        self, offset: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answers, controller = await asyncio.open_connection(HOST, self._target + offset)
        emergency = offset == EMERGENCY_PORT
        if emergency:
            self._emergency = controller
        back = asyncio.create_task(_copy(answers, writer))
        try:
            while data := await reader.read(_CHUNK):
                if emergency and _WITHDRAW in data and not controller.is_closing():
                    self.withdrawn_at.append(time.monotonic())
                # After a break, what the guardian still sends is lost without a word.
                if not controller.is_closing():
                    controller.write(data)
        finally:
            controller.close()
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
