"""The pure parts of the Nanonis driver: ramps, heights, lines of a picture, the logger's stream."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.actions import TunnellingPoint
from drivers.errors import ConfigError, ProtocolError
from drivers.nanonis.bias import STEP_V, ramp_steps
from drivers.nanonis.codes import MotorDirection
from drivers.nanonis.height import Height, jump_m
from drivers.nanonis.lines import LineCollector
from drivers.nanonis.logger import LogFrame, LogParser
from drivers.nanonis.options import first_port, read_options
from drivers.registry import Address
from drivers.scan import Frame, ScanSettings

BIAS = st.floats(-10, 10)


@given(BIAS, BIAS)
def test_a_ramp_ends_exactly_and_never_jumps(start: float, end: float):
    steps = ramp_steps(start, end)
    if start == end:
        assert steps == ()
        return
    assert steps[-1] == end
    assert np.abs(np.diff([start, *steps])).max() <= STEP_V * 1.001
    assert len(steps) <= abs(end - start) / STEP_V + 1


def test_the_steps_of_a_ramp():
    assert ramp_steps(1.0, 0.85) == pytest.approx((0.95, 0.9, 0.85))
    assert ramp_steps(0.0, 0.01) == (0.01,)
    assert ramp_steps(0.05, -0.05) == pytest.approx((0.0, -0.05))


@given(st.floats(-1e-10, 1e-10), st.floats(-1e-9, 1e-9))
def test_drift_is_not_taken_for_a_jump(drift_m_per_s: float, jump: float):
    times = np.linspace(0, 0.5, 20)
    before = Height.fit(times, drift_m_per_s * times)
    after = Height.fit(times + 10, drift_m_per_s * (times + 10) + jump)
    assert jump_m(before, after) == pytest.approx(jump, abs=1e-15)


def test_noise_is_not_taken_for_drift():
    rng = np.random.default_rng(5)
    times = np.linspace(0, 0.5, 25)
    jumps = []
    for _ in range(200):
        # Slow noise: every reading resembles the last.
        noise = np.cumsum(rng.normal(0, 3e-12, 50))
        noise -= noise.mean()
        before, after = Height.fit(times, noise[:25]), Height.fit(times + 5, noise[25:])
        jumps.append(jump_m(before, after))
    assert np.median(np.abs(jumps)) < 30e-12


def test_a_height_at_one_moment_has_no_drift():
    height = Height.fit([1.0, 1.0, 1.0], [1e-9, 2e-9, 3e-9])
    assert (height.z_m, height.drift_m_per_s) == (pytest.approx(2e-9), 0.0)


def settings(direction: str = "down", lines: int = 3) -> ScanSettings:
    return ScanSettings(
        frame=Frame(x_m=0, y_m=0, width_m=1e-8, height_m=1e-8),
        pixels=16,
        lines=lines,
        forward_s=0.1,
        backward_s=0.1,
        at=TunnellingPoint(bias_v=1.0, setpoint_a=1e-10),
        direction=direction,
    )


def blank(lines: int = 3) -> np.ndarray:
    return np.full((lines, 16), np.nan, np.float32)


@pytest.mark.parametrize(("direction", "rows"), [("down", [0, 1]), ("up", [2, 1])])
def test_lines_come_in_the_order_of_the_scan(direction: str, rows: list[int]):
    collector = LineCollector(settings(direction), None)
    forward, backward = blank(), blank()
    assert list(collector.take(forward, backward, whole=False)) == []
    forward[rows], backward[rows] = 1.0, 2.0
    assert list(collector.take(forward, backward, whole=False)) == [0, 1]
    assert list(collector.take(forward, backward, whole=False)) == []
    assert not collector.complete


def test_a_line_counts_once_it_is_whole_both_ways():
    collector = LineCollector(settings(), None)
    forward, backward = blank(), blank()
    forward[0] = 1.0
    backward[0, 4:] = 1.0
    assert list(collector.take(forward, backward, whole=False)) == []
    backward[0] = 1.0
    assert list(collector.take(forward, backward, whole=False)) == [0]


def test_rows_of_the_last_scan_are_not_taken_for_new_ones():
    old = np.random.default_rng(1).normal(size=(2, 3, 16)).astype(np.float32)
    collector = LineCollector(settings(), (old[0], old[1]))
    now = old.copy()
    assert list(collector.take(now[0], now[1], whole=False)) == []
    now[0, 0] += 1
    now[1, 0, 8:] += 1  # half of the way back
    assert list(collector.take(now[0], now[1], whole=False)) == []
    now[1, 0, :8] += 1
    assert list(collector.take(now[0], now[1], whole=False)) == [0]


def test_a_pixel_that_is_by_chance_as_before_only_delays_a_line():
    old = np.random.default_rng(1).normal(size=(2, 3, 16)).astype(np.float32)
    collector = LineCollector(settings(), (old[0], old[1]))
    now = old.copy()
    now[:, 0] += 1
    now[1, 0, 0] = old[1, 0, 0]
    assert list(collector.take(now[0], now[1], whole=False)) == []
    now[0, 1, 0] += 1
    assert list(collector.take(now[0], now[1], whole=False)) == [0]


def test_a_whole_scan_may_look_like_the_last_one():
    old = np.zeros((2, 3, 16), np.float32)
    collector = LineCollector(settings(), (old[0], old[1]))
    assert list(collector.take(old[0], old[1], whole=False)) == []
    assert list(collector.take(old[0], old[1], whole=True)) == [0, 1, 2]
    assert collector.complete


FRAMES = st.lists(
    st.builds(
        LogFrame,
        counter=st.integers(0, 2**64 - 1),
        state=st.integers(0, 2**16 - 1),
        oversampling=st.floats(width=32, allow_nan=False),
        values=st.lists(st.floats(width=32, allow_nan=False), max_size=5).map(tuple),
    ),
    max_size=6,
)


@given(FRAMES, st.data())
def test_the_stream_is_read_however_it_is_cut(frames: list[LogFrame], data: st.DataObject):
    stream = b"".join(frame.encode() for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parser = LogParser()
    found = [
        frame
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for frame in parser.feed(stream[start:end])
    ]
    assert found == frames


@given(st.binary(max_size=200))
def test_noise_in_the_stream_is_refused_or_read_but_nothing_else(noise: bytes):
    parser = LogParser()
    try:
        parser.feed(noise)
    except ProtocolError:
        return


def test_a_frame_with_absurdly_many_channels_is_refused():
    with pytest.raises(ProtocolError, match="4294967295 channels"):
        LogParser().feed(struct.pack(">IfQH", 2**32 - 1, 1.0, 1, 4))


def options(query: str):
    return read_options(Address.parse(f"nanonis://127.0.0.1:6501?{query}"))


@pytest.mark.parametrize("query", ["z_retract=Z%2B", "z_retract=Z+"])
def test_the_plus_of_a_direction_survives_the_query(query: str):
    assert options(query).retract_direction is MotorDirection.Z_PLUS


def test_the_direction_away_from_the_sample_is_never_guessed():
    assert options("z_retract=Z-").retract_direction is MotorDirection.Z_MINUS
    with pytest.raises(ConfigError, match="z_retract"):
        _ = options("").retract_direction


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "bias_sign=2",
        "bias_sign=0",
        "z_retract=up",
        "time_scale=0",
        "time_scale=nan",
        "timeout_s=-1",
        "motor_group=6",
        "release=x",
        "logger_port=70000",
        "flip_backward=perhaps",
    ],
)
def test_wrong_options_are_named(query: str):
    with pytest.raises(ConfigError, match=query.split("=")[0]):
        options(query)


@pytest.mark.parametrize("port", [0, 65447])
def test_a_port_without_room_for_the_others_is_refused(port: int):
    with pytest.raises(ConfigError, match="usually 6501"):
        first_port(Address.parse(f"nanonis://host:{port}"))


def test_the_first_port_is_6501_unless_said_otherwise():
    assert first_port(Address.parse("nanonis://host")) == 6501
    assert first_port(Address.parse("nanonis://host:65446")) == 65446


@pytest.mark.parametrize("text", ["nanonis:somewhere", "nanonis://", "nanonis://host/path"])
def test_an_address_without_host_is_refused(text: str):
    with pytest.raises(ConfigError, match="expected for example"):
        read_options(Address.parse(text))
