"""Scans add up from their lines, whatever the direction."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from drivers import ACTION, Frame, Indentation, Scan, ScanLine, ScanSettings, TunnellingPoint

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
FRAME = Frame(x_m=10e-9, y_m=20e-9, width_m=24e-9, height_m=12e-9, angle_deg=90.0)
SETTINGS = ScanSettings(frame=FRAME, pixels=16, lines=4, forward_s=0.2, backward_s=0.1, at=AT)


def line(index: int, settings: ScanSettings, *, backward: bool = True) -> ScanLine:
    z = np.full(16, index, np.float32)
    return ScanLine(index, settings.row_of(index), z, z + 10 if backward else None, index * 0.3)


@pytest.mark.parametrize(("direction", "rows"), [("down", [0, 1, 2, 3]), ("up", [3, 2, 1, 0])])
def test_lines_fill_rows_in_scan_order(direction: str, rows: list[int]) -> None:
    settings = SETTINGS.model_copy(update={"direction": direction})
    scan = Scan.from_lines(settings, [line(index, settings) for index in range(4)])
    assert [int(scan.forward[row, 0]) for row in rows] == [0, 1, 2, 3]
    assert scan.backward is not None
    assert scan.backward[rows[2], 0] == 12


def test_missing_lines_stay_nan() -> None:
    scan = Scan.from_lines(SETTINGS, [line(0, SETTINGS), line(1, SETTINGS)])
    assert scan.lines_done == 2
    assert np.isnan(scan.forward[2:]).all()


def test_one_way_instruments_have_no_backward_picture() -> None:
    assert Scan.from_lines(SETTINGS, [line(0, SETTINGS, backward=False)]).backward is None


def test_a_frame_turns_clockwise() -> None:
    x, y = FRAME.to_sample(1e-9, 0.0)
    assert (x, y) == (pytest.approx(10e-9), pytest.approx(19e-9))


def test_the_slower_direction_does_not_hide_the_speed() -> None:
    assert SETTINGS.speed_m_per_s == pytest.approx(240e-9)


def test_pixels_come_in_sixteens() -> None:
    with pytest.raises(ValidationError, match="multiple"):
        ScanSettings.model_validate({**SETTINGS.model_dump(), "pixels": 100})


def test_an_action_survives_json() -> None:
    dip = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)
    assert ACTION.validate_json(dip.model_dump_json()) == dip


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1e-9", "0"])
def test_a_depth_is_a_positive_finite_number(value: str) -> None:
    text = Indentation(at=AT, depth_m=0.125, lift_m=3e-9).model_dump_json()
    assert '"depth_m":0.125' in text
    with pytest.raises(ValidationError, match="depth_m"):
        ACTION.validate_json(text.replace('"depth_m":0.125', f'"depth_m":{value}'))
