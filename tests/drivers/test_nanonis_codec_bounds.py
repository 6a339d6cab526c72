"""The Nanonis codec at its bounds: sizes that just fit or just do not, byte for byte."""

from __future__ import annotations

import struct
from enum import IntEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import CommandFailed, ProtocolError
from drivers.nanonis import codec
from drivers.nanonis.codec import Header, Layout
from drivers.nanonis.wire import Field, Reader, Record

EMPTY = Record(())
NAMED = Layout("Test.Get", EMPTY, Record((Field("names", "str[]"),)), reads=True)
TEXT = Layout("Test.Get", EMPTY, Record((Field("name", "str"),)), reads=True)
NUMBER = Layout("Test.Get", EMPTY, Record((Field("bias_v", "f32"),)), reads=True)


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize("size", [0, 39, 41, 80])
def test_a_header_is_forty_bytes(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"a header has 40 bytes, got {size}"):
        Header.decode(bytes(size))


@pytest.mark.parametrize("size", [0, 1, codec.MAX_BODY])
@pytest.mark.parametrize("respond", [True, False])
def test_a_header_survives_the_way(size: int, respond: bool) -> None:
    raw = Header("Bias.Get", size, respond).encode()
    assert raw == struct.pack(">32siHH", b"Bias.Get", size, respond, 0)
    assert Header.decode(raw) == Header("Bias.Get", size, respond)
    assert codec.MAX_BODY == 64 * 1024 * 1024


@pytest.mark.parametrize("name", [b"", b"\0\0Bias", b"B\xe4s", b"Bi\nas"])
def test_what_is_no_name_is_no_header(name: bytes) -> None:
    with pytest.raises(ProtocolError, match="out of step"):
        Header.decode(struct.pack(">32siHH", name, 0, 0, 0))


def test_requests_and_replies_say_whether_an_answer_is_wanted() -> None:
    def wants(frame: bytes) -> bool:
        return Header.decode(frame[:40]).respond

    assert wants(codec.encode_request(NUMBER, {}))
    assert not wants(codec.encode_request(NUMBER, {}, respond=False))
    assert not wants(codec.encode_reply(NUMBER, {"bias_v": 1.0}))
    assert not wants(codec.encode_error("Test.Get", "no"))


def test_an_error_is_its_block_behind_empty_values() -> None:
    block = struct.pack(">Ii2s", 1, 2, b"no")
    assert codec.encode_error("Test.Get", "no")[40:] == block
    assert codec.encode_error("Test.Get", "no", NUMBER.reply)[40:] == bytes(4) + block
    assert codec.encode_error("Test.Get", "no", NAMED.reply)[40:] == bytes(8) + block
    assert bytes(8) == codec.OK


def test_an_error_without_values_is_told_with_its_text() -> None:
    with pytest.raises(CommandFailed) as failed:
        codec.decode_reply(NAMED, struct.pack(">Ii2s", 1, 2, b"no"))
    assert str(failed.value).startswith("the controller refused Test.Get: no")


def test_success_without_values_is_no_success() -> None:
    told = r"Test\.Get cannot be read: a field of 1073741824 bytes does not fit"
    with pytest.raises(ProtocolError, match=told):
        codec.decode_reply(TEXT, struct.pack(">i", 2**30) + codec.OK)


@given(surplus=st.integers(1, 200))
def test_damage_says_how_much_follows(surplus: int) -> None:
    body = struct.pack(">f", 1.0) + b"\xff" * surplus
    with pytest.raises(ProtocolError, match=f"{surplus} bytes follow its return values"):
        codec.decode_reply(NUMBER, body)


def test_the_first_whole_error_block_of_a_damaged_tail_is_found() -> None:
    # What looks like a block but does not end with the reply is none.
    body = b"\0\0\0\1" * 3 + b"\xff" + struct.pack(">Ii4s", 1, 4, b"oops")
    with pytest.raises(CommandFailed, match="oops"):
        codec.decode_reply(NUMBER, body)


