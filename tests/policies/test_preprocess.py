"""One preprocessing for every scan: any size, any unit, whole or partial."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import Frame, Scan
from policies.scorer.preprocess import CHANNELS, NUMBERS, SIDE, prepare

FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)


def picture(lines: int, pixels: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 20e-12, (lines, pixels)).cumsum(axis=1)
    return z.astype(np.float32)


@given(
    lines=st.integers(1, 130),
    pixels=st.integers(8, 300),
    done=st.floats(0.01, 1.0),
    backward=st.booleans(),
    scale=st.sampled_from([1.0, 1e-9, 255.0]),
    direction=st.sampled_from(["up", "down"]),
)
def test_every_scan_gives_finite_bounded_pictures(
    lines: int, pixels: int, done: float, backward: bool, scale: float, direction: str
) -> None:
    z = picture(lines, pixels) * np.float32(scale / 1e-9)
    order = slice(max(1, int(done * lines)), None)
    (z if direction == "down" else z[::-1])[order] = np.nan
    scan = Scan(forward=z, backward=z if backward else None, direction=direction, scale_known=False)
    result = prepare(scan)
    assert result.pictures.shape == (CHANNELS, SIDE, SIDE)
    assert result.numbers.shape == (NUMBERS,)
    assert np.isfinite(result.pictures).all()
    assert np.abs(result.pictures).max() < 20
    assert result.lines == max(1, min(int(done * lines), lines))
    assert result.numbers[:4].tolist() == [0, 0, 0, 0]


def test_units_and_tilt_do_not_change_the_pictures() -> None:
    z = picture(96, 96)
    rows, columns = np.mgrid[:96, :96]
    tilted = (z + columns * 5e-12 - rows * 3e-12).astype(np.float32) * np.float32(1e9)
    plain = prepare(Scan(forward=z, scale_known=False)).pictures
    other = prepare(Scan(forward=tilted, scale_known=False)).pictures
    assert np.abs(plain - other).max() < 0.05


def test_an_up_scan_is_seen_in_the_order_of_time() -> None:
    z = picture(96, 96)
    down = prepare(Scan(forward=z)).pictures
    up = prepare(Scan(forward=z[::-1], direction="up")).pictures
    assert np.array_equal(down, up)


def test_a_jump_between_lines_stays_visible() -> None:
    z = np.random.default_rng(1).normal(0, 5e-12, (96, 96)).astype(np.float32)
    z[48:] += 300e-12
    pictures = prepare(Scan(forward=z)).pictures
    assert abs(pictures[2, 60:].mean() - pictures[2, :30].mean()) > 1
    assert abs(pictures[0, 60:].mean() - pictures[0, :30].mean()) < 0.5


def test_known_scales_are_told() -> None:
    numbers = prepare(Scan(forward=picture(96, 96), frame=FRAME)).numbers
    assert numbers[0] == pytest.approx(0.0, abs=1e-6)
    assert numbers[1] == numbers[3] == 1


@pytest.mark.parametrize(("fill", "problem"), [(np.nan, "no data"), (1e-9, "no relief")])
def test_a_scan_that_shows_nothing_is_refused(fill: float, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        prepare(Scan(forward=np.full((8, 8), fill, np.float32)))
