"""The .sxm reader and writer, against real files and against nanonispy2."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import nanonispy2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers import Frame, Scan
from drivers.errors import FileError
from drivers.formats import read_scan, read_sxm, write_sxm
from drivers.scan import apparent_height

REAL = Path(__file__).parents[3] / "shared" / "data" / "real_scans" / "files"
FRAME = Frame(x_m=3e-9, y_m=-120e-9, width_m=5e-9, height_m=2.5e-9, angle_deg=30.0)


def make_scan(rows=6, columns=5, **changes):
    forward = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns) * 1e-12
    values = {
        "forward": forward,
        "backward": forward + np.float32(1e-9),
        "frame": FRAME,
        "bias_v": -0.05,
        "setpoint_a": 25e-12,
        "forward_s": 0.25,
        "started": "29.04.2023 01:22:24",
        "comment": "4.4 K\nclean",
    }
    return Scan(**{**values, **changes})


def same_pictures(a, b):
    np.testing.assert_array_equal(a.forward, b.forward)
    assert (a.backward is None) == (b.backward is None)
    if a.backward is not None:
        np.testing.assert_array_equal(a.backward, b.backward)


@pytest.fixture(params=["Au_mica_2023_Y_A_diPAMY_195", "Topo101", "example_TOPO"])
def real_file(request):
    path = REAL / f"{request.param}.sxm"
    if not path.exists():
        pytest.skip(f"no real scans at {REAL}")
    return path


def test_real_files_agree_with_nanonispy2(real_file):
    scan = read_scan(real_file)
    signals = nanonispy2.read.Scan(str(real_file)).signals
    followed = scan.quantity == "height"
    assert followed == (np.ptp(signals["Z"]["forward"]) > 0)
    shown = (
        signals["Z"]
        if followed
        else {way: apparent_height(current) for way, current in signals["Current"].items()}
    )
    upright = slice(None, None, -1 if scan.direction == "up" else 1)
    np.testing.assert_array_equal(scan.forward, shown["forward"][upright])
    np.testing.assert_array_equal(scan.backward, shown["backward"][upright, ::-1])
    assert scan.forward.dtype == np.float32


def test_an_unfinished_scan_is_still_a_topograph(tmp_path):
    forward = make_scan().forward.copy()
    forward[2:] = np.nan
    path = tmp_path / "a.sxm"
    write_sxm(path, make_scan(forward=forward, backward=None))
    row = b"\t30\tZ\tm\tforward\t1.000E+0\t0.000E+0"
    both = path.read_bytes().replace(row, row + b"\n\t0\tCurrent\tA\tforward\t1\t0")
    path.write_bytes(both + np.full(forward.shape, 1e-10, ">f4").tobytes())
    scan = read_sxm(path)
    assert scan.quantity == "height"
    np.testing.assert_array_equal(scan.forward, forward)


def test_a_decade_of_current_is_a_tenth_of_a_nanometre():
    low, high = apparent_height(np.array([-1e-10, -1e-9], np.float32))
    assert high - low == pytest.approx(0.106e-9, rel=0.01)


def test_what_a_real_header_says_is_read():
    path = REAL / "example_TOPO.sxm"
    if not path.exists():
        pytest.skip(f"no real scans at {REAL}")
    scan = read_sxm(path)
    assert scan.frame == Frame(x_m=-3.163728e-9, y_m=-1.225518e-7, width_m=5e-9, height_m=5e-9)
    assert (scan.direction, scan.started) == ("up", "06.06.2019 15:12:03")
    assert (scan.bias_v, scan.setpoint_a, scan.forward_s) == (-0.02, 5e-11, 0.1152)


def test_nanonispy2_reads_what_is_written(tmp_path):
    scan = make_scan(direction="up")
    write_sxm(tmp_path / "a.sxm", scan)
    theirs = nanonispy2.read.Scan(str(tmp_path / "a.sxm"))
    np.testing.assert_array_equal(theirs.signals["Z"]["forward"], scan.forward[::-1])
    np.testing.assert_array_equal(theirs.signals["Z"]["backward"], scan.backward[::-1, ::-1])
    np.testing.assert_allclose(theirs.header["scan_offset"], [3e-9, -120e-9])
    assert theirs.header["bias"] == -0.05
    assert theirs.header["comment"] == "4.4 K\nclean"
    assert theirs.header["z-controller"]["Setpoint"] == ("2.500000000E-11 A",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    direction=st.sampled_from(["up", "down"]),
    both=st.booleans(),
    done=st.integers(0, 5),
    bias_v=st.none() | st.floats(-10, 10),
    setpoint_a=st.none() | st.floats(1e-13, 1e-8),
    comment=st.text(),
)
def test_what_is_written_is_read_back(
    tmp_path, rows, columns, direction, both, done, bias_v, setpoint_a, comment
):
    scan = make_scan(rows, columns, direction=direction, comment=comment, bias_v=bias_v)
    scan.forward[done:] = np.nan
    changed = make_scan(
        forward=scan.forward,
        backward=scan.forward[:, ::-1] if both else None,
        direction=direction,
        bias_v=bias_v,
        setpoint_a=setpoint_a,
        comment=comment,
    )
    write_sxm(tmp_path / "a.sxm", changed)
    back = read_sxm(tmp_path / "a.sxm")
    same_pictures(back, changed)
    assert (back.direction, back.frame) == (direction, FRAME)
    assert back.lines_done == min(done, rows)
    assert back.bias_v == (None if bias_v is None else pytest.approx(bias_v, rel=1e-8))
    assert back.setpoint_a == (None if setpoint_a is None else pytest.approx(setpoint_a, rel=1e-8))


def test_unknown_numbers_stay_unknown(tmp_path):
    write_sxm(tmp_path / "a.sxm", make_scan(forward_s=None, bias_v=None, started=None))
    back = read_sxm(tmp_path / "a.sxm")
    assert (back.forward_s, back.bias_v, back.started) == (None, None, None)
    assert math.isnan(nanonispy2.read.Scan(str(tmp_path / "a.sxm")).header["bias"])


@pytest.mark.parametrize("change", [{"frame": None}, {"scale_known": False}])
def test_a_scan_without_scale_is_not_written(tmp_path, change):
    with pytest.raises(FileError, match="needs a scan with a frame and metres"):
        write_sxm(tmp_path / "a.sxm", make_scan(**change))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.sxm").mkdir()
    with pytest.raises(FileError, match="cannot write"):
        write_sxm(tmp_path / "a.sxm", make_scan())
    assert [path.name for path in tmp_path.iterdir()] == ["a.sxm"]


def good_bytes(tmp_path):
    write_sxm(tmp_path / "good.sxm", make_scan())
    return (tmp_path / "good.sxm").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"5 6", b"5 x", "two numbers"),
        (b"5 6", b"5000000000 6000000000", "bytes of data were expected"),
        (b"5 6", b"1e308 1e308", "bytes of data were expected"),
        (b"5 6", b"0 6", "no size of a picture"),
        (b"5 6", b"2.5 6", "no size of a picture"),
        (b":SCAN_PIXELS:", b":OTHER:", "SCAN_PIXELS is ''"),
        (b":SCAN_DIR:\ndown", b":SCAN_DIR:\nleft", "SCAN_DIR is 'left'"),
        (b"MSBFIRST", b"LSBFIRST", "big-endian"),
        (b"\tZ\t", b"\tI\t", "no forward picture of the channel Z"),
        (b"\tboth\t", b"\tsideways\t", "'sideways'"),
        (b"5.000000000E-09", b"nan", "no scan frame"),
        (b":SCANIT_END:", b"", "no header"),
        (b"\x1a\x04", b"", "no header"),
    ],
)
def test_damage_is_named(tmp_path, old, new, message):
    path = tmp_path / "bad.sxm"
    content = good_bytes(tmp_path)
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(FileError, match=message):
        read_sxm(path)


@pytest.mark.parametrize("content", [b"", b"not a scan", b"\x00" * 5000])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "bad.sxm"
    path.write_bytes(content)
    with pytest.raises(FileError, match="another kind of file"):
        read_scan(path)


def test_missing_files_and_unknown_kinds_are_refused(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        read_scan(tmp_path / "none.sxm")
    with pytest.raises(FileError, match=r"'.png' are not supported; supported are .gsf, .sxm"):
        read_scan(tmp_path / "a.png")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cut=st.integers(0, 2000),
    place=st.integers(0, 2000),
    junk=st.binary(max_size=20),
    drop=st.integers(0, 20),
)
def test_damaged_files_raise_nothing_but_file_errors(tmp_path, cut, place, junk, drop):
    content = good_bytes(tmp_path)
    content = content[:place] + junk + content[place + drop :]
    path = tmp_path / "bad.sxm"
    path.write_bytes(content[: len(content) - cut])
    with contextlib.suppress(FileError):
        assert read_scan(path).forward.ndim == 2