@pytest.mark.parametrize(("distance", "found"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_an_error_is_looked_for_in_the_last_64_kib(distance: int, found: bool) -> None:
    text = b"x" * (distance - 8)
    body = b"\xff" * 9 + struct.pack(">Ii", 1, len(text)) + text
    with pytest.raises(CommandFailed if found else ProtocolError):
        codec.decode_reply(NUMBER, body)


def test_a_cursor_stops_at_the_end() -> None:
    reader = Reader(bytes(4), 1)
    assert reader.left == 3
    assert (reader.take(2), reader.take(0), reader.take(1), reader.take(0)) == (1, 3, 3, 4)
    for size in (1, -1):
        with pytest.raises(ProtocolError, match=f"field of {size} bytes does not fit the 0 bytes"):
            reader.take(size)
    assert reader.offset == 4


@pytest.mark.parametrize(
    ("raw", "size"), [("00000000", 0), ("00000001", 1), ("7fffffff", 2**31 - 1)]
)
def test_a_size_is_not_negative(raw: str, size: int) -> None:
    assert Reader(bytes.fromhex(raw)).size() == size
    with pytest.raises(ProtocolError, match="a size of -1 is negative"):
        Reader(b"\xff" * 4).size()


def test_texts_that_just_fit_are_read_and_one_more_is_refused_at_once() -> None:
    assert Reader(bytes(12)).texts(3) == ("", "", "")
    with pytest.raises(ProtocolError, match="4 strings do not fit 12 bytes"):
        Reader(bytes(12)).texts(4)


TABLE = Record((Field("cells", "str[][]"),))
MATRIX = Record((Field("data", "f32[][]"),))


def test_a_table_that_just_fits_is_read_and_a_larger_one_is_refused_at_once() -> None:
    assert TABLE.decode(struct.pack(">ii", 2, 3) + bytes(24)) == {"cells": (("",) * 3,) * 2}
    with pytest.raises(ProtocolError, match="2 x 3 strings do not fit 23 bytes"):
        TABLE.decode(struct.pack(">ii", 2, 3) + bytes(23))
    assert TABLE.decode(bytes(8)) == {"cells": ()}


def test_the_bytes_of_arrays() -> None:
    cells = TABLE.encode({"cells": (("a", ""), ("", "bc"))})
    assert cells == struct.pack(">iii1siii2s", 2, 2, 1, b"a", 0, 0, 2, b"bc")
    assert TABLE.encode({"cells": ()}) == bytes(8)
    data = np.array([[1.0, 2.0, 3.0]])
    assert MATRIX.encode({"data": data}) == struct.pack(">iifff", 1, 3, 1.0, 2.0, 3.0)
    names = Record((Field("names", "str[]"),)).encode({"names": ("a", "bc")})
    assert names == struct.pack(">iii1si2s", 11, 2, 1, b"a", 2, b"bc")
    numbers = Record((Field("numbers", "i32[]"),)).encode({"numbers": (5, -6)})
    assert numbers == struct.pack(">iii", 2, 5, -6)


@pytest.mark.parametrize(
    ("record", "values", "why"),
    [
        (TABLE, {"cells": (("a", "b"), ("c",))}, "rows of equal length"),
        (TABLE, {"cells": ((), ("c",))}, "rows of equal length"),
        (MATRIX, {"data": np.zeros(3)}, r"2-D array, got shape \(3,\)"),
        (MATRIX, {"data": np.zeros((1, 1, 1))}, "2-D array"),
    ],
)
def test_what_is_no_table_is_not_sent(record: Record, values: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        record.encode(values)


@pytest.mark.parametrize("short", [1, 4])
@pytest.mark.parametrize(
    ("record", "whole"),
    [
        (Record((Field("n", "i32"), Field("x", "f64"))), bytes(12)),
        (Record((Field("s", "str"),)), struct.pack(">i3s", 3, b"abc")),
        (Record((Field("a", "f32[]"),)), struct.pack(">i2f", 2, 1.0, 2.0)),
        (MATRIX, struct.pack(">ii2f", 2, 1, 1.0, 2.0)),
    ],
)
def test_a_record_is_as_long_as_it_says(record: Record, whole: bytes, short: int) -> None:
    record.decode(whole)
    assert record.decode_prefix(whole + b"\1")[1] == len(whole)
    with pytest.raises(ProtocolError, match=r"too few|does not fit"):
        record.decode(whole[:-short])
    with pytest.raises(ProtocolError, match=f"{short} bytes too many"):
        record.decode(whole + bytes(short))


@pytest.mark.parametrize("kind", ["u16", "u32", "i32", "f32", "f64"])
def test_an_empty_number_is_zero(kind: str) -> None:
    record = Record((Field("n", kind),))
    assert record.decode(record.empty()) == {"n": 0}
    assert type(record.decode(record.empty())["n"]) is (float if kind[0] == "f" else int)


def test_codes_are_read_by_name_beside_any_other_field() -> None:
    record = Record((Field("colour", "u16", Colour), Field("name", "str")))
    read = record.decode(struct.pack(">Hi1s", 1, 1, b"x"))
    assert read == {"colour": Colour.RED, "name": "x"}
    assert type(read["colour"]) is Colour
    with pytest.raises(ProtocolError, match="colour has the unknown code 0"):
        record.decode(struct.pack(">Hi1s", 0, 1, b"x"))
