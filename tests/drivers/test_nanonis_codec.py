"""The Nanonis codec: golden bytes, round trips of every command, and damaged frames."""

from __future__ import annotations

import struct
from enum import IntEnum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import CommandFailed, ProtocolError
from drivers.nanonis import codec
from drivers.nanonis.codec import Header, Layout
from drivers.nanonis.commands import RELEASES, lookup, names
from drivers.nanonis.wire import Field, Record

XY_GET = "466F6C4D652E5859506F7347657400000000000000000000000000000000000000"
CHANGES = sorted((*RELEASES, 11798, 14429, 14573))


def shape_of(layout: Layout) -> tuple[object, ...]:
    return layout.name, layout.request.fields, layout.reply.fields


#: Every layout that any release has, once.
ALL = list(
    {
        shape_of(lookup(name, release)): (name, release)
        for release in CHANGES
        for name in names(release)
    }.values()
)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
F32 = st.floats(width=32, allow_nan=False)
SCALARS = {
    "u16": st.integers(0, 2**16 - 1),
    "u32": st.integers(0, 2**32 - 1),
    "i32": st.integers(-(2**31), 2**31 - 1),
    "f32": F32,
    "f64": st.floats(allow_nan=False),
    "str": TEXT,
    "i32[]": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5).map(tuple),
    "f32[]": st.lists(F32, max_size=5).map(tuple),
    "str[]": st.lists(TEXT, max_size=5).map(tuple),
    "str[][]": st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(TEXT, min_size=n, max_size=n).map(tuple), max_size=3).map(tuple)
    ),
    "f32[][]": st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
        lambda shape: st.lists(F32, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
            lambda flat: np.array(flat, np.float32).reshape(shape)
        )
    ),
}


def value_of(field: Field):
    return SCALARS[field.kind] if field.codes is None else st.sampled_from(field.codes)


def values_of(record: Record):
    return st.fixed_dictionaries({field.name: value_of(field) for field in record.fields})


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def body_of(frame: bytes) -> bytes:
    header = Header.decode(frame[:40])
    assert len(frame) == 40 + header.size
    return frame[40:]


def test_request_matches_the_published_bytes():
    frame = codec.encode_request(lookup("FolMe.XYPosGet", 10862), {"wait_newest": 1})
    assert frame.hex().upper() == XY_GET[:64] + "00000004" + "0001" + "0000" + "00000001"


def test_set_request_matches_the_published_bytes():
    values = {"x_m": 10e-9, "y_m": 15e-9, "wait": 1}
    frame = codec.encode_request(lookup("FolMe.XYPosSet", 10862), values)
    assert frame[32:].hex().upper() == (
        "00000014" + "0001" + "0000" + "3E45798EE2308C3A" + "3E501B2B29A4692B" + "00000001"
    )


def test_reply_matches_the_published_bytes():
    layout = lookup("FolMe.XYPosGet", 10862)
    frame = codec.encode_reply(layout, {"x_m": 5e-9, "y_m": -5e-9})
    assert frame.hex().upper() == (
        XY_GET[:64] + "00000018" + "00000000" + "3E35798EE2308C3A" + "BE35798EE2308C3A" + "0" * 16
    )
    assert codec.decode_reply(layout, body_of(frame)) == {"x_m": 5e-9, "y_m": -5e-9}


@pytest.mark.parametrize(("name", "release"), ALL)
def test_every_command_survives_both_ways(name: str, release: int):
    layout = lookup(name, release)

    @settings(max_examples=6, deadline=None)
    @given(values_of(layout.request), values_of(layout.reply))
    def round_trip(arguments: dict, returns: dict) -> None:
        request = codec.encode_request(layout, arguments)
        assert Header.decode(request[:40]) == Header(name, len(request) - 40)
        assert same(codec.decode_request(layout, body_of(request)), arguments)
        reply = codec.encode_reply(layout, returns)
        assert same(codec.decode_reply(layout, body_of(reply)), returns)

    round_trip()


@pytest.mark.parametrize(("name", "release"), ALL)
@pytest.mark.parametrize("with_values", [True, False])
def test_every_command_can_fail(name: str, release: int, with_values: bool):
    layout = lookup(name, release)
    frame = codec.encode_error(name, "no such module", layout.reply if with_values else None)
    with pytest.raises(CommandFailed, match="no such module"):
        codec.decode_reply(layout, body_of(frame))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_replies_are_refused_or_read_but_nothing_else(data: st.DataObject):
    layout = lookup(*data.draw(st.sampled_from(ALL)))
    body = bytearray(body_of(codec.encode_reply(layout, data.draw(values_of(layout.reply)))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        if not body:
            break
    try:
        values = codec.decode_reply(layout, bytes(body))
    except (ProtocolError, CommandFailed):
        return
    assert values.keys() == {field.name for field in layout.reply.fields}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ALL), st.binary(max_size=80))
