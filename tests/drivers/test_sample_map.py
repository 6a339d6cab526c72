"""The book of the sample and the search for a flat, clean spot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers import Frame, Scan
from drivers.actions import Indentation, Pulse, TunnellingPoint, Wait
from drivers.sample_map import SampleMap, clear_site, level, spoiled_diameter_m

NM = 1e-9
FRAME = Frame(x_m=100e-9, y_m=-50e-9, width_m=24e-9, height_m=24e-9)


def terrace(rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:96, :96]
    return (columns * 2e-12 + rows * 1e-12 + rng.normal(0, 3e-12, (96, 96))).astype(np.float32)


def adatom(z: np.ndarray, row: int, column: int) -> None:
    rows, columns = np.mgrid[:96, :96]
    z += (150e-12 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8)).astype(np.float32)


@given(x=st.floats(-390, 390), y=st.floats(-390, 390), diameter=st.floats(1, 40))
def test_a_touched_disc_stays_touched(x: float, y: float, diameter: float) -> None:
    book = SampleMap(800 * NM, 800 * NM)
    assert not book.is_touched(x * NM, y * NM, 1 * NM)
    book.touch(x * NM, y * NM, diameter * NM)
    assert book.is_touched(x * NM, y * NM, 0.5 * NM)
    share = math.pi * (diameter / 2 + 4) ** 2 / 800**2
    assert 0 < book.touched_share() <= share


@given(st.lists(st.tuples(st.floats(-380, 380), st.floats(-380, 380)), max_size=20))
def test_fresh_frames_avoid_everything_touched_and_seen(places: list[tuple[float, float]]) -> None:
    book = SampleMap(800 * NM, 800 * NM)
    for x, y in places:
        book.touch(x * NM, y * NM, 8 * NM)
    seen: list[tuple[float, float]] = []
    for _ in range(5):
        spot = book.fresh_frame(24 * NM, 0.0, 0.0)
        assert spot is not None
        assert not book.is_touched(*spot, 23 * NM)
        assert max(abs(spot[0]), abs(spot[1])) <= 388 * NM + 1e-12
        assert all(max(abs(spot[0] - x), abs(spot[1] - y)) > 23 * NM for x, y in seen)
        seen.append(spot)
        book.look(Frame(x_m=spot[0], y_m=spot[1], width_m=24 * NM, height_m=24 * NM))


def test_a_small_field_runs_out() -> None:
    book = SampleMap(100 * NM, 100 * NM)
    count = 0
    while (spot := book.fresh_frame(24 * NM, 0.0, 0.0)) is not None:
        book.look(Frame(x_m=spot[0], y_m=spot[1], width_m=24 * NM, height_m=24 * NM))
        count += 1
    assert 8 <= count <= 16


def test_the_nearest_fresh_frame_comes_first() -> None:
    book = SampleMap(800 * NM, 800 * NM)
    spot = book.fresh_frame(24 * NM, 200 * NM, -100 * NM)
    assert spot is not None
    assert math.dist(spot, (200 * NM, -100 * NM)) < 3 * NM


def test_a_site_lies_far_from_adatoms_and_in_sample_coordinates() -> None:
    z = terrace(np.random.default_rng(1))
    for row, column in [(20, 20), (20, 70), (70, 20), (45, 50)]:
        adatom(z, row, column)
    site = clear_site(Scan(forward=z, frame=FRAME))
    assert site is not None
    # The lower right quarter is the empty one: x above the centre, y below it.
    assert site.x_m > FRAME.x_m
    assert site.y_m < FRAME.y_m
    assert 4 * NM < site.clear_m < 16 * NM


def test_steps_are_no_site() -> None:
    z = terrace(np.random.default_rng(2))
    z[:, 30:] += 235e-12
    site = clear_site(Scan(forward=z, frame=FRAME))
    assert site is not None
    step_x = FRAME.x_m + (30 / 96 - 0.5) * FRAME.width_m
    assert abs(site.x_m - step_x) >= site.clear_m / 2


def test_what_one_direction_alone_shows_is_no_obstacle() -> None:
    z = terrace(np.random.default_rng(3))
    streaks = z.copy()
    streaks[::7, 30:70] += 120e-12
    streaks[1::7, 30:70] += 120e-12
    lonely = clear_site(Scan(forward=streaks, frame=FRAME))
    both = clear_site(Scan(forward=streaks, backward=z, frame=FRAME))
    assert both is not None
    assert lonely is not None
    assert lonely.clear_m < 8 * NM
    assert both.clear_m > 20 * NM


def test_unscanned_lines_are_no_site() -> None:
    z = terrace(np.random.default_rng(3))
    z[40:] = np.nan
    site = clear_site(Scan(forward=z, frame=FRAME))
    assert site is not None
    boundary_y = FRAME.y_m + FRAME.height_m / 2 - 40 / 96 * FRAME.height_m
    assert site.y_m - site.clear_m / 2 >= boundary_y - 0.3 * NM


@pytest.mark.parametrize("fill", [np.nan, "debris"])
def test_no_site_where_nothing_is_flat(fill: object) -> None:
    z = np.random.default_rng(4).normal(0, 500e-12, (96, 96)).astype(np.float32)
    if fill != "debris":
        z[:] = np.nan
    assert clear_site(Scan(forward=z, frame=FRAME)) is None


def test_levelling_keeps_steps_and_removes_tilt_and_line_offsets() -> None:
    z = terrace(np.random.default_rng(5))
    z[:, 50:] += 235e-12
    z += np.random.default_rng(6).normal(0, 50e-12, (96, 1)).astype(np.float32)
    flat = level(z)
    low, high = flat[:, :45].mean(), flat[:, 55:].mean()
    assert high - low == pytest.approx(235e-12, rel=0.05)
    assert flat[:, :45].mean(axis=1).std() < 15e-12


def test_frames_stay_within_a_range_that_no_cell_divides() -> None:
    book = SampleMap(101.3 * NM, 99.1 * NM)
    while (spot := book.fresh_frame(24 * NM, 0.0, 0.0)) is not None:
        assert abs(spot[0]) + 12 * NM <= 101.3 / 2 * NM
        assert abs(spot[1]) + 12 * NM <= 99.1 / 2 * NM
        book.look(Frame(x_m=spot[0], y_m=spot[1], width_m=24 * NM, height_m=24 * NM))


def test_a_wide_field_is_kept_in_coarser_cells() -> None:
    book = SampleMap(10e-6, 10e-6)
    book.touch(1e-6, 1e-6, 8 * NM)
    assert book.is_touched(1e-6, 1e-6, 8 * NM)
    assert book.touched_share() < 1e-4


def test_an_action_spoils_more_the_harder_it_is() -> None:
    at = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
    pulse = Pulse(at=at, bias_v=-4.0, width_s=0.1, reference="relative")
    assert spoiled_diameter_m(pulse) == pytest.approx(7.5 * NM)
    dip = Indentation(at=at, depth_m=2 * NM, lift_m=6 * NM)
    assert spoiled_diameter_m(dip) == pytest.approx(9 * NM)
    assert spoiled_diameter_m(Wait(seconds=1.0)) == 0


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(0, 80))
@example(0.0, 30.0, 38.0)
def test_a_touch_spoils_a_disc_of_cells_and_nothing_else(x: float, y: float, size: float) -> None:
    book = SampleMap(100 * NM, 100 * NM)
    book.touch(x * NM, y * NM, size * NM)
    cells = 2 * np.arange(50) - 49
    # The cell of the centre counts as if the disc lay in its middle, half a cell wider.
    # Floor division, as the book does it: a rounded quotient can lie one cell farther.
    column, row = (2 * int((v * NM + 50 * NM) // (2 * NM)) - 49 for v in (x, y))
    away = np.hypot(cells[None, :] - column, cells[:, None] - row)
    expected = (away <= size / 2 + 1 + 1e-9).mean(), (away <= size / 2 + 1 - 1e-9).mean()
    assert expected[1] <= book.touched_share() <= expected[0]


def sawtooth(tilt: float) -> np.ndarray:
    """Corrugation that rises in a fifth of its period, as a slow loop draws it; shape (64, 128)."""
    phase = (np.arange(128) * 5 / 128) % 1
    wave = np.where(phase < 0.2, phase / 0.2, (1 - phase) / 0.8) * 40e-12
    rows = np.random.default_rng(1).normal(0, 1e-12, (64, 1))
    return (wave + rows + tilt * np.arange(128)).astype(np.float32)


@pytest.mark.parametrize("way", [1, -1])
def test_a_corrugation_is_no_tilt(way: int):
    flat = level(sawtooth(3e-12)[:, ::way])
    periods = flat[:, :102].mean(axis=1) - flat[:, 26:].mean(axis=1)
    assert np.abs(periods).max() < 3e-12


def test_a_step_is_no_tilt():
    z = np.random.default_rng(1).normal(0, 1e-12, (64, 128)).astype(np.float32)
    z[:, 50:] += 235e-12
    flat = level(z + np.arange(128, dtype=np.float32) * 2e-12)
    assert abs(flat[:, :40].mean() - flat[:, 60:].mean() + 235e-12) < 3e-12
    assert abs(np.polyfit(np.arange(40), flat[:, :40].mean(axis=0), 1)[0]) < 5e-14
