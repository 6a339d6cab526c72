"""The data types of the Nanonis protocol: values to big-endian bytes and back.

Nothing here knows a socket or a command. A ``Record`` is a run of named fields; the same record
serves the client and the simulated server. Decoding trusts nobody: a size that does not fit the
bytes at hand is refused before anything is allocated for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.errors import ProtocolError

Values = Mapping[str, Any]

_I32 = struct.Struct(">i")
_SCALARS = {"u16": "H", "u32": "I", "i32": "i", "f32": "f", "f64": "d"}


class Reader:
    """A cursor over the bytes of one message that never reads past their end."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return len(self.data) - self.offset

    def take(self, size: int) -> int:
        """Step over ``size`` bytes and return where they begin.

        Raises:
            ProtocolError: the size is negative or larger than what is left.
        """
        if not 0 <= size <= self.left:
            raise ProtocolError(
                f"a field of {size} bytes does not fit the {self.left} bytes left in the message"
            )
        start = self.offset
        self.offset += size
        return start

    def size(self) -> int:
        """Read a count (int32); negative ones are refused."""
        value: int = _I32.unpack_from(self.data, self.take(4))[0]
        if value < 0:
            raise ProtocolError(f"a size of {value} is negative")
        return value

    def text(self) -> str:
        """Read a string: its byte length (int32), then its bytes."""
        size = self.size()
        start = self.take(size)
        return decode_text(self.data[start : start + size])

    def texts(self, count: int) -> tuple[str, ...]:
        """Read ``count`` strings, each with its own length."""
        if count * 4 > self.left:
            raise ProtocolError(f"{count} strings do not fit {self.left} bytes")
        return tuple(self.text() for _ in range(count))


def decode_text(raw: bytes) -> str:
    """Text of unspecified encoding: UTF-8 where it is valid, Latin-1 otherwise."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


@dataclass(frozen=True, slots=True)
class _WireType:
    encode: Callable[[Any], bytes]
    decode: Callable[[Reader], Any]
    empty: Any


def _scalar(code: str) -> _WireType:
    form = struct.Struct(">" + code)

    def decode(reader: Reader) -> Any:  # noqa: ANN401 - int or float, as the code says
        return form.unpack_from(reader.data, reader.take(form.size))[0]

    return _WireType(form.pack, decode, 0.0 if code in "fd" else 0)


def _array(code: str) -> _WireType:
    width = struct.calcsize(">" + code)

    def encode(values: tuple[float, ...]) -> bytes:
        return struct.pack(f">i{len(values)}{code}", len(values), *values)

    def decode(reader: Reader) -> tuple[float, ...]:
        count = reader.size()
        start = reader.take(count * width)
        return struct.unpack_from(f">{count}{code}", reader.data, start)

    return _WireType(encode, decode, ())


def _encode_text(value: str) -> bytes:
    raw = value.encode()
    return _I32.pack(len(raw)) + raw


def _encode_texts(values: tuple[str, ...]) -> bytes:
    body = b"".join(map(_encode_text, values))
    return struct.pack(">ii", len(body), len(values)) + body


def _decode_texts(reader: Reader) -> tuple[str, ...]:
    # Clients disagree on what the byte total counts, so only the number of strings is believed.
    reader.take(4)
    return reader.texts(reader.size())


def _encode_matrix(values: ArrayLike) -> bytes:
    data = np.asarray(values, dtype=">f4")
    if data.ndim != 2:
        raise ValueError(f"expected a 2-D array, got shape {data.shape}")
    return struct.pack(">ii", *data.shape) + data.tobytes()


def _decode_matrix(reader: Reader) -> NDArray[np.float32]:
    rows, columns = reader.size(), reader.size()
    start = reader.take(rows * columns * 4)
    flat = np.frombuffer(reader.data, ">f4", rows * columns, start)
    return flat.reshape(rows, columns)


def _encode_table(rows: tuple[tuple[str, ...], ...]) -> bytes:
    columns = len(rows[0]) if rows else 0
    if any(len(row) != columns for row in rows):
        raise ValueError("expected rows of equal length")
    cells = b"".join(_encode_text(cell) for row in rows for cell in row)
    return struct.pack(">ii", len(rows), columns) + cells


def _decode_table(reader: Reader) -> tuple[tuple[str, ...], ...]:
    rows, columns = reader.size(), reader.size()
    if not columns:
        return ()
    if rows * columns * 4 > reader.left:
        raise ProtocolError(f"{rows} x {columns} strings do not fit {reader.left} bytes")
    return tuple(reader.texts(columns) for _ in range(rows))


#: Every data type by the name that the command table uses. Arrays carry their own count.
TYPES: dict[str, _WireType] = {
    **{name: _scalar(code) for name, code in _SCALARS.items()},
    "i32[]": _array("i"),
    "f32[]": _array("f"),
    "str": _WireType(_encode_text, Reader.text, ""),
    "str[]": _WireType(_encode_texts, _decode_texts, ()),
    "f32[][]": _WireType(_encode_matrix, _decode_matrix, np.empty((0, 0), np.float32)),
    "str[][]": _WireType(_encode_table, _decode_table, ()),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a message.

    Attributes:
        name: key in the dict of values; carries the unit.
        kind: key of ``TYPES``.
        codes: the only codes the field may hold, or None for any number.
    """

    name: str
    kind: str
    codes: type[IntEnum] | None = None