def test_noise_is_refused_or_read_but_nothing_else(which: tuple[str, int], noise: bytes):
    for decode in (codec.decode_request, codec.decode_reply):
        try:
            decode(lookup(*which), noise)
        except (ProtocolError, CommandFailed):
            continue


@given(st.binary(min_size=40, max_size=40))
def test_a_header_of_noise_is_refused_or_within_bounds(noise: bytes):
    try:
        header = Header.decode(noise)
    except ProtocolError:
        return
    assert 0 <= header.size <= codec.MAX_BODY
    assert header.name


@pytest.mark.parametrize("size", [-1, codec.MAX_BODY + 1, 2**31 - 1, -(2**31)])
def test_absurd_body_sizes_are_refused(size: int):
    with pytest.raises(ProtocolError, match="cannot have"):
        Header.decode(struct.pack(">32siHH", b"Bias.Get", size, 0, 0))


@pytest.mark.parametrize("body", ["7fffffff7fffffff", "7fffffff00000000", "ffffffff00000004"])
@pytest.mark.parametrize("name", ["Scan.PropsGet", "Scan.FrameDataGrab", "Signals.ValsGet"])
def test_absurd_counts_are_refused_before_anything_is_allocated(name: str, body: str):
    with pytest.raises(ProtocolError):
        codec.decode_reply(lookup(name, 14718), bytes.fromhex(body))


def test_a_table_without_columns_is_empty_whatever_its_rows():
    record = Record((Field("table", "str[][]"),))
    assert record.decode(struct.pack(">ii", 2**31 - 1, 0)) == {"table": ()}


def test_string_arrays_are_read_by_count_not_by_their_byte_total():
    body = struct.pack(">iii1s", 999, 1, 1, b"a")
    assert Record((Field("names", "str[]"),)).decode(body) == {"names": ("a",)}


def test_text_that_is_not_utf8_is_read_as_latin1():
    record = Record((Field("path", "str"),))
    assert record.decode(struct.pack(">i2s", 2, b"\xb5m")) == {"path": "\xb5m"}


def reply_to(name: str) -> Layout:
    return lookup(name, 14718)


def test_a_description_is_an_error_even_where_the_status_says_success():
    body = struct.pack(">fIi4s", 0.1, 0, 4, b"oops")
    with pytest.raises(CommandFailed, match="oops"):
        codec.decode_reply(reply_to("Bias.Get"), body)


def test_a_status_without_description_is_an_error():
    with pytest.raises(CommandFailed, match="status 1"):
        codec.decode_reply(reply_to("Bias.Get"), struct.pack(">fIi", 0.1, 1, 0))


def test_an_error_is_found_behind_surplus_bytes():
    body = struct.pack(">f8xIi4s", 0.1, 1, 4, b"oops")
    with pytest.raises(CommandFailed, match="oops"):
        codec.decode_reply(reply_to("Bias.Get"), body)


def test_values_appended_by_newer_releases_are_passed_over():
    body = struct.pack(">ff8x", 0.5, 7.0)
    assert codec.decode_reply(reply_to("Bias.Get"), body) == {"bias_v": 0.5}


def test_a_reply_without_error_block_is_refused():
    with pytest.raises(ProtocolError, match=r"Bias\.Get"):
        codec.decode_reply(reply_to("Bias.Get"), struct.pack(">fi", 0.1, 1))


def test_surplus_arguments_are_refused():
    with pytest.raises(ProtocolError, match="too many"):
        codec.decode_request(reply_to("Bias.Set"), bytes(8))


class Colour(IntEnum):
    RED = 1


CODED = Record((Field("colour", "u16", Colour), Field("bias_v", "f32")))


@pytest.mark.parametrize(
    "values",
    [
        {"colour": Colour.RED},
        {"colour": Colour.RED, "bias_v": 0.0, "more": 1},
        {"colour": 1, "bias_v": 0.0},
        {"colour": Colour.RED, "bias_v": 1e300},
        {"colour": Colour.RED, "bias_v": "x"},
    ],
)
def test_values_that_do_not_fit_are_our_own_mistake(values: dict):
    with pytest.raises(ValueError, match=r"bias_v|colour"):
        CODED.encode(values)


def test_unknown_codes_are_refused():
    with pytest.raises(ProtocolError, match="unknown code 2"):
        CODED.decode(struct.pack(">Hf", 2, 0.0))


def test_matrices_are_read_without_copying():
    layout = reply_to("Scan.FrameDataGrab")
    values = {"name": "Z (m)", "data": np.full((3, 4), np.nan), "direction": 1}
    values["direction"] = layout.reply.fields[-1].codes(1)
    data = codec.decode_reply(layout, body_of(codec.encode_reply(layout, values)))["data"]
    assert data.shape == (3, 4)
    assert np.isnan(data).all()
    assert not data.flags.owndata
