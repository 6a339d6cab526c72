"""Messages of the Nanonis protocol: frames to bytes and back, without sockets.

A message is a header of 40 bytes (command name, body size, four more bytes) and a body. The body of
a reply ends with an error block: status (uint32), length and text of a description.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from drivers.errors import CommandFailed, ProtocolError
from drivers.nanonis.wire import Record, Values, decode_text

HEADER_SIZE = 40
NAME_SIZE = 32
MAX_BODY = 64 * 2**20

_HEADER = struct.Struct(f">{NAME_SIZE}siHH")
_ERROR = struct.Struct(">Ii")
#: The error block of a reply of success.
OK = _ERROR.pack(0, 0)
# How far from the end of a damaged reply an error block is looked for.
_TAIL = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Layout:
    """A command as one release of the controller understands it.

    Attributes:
        name: the command.
        request: the arguments.
        reply: the return values, before the error block.
        reads: whether it only reads, so that asking again is harmless.
    """

    name: str
    request: Record
    reply: Record
    reads: bool


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a message.

    Attributes:
        name: the command, echoed in its reply.
        size: size of the body in bytes.
        respond: whether a request wants a reply; meaningless in a reply.
    """

    name: str
    size: int
    respond: bool = True

    def encode(self) -> bytes:
        """The 40 bytes of a request's header; of a reply's, if ``respond`` is False."""
        return _HEADER.pack(self.name.encode("ascii"), self.size, self.respond, 0)

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Read a header.

        Raises:
            ProtocolError: it is not 40 bytes, its name is no name, or its size is out of bounds.
        """
        if len(data) != HEADER_SIZE:
            raise ProtocolError(f"a header has {HEADER_SIZE} bytes, got {len(data)}")
        raw, size, respond, _ = _HEADER.unpack(data)
        name = raw.rstrip(b"\0").decode("latin-1")
        if not (name.isascii() and name.isprintable() and name):
            raise ProtocolError(f"a header names the command {name!r}; the stream is out of step")
        if not 0 <= size <= MAX_BODY:
            raise ProtocolError(f"the body of {name} cannot have {size} bytes (0 to {MAX_BODY})")
        return cls(name, size, bool(respond))


def encode_request(layout: Layout, values: Values, *, respond: bool = True) -> bytes:
    """A whole request.

    Raises:
        ValueError: ``values`` do not fit the arguments of the command.
    """
    body = layout.request.encode(values)
    return Header(layout.name, len(body), respond).encode() + body


def decode_request(layout: Layout, body: bytes) -> dict[str, Any]:
    """The arguments in the body of a request.

    Raises:
        ProtocolError: the body does not hold exactly these arguments.
    """
    return layout.request.decode(body)


def encode_reply(layout: Layout, values: Values) -> bytes:
    """A whole reply of success.

    Raises:
        ValueError: ``values`` do not fit the return values of the command.
    """
    body = layout.reply.encode(values) + OK
    return Header(layout.name, len(body), respond=False).encode() + body


def encode_error(name: str, text: str, reply: Record | None = None) -> bytes:
    """A whole reply of failure, with empty return values where ``reply`` declares some."""
    raw = text.encode()
    body = (reply.empty() if reply else b"") + _ERROR.pack(1, len(raw)) + raw
    return Header(name, len(body), respond=False).encode() + body


def decode_reply(layout: Layout, body: bytes) -> dict[str, Any]:
    """The return values in the body of a reply.

    Values that a newer controller appends to the known ones are passed over. A description is an
    error even where the status says 0: controllers have been seen to send that.

    Raises:
        CommandFailed: the controller reported an error, with its text.
        ProtocolError: the body holds neither the return values nor an error.
    """
    try:
        values, end = layout.reply.decode_prefix(body)
        damage = f"{len(body) - end} bytes follow its return values"
    except ProtocolError as error:
        # Controllers have been seen to leave the values out of a reply that reports an error.
        values, end, damage = None, 0, str(error)
    block = _block_at(body, end) if values is not None else None
    if block is None:
        block = _block_in_tail(body)
    if block is None:
        raise ProtocolError(f"the reply to {layout.name} cannot be read: {damage}")
    status, text = block
    if status or text:
        raise CommandFailed(f"the controller refused {layout.name}: {text or f'status {status}'}")
    if values is None:
        raise ProtocolError(f"the reply to {layout.name} cannot be read: {damage}")
    return values


def _block_at(body: bytes, offset: int) -> tuple[int, str] | None:
    """Status and text of the error block from ``offset`` to the end, if there is one."""
    start = offset + _ERROR.size
    if start > len(body):
        return None
    status, size = _ERROR.unpack_from(body, offset)
    return (status, decode_text(body[start:])) if size == len(body) - start else None


def _block_in_tail(body: bytes) -> tuple[int, str] | None:
    """The error block of a reply whose return values are not what was expected."""
    offset = max(0, len(body) - _TAIL)
    # Error first: its text could not end in the eight zero bytes of success, but not vice versa.
    while (offset := body.find(b"\0\0\0\1", offset)) >= 0:
        if block := _block_at(body, offset):
            return block
        offset += 1
    return (0, "") if body.endswith(OK) else None
