"""Gwyddion Simple Field: what is written comes back, what is damaged is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.errors import FileError
from drivers.formats import read_scan
from drivers.formats.gsf import read_gsf, write_gsf
from drivers.scan import Frame, Scan

FRAME = Frame(x_m=1.5e-8, y_m=-2e-9, width_m=2e-8, height_m=1e-8, angle_deg=30.0)
Z = np.arange(32, dtype=np.float32).reshape(4, 8) * np.float32(1e-12)
numbers = st.floats(-1e3, 1e3, allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def file(path: Path, header: str, values: bytes = b"\0" * 32) -> Path:
    """A file with a header of our making."""
    text = f"Gwyddion Simple Field 1.0\n{header}".encode()
    path.write_bytes(text + b"\0" * (4 - len(text) % 4) + values)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bias=numbers,
    angle=st.floats(-180, 180),
    title=texts,
    started=texts,
    direction=st.sampled_from(["up", "down"]),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_what_is_written_comes_back(
    tmp_path: Path, bias: float, angle: float, title: str, started: str, direction, shape
):
    path = tmp_path / "scan.gsf"
    frame = Frame(x_m=1e-8, y_m=-3e-9, width_m=2e-8, height_m=1e-8, angle_deg=angle)
    z = np.random.default_rng(0).normal(0, 1e-10, shape).astype(np.float32)
    z[0, 0] = np.nan
    scan = Scan(z, frame=frame, bias_v=bias, setpoint_a=5e-11, forward_s=0.3, direction=direction,
                comment=title, started=started)  # fmt: skip
    write_gsf(path, scan)
    back = read_gsf(path)
    np.testing.assert_array_equal(back.forward, z)
    assert back.frame is not None
    assert back.frame.model_dump() == pytest.approx(frame.model_dump())
    assert (back.bias_v, back.setpoint_a, back.forward_s) == (bias, 5e-11, 0.3)
    assert (back.direction, back.scale_known) == (direction, True)
    assert back.comment == " ".join(title.replace("\0", " ").split())


def test_the_layout_is_that_of_the_format(tmp_path: Path):
    path = tmp_path / "scan.gsf"
    write_gsf(path, Scan(Z, frame=FRAME, bias_v=0.1))
    content = path.read_bytes()
    end = content.index(b"\0")
    assert content.startswith(b"Gwyddion Simple Field 1.0\nXRes = 8\nYRes = 4\n")
    assert b"ZUnits = m\n" in content[:end]
    data = content[-Z.size * 4 :]
    header = len(content) - len(data)
    assert header % 4 == 0
    assert 1 <= header - end <= 4
    assert struct.unpack("<f", data[4:8])[0] == Z[0, 1]


def test_the_offset_is_that_of_the_corner(tmp_path: Path):
    path = tmp_path / "scan.gsf"
    write_gsf(path, Scan(Z, frame=FRAME))
    fields = dict(
        line.split(" = ") for line in path.read_bytes().split(b"\0")[0].decode().split("\n")[1:-1]
    )
    assert float(fields["XOffset"]) == pytest.approx(5e-9)
    assert float(fields["YOffset"]) == pytest.approx(-7e-9)


def test_the_backward_picture_has_a_file_of_its_own(tmp_path: Path):
    path = tmp_path / "scan.gsf"
    write_gsf(path, Scan(Z, backward=Z + 1, frame=FRAME), "backward")
    np.testing.assert_array_equal(read_scan(path).forward, Z + 1)
    with pytest.raises(FileError, match="no backward picture"):
        write_gsf(path, Scan(Z, frame=FRAME), "backward")
    np.testing.assert_array_equal(read_scan(path).forward, Z + 1)


def test_other_units_of_length_are_converted(tmp_path: Path):
    header = "XRes=4\nYRes=2\nXReal=20\nYReal=10\nXYUnits=nm\nZUnits=pm\n"
    scan = read_gsf(file(tmp_path / "a.gsf", header, struct.pack("<8f", *range(8))))
    assert scan.forward[1, 3] == pytest.approx(7e-12)
    assert scan.frame is not None
    assert scan.frame.width_m == pytest.approx(2e-8)


def test_without_units_neither_scale_nor_frame_is_known(tmp_path: Path):
    scan = read_gsf(file(tmp_path / "a.gsf", "XRes = 4\nYRes = 2\nXReal = 1\n"))
    assert (scan.frame, scan.scale_known) == (None, False)


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("YRes = 2\n", "XRes"),
        ("XRes = 4\nYRes = -2\n", "YRes"),
        ("XRes = 4\nYRes = 99999999999999999999\n", "YRes"),
        ("XRes = 40\nYRes = 2\n", "320 bytes"),
        ("XRes = 4\nYRes = 2\nZUnits = A\n", "ZUnits"),
        ("XRes = 4\nYRes = 2\nBias = much\n", "Bias"),
        ("XRes = 4\nYRes = 2\nXYUnits = m\nXReal = -1\nYReal = 1\n", "XReal"),
    ],
)
def test_damage_is_named(tmp_path: Path, header: str, named: str):
    path = file(tmp_path / "a.gsf", header)
    with pytest.raises(FileError, match=named) as caught:
        read_gsf(path)
    assert str(path) in str(caught.value)


@given(content=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_refused_as_such(tmp_path: Path, content: bytes):
    path = tmp_path / "a.gsf"
    for whole in (content, b"Gwyddion Simple Field 1.0\n" + content):
        path.write_bytes(whole)
        with pytest.raises(FileError):
            read_gsf(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileError, match="nowhere"):
        read_gsf(tmp_path / "nowhere.gsf")
