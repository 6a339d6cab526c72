"""The sockets of the simulated controller: four command ports and the port of the TCP logger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from drivers.errors import ConfigError, ProtocolError
from drivers.nanonis.codec import HEADER_SIZE, Header
from drivers.nanonis.options import LOGGER_OFFSET

Answer = Callable[[str, bytes], Awaitable[bytes]]
Stream = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]

PORTS = 4
#: How long a newcomer waits for a client that is just leaving the port (s of wall time).
_HANDOVER_S = 0.25
#: Requests read ahead of their turn, so that a client that leaves during a wait is noticed.
_QUEUE = 64

_log = logging.getLogger(__name__)


class Server:
    """Listens on ``PORTS`` consecutive ports and on the logger's port; one client each.

    Use as an asynchronous context manager.

    Args:
        answer: coroutine function that turns a command and its body into a whole reply.
        stream: coroutine function that feeds the logger's client until it leaves.
        host: address to listen on.
        port: first of the command ports.
    """

    def __init__(self, answer: Answer, stream: Stream, host: str, port: int) -> None:
        self._answer = answer
        self._stream = stream
        self._host = host
        self._port = port
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        try:
            for port in range(self._port, self._port + PORTS):
                await self._listen(port, self._converse)
            await self._listen(self._port + LOGGER_OFFSET, self._feed)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    async def _listen(self, port: int, serve: Callable[..., Awaitable[None]]) -> None:
        guard = _OneClient(serve)
        try:
            server = await asyncio.start_server(partial(self._accept, guard), self._host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"cannot listen on {self._host} port {port}: {reason}; "
                "choose another first port (four ports in a row and the 89th after it are needed)"
            ) from None
        self._servers.append(server)

    async def _accept(
        self, guard: _OneClient, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await guard.serve(reader, writer)
        except asyncio.CancelledError:
            # Only ``_close`` cancels; asyncio would report the cancellation as an error.
            pass
        except ConnectionError as error:
            _log.info("a client left: %s", error)
        finally:
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: asyncio.Event
    ) -> None:
        requests: asyncio.Queue[tuple[Header, bytes] | None] = asyncio.Queue(_QUEUE)
        reading = asyncio.create_task(_read_requests(reader, requests, left))
        try:
            while (request := await requests.get()) is not None:
                header, body = request
                reply = await self._answer(header.name, body)
                # What a client asked for before it left is still done, but not answered.
                if header.respond and not left.is_set():
                    writer.write(reply)
                    await writer.drain()
        finally:
            await _cancel(reading)

    async def _feed(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: asyncio.Event
    ) -> None:
        feeding = asyncio.create_task(self._stream(writer))
        try:
            while await reader.read(1024):
                continue
        finally:
            left.set()
            await _cancel(feeding)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        # Waiting commands would otherwise outlive the sockets that they answer.
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _read_requests(
    reader: asyncio.StreamReader,
    requests: asyncio.Queue[tuple[Header, bytes] | None],
    left: asyncio.Event,
) -> None:
    """Queue requests until the client leaves or gets out of step; then queue None."""
    try:
        while True:
            header = Header.decode(await reader.readexactly(HEADER_SIZE))
            await requests.put((header, await reader.readexactly(header.size)))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    except ProtocolError as error:
        _log.warning("closing a connection: %s", error)
    finally:
        left.set()
    await requests.put(None)


class _OneClient:
    """Lets one client in at a time.

    A port is free as soon as its client has left, even while the client's last command still runs.
    """

    def __init__(self, serve: Callable[..., Awaitable[None]]) -> None:
        self._serve = serve
        self._left: asyncio.Event | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._left is not None and not self._left.is_set():
            # A client that reconnects at once may be seen before its old connection is seen to end.
            try:
                await asyncio.wait_for(self._left.wait(), _HANDOVER_S)
            except TimeoutError:
                return
        mine = self._left = asyncio.Event()
        try:
            await self._serve(reader, writer, mine)
        finally:
            mine.set()
