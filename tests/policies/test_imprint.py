"""The shape of a mark is measured as it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drivers import Frame
from drivers.scan import Scan
from policies.imprint import measure_imprint
from policies.observe import agreement

SIDE, PIXELS = 24e-9, 96
FRAME = Frame(x_m=100e-9, y_m=-50e-9, width_m=SIDE, height_m=SIDE)


def scan(*mounds: tuple[float, float, float, float], noise_m: float = 3e-12) -> Scan:
    """A tilted scan with flat-topped mounds: x, y, and both half axes (nm), 200 pm high."""
    axis = (np.arange(PIXELS) + 0.5) / PIXELS * SIDE - SIDE / 2
    x, y = np.meshgrid(axis, -axis)
    z = 2e-3 * x + np.random.default_rng(1).normal(0, noise_m, x.shape)
    for x0, y0, a, b in mounds:
        z += 200e-12 * (((x - x0 * 1e-9) / a) ** 2 + ((y - y0 * 1e-9) / b) ** 2 < 1e-18)
    return Scan(z.astype(np.float32), z.astype(np.float32), FRAME)


def test_a_disc_is_round_and_as_large_as_it_is() -> None:
    mark = measure_imprint(scan((0.5, 0.0, 1.5, 1.5)), FRAME.x_m, FRAME.y_m)
    assert mark is not None
    assert mark.area_m2 == pytest.approx(math.pi * 1.5**2 * 1e-18, rel=0.05)
    assert mark.circularity > 0.9
    assert mark.axis_ratio > 0.95


def test_an_ellipse_has_its_axis_ratio() -> None:
    mark = measure_imprint(scan((0.0, 0.0, 3.0, 1.0)), FRAME.x_m, FRAME.y_m)
    assert mark is not None
    assert mark.axis_ratio == pytest.approx(1 / 3, rel=0.1)
    assert mark.circularity == pytest.approx(0.66, abs=0.08)


def test_the_nearest_mound_counts() -> None:
    mark = measure_imprint(scan((0.5, 0.5, 1.0, 1.0), (6.0, 6.0, 3.0, 3.0)), FRAME.x_m, FRAME.y_m)
    assert mark is not None
    assert mark.area_m2 == pytest.approx(math.pi * 1e-18, rel=0.15)
    far = measure_imprint(scan((0.5, 0.5, 1.0, 1.0), (6.0, 6.0, 3.0, 3.0)), 106e-9, -44e-9)
    assert far is not None
    assert far.area_m2 > 20e-18


def test_no_mark_is_none() -> None:
    assert measure_imprint(scan(), FRAME.x_m, FRAME.y_m) is None
    assert measure_imprint(scan((8.0, 8.0, 1.0, 1.0)), FRAME.x_m, FRAME.y_m) is None
    blank = Scan(np.full((16, 16), np.nan, np.float32), None, FRAME)
    assert measure_imprint(blank, FRAME.x_m, FRAME.y_m) is None


def test_the_ways_agree_where_they_show_the_same() -> None:
    same = scan((0.0, 0.0, 3.0, 3.0))
    assert agreement(same) == pytest.approx(1.0)
    other = scan((8.0, 0.0, 3.0, 3.0)).forward
    assert agreement(Scan(same.forward, other, FRAME)) < 0.6
    assert agreement(Scan(same.forward, None, FRAME)) is None
    flat = np.zeros((16, 16), np.float32)
    assert agreement(Scan(flat, flat, FRAME)) is None