class Record:
    """A run of fields: the body of a request, or the return values of a reply."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self._names = tuple(field.name for field in fields)
        self._expected = frozenset(self._names)
        self._coded = tuple((f.name, f.codes) for f in fields if f.codes is not None)
        # Most messages are a few numbers; one precompiled struct makes them cheap.
        self._struct = (
            struct.Struct(">" + "".join(_SCALARS[field.kind] for field in fields))
            if all(field.kind in _SCALARS for field in fields)
            else None
        )

    def encode(self, values: Values) -> bytes:
        """The bytes of ``values``, which must name every field and nothing else.

        Raises:
            ValueError: a value is missing, superfluous, out of range or not one of its codes.
        """
        if values.keys() != self._expected:
            raise ValueError(f"expected values for {self._names}, got {tuple(values)}")
        for name, codes in self._coded:
            # A bare 0 often means "no change", so codes are only taken by name.
            if not isinstance(values[name], codes):
                raise ValueError(f"{name} must be a {codes.__name__}, got {values[name]!r}")
        try:
            if self._struct:
                return self._struct.pack(*(values[name] for name in self._names))
            return b"".join(TYPES[f.kind].encode(values[f.name]) for f in self.fields)
        except (struct.error, OverflowError, TypeError) as error:
            raise ValueError(f"{dict(values)} does not fit its fields: {error}") from None

    def decode(self, data: bytes) -> dict[str, Any]:
        """The values of ``data``, which must hold exactly this record.

        Raises:
            ProtocolError: it does not.
        """
        values, end = self.decode_prefix(data)
        if end != len(data):
            raise ProtocolError(f"{len(data) - end} bytes too many after {self._names}")
        return values

    def decode_prefix(self, data: bytes) -> tuple[dict[str, Any], int]:
        """The values at the beginning of ``data``, and the offset at which they end.

        Two-dimensional arrays are read-only big-endian views on ``data``.

        Raises:
            ProtocolError: the bytes do not hold this record.
        """
        if self._struct:
            if len(data) < self._struct.size:
                raise ProtocolError(f"{len(data)} bytes are too few for {self._names}")
            values = dict(zip(self._names, self._struct.unpack_from(data), strict=True))
            end = self._struct.size
        else:
            reader = Reader(data)
            values = {f.name: TYPES[f.kind].decode(reader) for f in self.fields}
            end = reader.offset
        for name, codes in self._coded:
            try:
                values[name] = codes(values[name])
            except ValueError:
                raise ProtocolError(
                    f"{name} has the unknown code {values[name]}; known are {list(codes)}"
                ) from None
        return values, end

    def empty(self) -> bytes:
        """Zeros and empty strings in place of every value, as they precede an error."""
        return b"".join(TYPES[field.kind].encode(TYPES[field.kind].empty) for field in self.fields)
