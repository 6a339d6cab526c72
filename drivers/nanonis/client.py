"""One TCP connection to a Nanonis controller, strictly one request at a time.

A connection that has been in doubt once (no answer in time, a cancelled wait, an answer to another
question, bytes nobody asked for) is closed and never used again: a late answer would be taken for
the next one. The next call connects afresh.

What an error says about the request:

- ``ConnectionFailed``: it was not sent.
- ``CommandFailed``: the controller refused it.
- ``ConnectionLost``, ``ProtocolError``: it may have been carried out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, cast

from drivers.errors import ConnectionFailed, ConnectionLost, ProtocolError
from drivers.nanonis.codec import (
    HEADER_SIZE,
    NAME_SIZE,
    Header,
    Layout,
    decode_reply,
    encode_request,
)
from drivers.nanonis.commands import RELEASES, lookup

DEFAULT_TIMEOUT_S = 5.0
# Event loops run timers a little before their time.
_EARLY_S = 1e-3


class NanonisConnection:
    """A connection to one port of the controller, opened when first used.

    Attributes:
        host: where the controller listens.
        port: one of its ports; it serves one client each.
        release: the controller's release, which decides the layouts.
        timeout_s: wall-clock time allowed for an answer, unless a call says otherwise (s).
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        release: int = RELEASES[0],
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self.host = host
        self.port = port
        self.release = release
        self.timeout_s = timeout_s
        self._link: _Link | None = None
        self._turn = asyncio.Lock()

    async def call(self, name: str, /, *, wait_s: float = 0.0, **values: Any) -> dict[str, Any]:  # noqa: ANN401
        """Send a command and return what it returns.

        Only commands that merely read are sent a second time, once, when the link breaks.

        Args:
            name: the command.
            wait_s: wall-clock time the command itself may take, on top of the usual time-out (s).
            values: its arguments, all of them.

        Raises:
            ConnectionFailed: the controller cannot be reached; nothing was sent.
            ConnectionLost: no answer came; the command may have been carried out.
            ProtocolError: the answer cannot be read; the command may have been carried out.
            CommandFailed: the controller refused the command.
            ValueError: the arguments do not fit the command.
        """
        layout = lookup(name, self.release)
        frame = encode_request(layout, values)
        timeout_s = wait_s + self.timeout_s
        async with self._turn:
            try:
                body = await self._exchange(layout, frame, timeout_s)
            except ConnectionLost:
                if not layout.reads:
                    raise
                # How the link broke tells more than that it cannot be mended.
                with suppress(ConnectionFailed):
                    return self._decode(layout, await self._exchange(layout, frame, timeout_s))
                raise
            return self._decode(layout, body)

    async def close(self) -> None:
        """Close the connection; a later call would open a new one."""
        async with self._turn:
            link, self._link = self._link, None
            if link is not None:
                await link.close()

    async def _exchange(self, layout: Layout, frame: bytes, timeout_s: float) -> bytes:
        link = await self._connected()
        try:
            return await link.exchange(layout, frame, timeout_s)
        except (ConnectionLost, ProtocolError, asyncio.CancelledError):
            self._drop()
            raise

    async def _connected(self) -> _Link:
        if self._link is not None and self._link.usable:
            return self._link
        fault = self._link.fault if self._link is not None else ""
        self._drop()
        where = f"{self.host}:{self.port}"
        try:
            async with asyncio.timeout(self.timeout_s):
                _, link = await asyncio.get_running_loop().create_connection(
                    lambda: _Link(where), self.host, self.port
                )
        except (OSError, UnicodeError) as error:  # of a host that cannot be a host's name
            raise ConnectionFailed(
                f"{fault and fault + '; '}no Nanonis controller answers at {where} "
                f"({str(error) or f'time-out of {self.timeout_s:g} s'}); check "
                "that its software runs, that its TCP programming interface has this port, and "
                "that no other program holds it"
            ) from None
        self._link = link
        return link

    def _decode(self, layout: Layout, body: bytes) -> dict[str, Any]:
        try:
            return decode_reply(layout, body)
        except ProtocolError:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._link is not None:
            self._link.abort()
            self._link = None


