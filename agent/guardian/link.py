"""The guardian's sockets: one to the instrument, and those of its visitors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from agent.guardian.desk import MAX_LINE


class InstrumentLink(asyncio.Protocol):
    """One connection to the instrument; once closed here it reports nothing any more.

    Args:
        connected: called when it is there.
        received: called with what arrives.
        ended: called when it cannot be had or breaks.
    """

    def __init__(
        self,
        connected: Callable[[], None],
        received: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        self._connected = connected
        self._received = received
        self._ended = ended
        self._closed = False
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connect(self, host: str, port: int) -> None:
        """Begin to connect."""
        self._connecting = asyncio.get_running_loop().create_task(self._connect(host, port))

    def send(self, data: bytes) -> None:
        """Send ``data``, in one piece: some controllers read only once."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close at once."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
        elif self._connecting is not None:
            self._connecting.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        if self._closed:
            self._transport.abort()
        else:
            self._connected()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if not self._closed:
            self._received(data)

    def connection_lost(self, _: Exception | None) -> None:
        """Called by asyncio."""
        self._end()

    async def _connect(self, host: str, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        except (OSError, UnicodeError):
            self._end()

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._ended()


class VisitorLink(asyncio.Protocol):
    """One visitor, answered line by line.

    Args:
        answer: turns a line of the visitor, which is this object, into one of the guardian, or into
            None if ``reply`` will bring it.
        left: called with the visitor that is gone.
    """

    def __init__(
        self,
        answer: Callable[[bytes, VisitorLink], bytes | None],
        left: Callable[[VisitorLink], None],
    ) -> None:
        self._answer = answer
        self._left = left
        self._begun = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            if self._transport is not None and (answer := self._answer(line, self)) is not None:
                self.reply(answer)
        if len(self._begun) > MAX_LINE and self._transport is not None:
            self._transport.abort()

    def reply(self, line: bytes) -> None:
        """Give an answer."""
        if self._transport is not None:
            self._transport.write(line)

    def connection_lost(self, _: Exception | None) -> None:
        """Called by asyncio."""
        self._left(self)
