"""Reading a scan for the environment: the same clear spot as the drivers find, only faster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample_map import RELIEF_M, clear_site
from drivers.scan import Scan, ScanSettings
from sim.environments.ground import clearest, flatten, median, patch_points
from sim.environments.place import Place
from sim.presets.preset import Preset
from sim.world import World
from tests.sim.conftest import Settings

NOWHERE = np.empty((0, 3))
RELIEF_NM = RELIEF_M * 1e9


def heights(world: World, settings: ScanSettings, lines: int) -> np.ndarray:
    return next(world.parts(settings, [lines])).copy()


def scan_of(settings: ScanSettings, taken: np.ndarray) -> Scan:
    scan = Scan.blank(settings)
    scan.forward[: len(taken)] = taken[:, 0] * np.float32(1e-9)
    scan.backward[: len(taken)] = taken[:, 1] * np.float32(1e-9)
    return scan


@pytest.mark.parametrize("seed", range(12))
def test_the_clearest_spot_is_that_of_the_drivers(preset: Preset, frame: Settings, seed: int):
    settings = frame(x_nm=30.0 * seed, y_nm=-20.0 * seed, size_nm=24.0, pixels=64)
    taken = heights(World(preset, seed), settings, 64)
    place = Place((settings,), RELIEF_M / 1e-12)
    place.look(taken)
    expected = clear_site(scan_of(settings, taken))
    if expected is None:
        assert place.site is None
    else:
        assert place.site is not None
        found = place.site.x_m, place.site.y_m, place.site.clear_m
        assert found == pytest.approx((expected.x_m, expected.y_m, expected.clear_m), abs=1e-13)


def test_what_was_touched_is_not_clear():
    rng = np.random.default_rng(0)
    taken = rng.normal(0, 1e-3, (64, 2, 64)).astype(np.float32)
    row, column, free = clearest(taken, 0.5, 3, RELIEF_NM, NOWHERE)
    assert (row, column) == (31, 31)
    assert free == pytest.approx(32)
    row, column, left = clearest(taken, 0.5, 3, RELIEF_NM, np.array([[31.0, 31.0, 10.0]]))
    assert np.hypot(row - 31, column - 31) * 0.5 > 5 + left / 2 - 0.5
    assert clearest(taken, 0.5, 3, RELIEF_NM, np.array([[31.0, 31.0, 99.0]]))[2] == 0


def test_rough_ground_has_no_clear_spot():
    taken = np.random.default_rng(0).normal(0, 10.0, (32, 2, 32)).astype(np.float32)
    assert clearest(taken, 0.5, 3, RELIEF_NM, NOWHERE)[2] == 0


@given(st.integers(1, 16), st.integers(0, 1000))
def test_flattening_takes_the_plane_of_the_way_there(lines: int, seed: int):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:lines, :16]
    bumps = rng.normal(0, 0.1, (lines, 2, 16))
    tilted = bumps + (5 + 0.02 * rows - 0.03 * columns)[:, None]
    out = np.full((2, 16, 16), 9.0, np.float32)
    flatten(tilted.astype(np.float32), out)
    terms = np.stack([rows.ravel(), columns.ravel(), np.ones(rows.size)], axis=1)
    plane = terms @ np.linalg.lstsq(terms, tilted[:, 0].ravel(), rcond=None)[0]
    expected = tilted - plane.reshape(lines, 1, 16)
    assert np.allclose(out[:, :lines], expected.transpose(1, 0, 2), atol=1e-4)
    assert not out[:, lines:].any()


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=80))
def test_the_median_is_the_median(values: list[float]):
    numbers = np.array(values, np.float32)
    keys = np.array([keyed(x) for x in numbers], np.int32)
    assert median(keys) == pytest.approx(np.median(numbers), rel=1e-6, abs=1e-30)


def keyed(x: np.float32) -> int:
    bits = int(np.float32(x).view(np.int32))
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def test_the_patch_is_at_least_three_points_wide():
    assert patch_points(0.375) == 4
    assert patch_points(5.0) == 3