class _Link(asyncio.Protocol):
    """A socket that hands over one reply for each request; asyncio sets TCP_NODELAY on it.

    Attributes:
        fault: what the other side did that nobody was waiting for; empty if nothing.
    """

    _transport: asyncio.Transport  # set by asyncio before the link is handed out
    _layout: Layout  # what was asked last

    def __init__(self, where: str) -> None:
        self._where = where
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._timeout_s = 0.0
        self._reply: asyncio.Future[bytes] | None = None
        self.fault = ""
        self._chunks: list[bytes] = []
        self._received = 0
        self._expected = 0

    @property
    def usable(self) -> bool:
        """Whether the socket is open and in step."""
        return not self._transport.is_closing()

    async def exchange(self, layout: Layout, frame: bytes, timeout_s: float) -> bytes:
        """Send a request and return the body of its reply."""
        if not self.usable:
            # Some servers talk first, or hang up, as soon as they are connected to.
            raise ConnectionLost(self.fault or f"{self._where} closed the connection at once")
        self._layout, self._timeout_s = layout, timeout_s
        self._chunks, self._received, self._expected = [], 0, 0
        self._reply = self._loop.create_future()
        self._set_deadline(self._loop.time() + timeout_s)
        self._transport.write(frame)  # in one piece: some controllers read only once
        try:
            return await self._reply
        finally:
            self._reply = None

    async def close(self) -> None:
        """Close the socket and wait until it is closed."""
        self._transport.close()
        await asyncio.shield(self._closed)  # set by asyncio even if nobody waits any more

    def abort(self) -> None:
        """Close the socket at once."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._closed.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        reason = f" ({exc})" if exc else ""
        if self._reply is None:
            self.fault = self.fault or f"{self._where} closed the connection{reason}"
            return
        self._fail(
            ConnectionLost(
                f"{self._where} closed the connection instead of answering "
                f"{self._layout.name}{reason}; "
                "a port serves one client, and some modules close it when they are not there"
            )
        )

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._reply is None or self._reply.done():
            self.fault = f"{self._where} sent {data[:NAME_SIZE]!r} without having been asked"
            self.abort()
            return
        # Pictures come in many pieces; they are put together once, not with every piece.
        self._chunks.append(data)
        self._received += len(data)
        try:
            if not self._expected:
                self._read_header()
            if self._expected and self._received >= self._expected:
                self._finish(self._reply)
        except ProtocolError as error:
            self.abort()
            self._fail(error)

    def _read_header(self) -> None:
        self._chunks = [b"".join(self._chunks)]
        head, name = self._chunks[0][:HEADER_SIZE], self._layout.name
        if not name.encode().ljust(NAME_SIZE, b"\0").startswith(head[:NAME_SIZE]):
            # Said without waiting for a whole header, which other servers may never send.
            answer = head[:NAME_SIZE].rstrip(b"\0").decode("latin-1")
            shown = answer.encode("unicode_escape").decode() or "zeros"
            raise ProtocolError(
                f"{self._where} answered {shown} when asked {name}; "
                "the connection was closed because its answers are out of step"
            )
        if len(head) == HEADER_SIZE:
            self._expected = HEADER_SIZE + Header.decode(head).size

    def _finish(self, reply: asyncio.Future[bytes]) -> None:
        if self._received > self._expected:
            raise ProtocolError(
                f"{self._where} sent {self._received - self._expected} bytes more than its answer "
                f"to {self._layout.name} has"
            )
        reply.set_result(b"".join(self._chunks)[HEADER_SIZE:])

    def _set_deadline(self, deadline: float) -> None:
        # A timer that runs out early only looks at the deadline, so it serves many requests.
        self._deadline = deadline
        if self._timer is not None and self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._reply is None or self._reply.done():
            return
        if self._loop.time() < self._deadline - _EARLY_S:
            self._set_deadline(self._deadline)
            return
        doubt = "" if self._layout.reads else ", and whether it was carried out is unknown"
        error = ConnectionLost(
            f"{self._where} did not answer {self._layout.name} in time ({self._timeout_s:g} s); "
            f"the connection was closed{doubt}"
        )
        # Tells silence from a connection that was closed.
        error.__cause__ = TimeoutError()
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
