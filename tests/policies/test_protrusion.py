"""What sticks out, laid over each other: the apex shows, what only one place has does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from policies.scorer.protrusion import (
    PATCHES,
    PITCH_M,
    POINTS,
    SMALL_WEIGHT,
    highest_of,
    mean_protrusion,
)

PITCH = (0.25e-9, 0.25e-9)
PLACES = ((20, 20), (20, 70), (70, 20), (70, 70), (45, 45))


def terrace(ghosts: int, count: int = 5) -> np.ndarray:
    """Adatoms of 120 pm on a terrace; the first few with a neighbour of 30 pm, 1.5 nm away."""
    rows, columns = np.mgrid[:96, :96]
    z = np.random.default_rng(1).normal(0, 0.3e-12, (96, 96))
    for index, (row, column) in enumerate(PLACES[:count]):
        away = (rows - row) ** 2 + (columns - column) ** 2
        z += 120e-12 * np.exp(-away / 4)
        if index < ghosts:
            away = (rows - row) ** 2 + (columns - column - 6) ** 2
            z += 30e-12 * np.exp(-away / 4)
    return z.astype(np.float32)


def weight_of_ghost(z: np.ndarray) -> tuple[float, float]:
    """Weight beside the protrusion as the median and as the lower quartile."""
    found, _ = mean_protrusion(np.stack([z, z]), PITCH)
    column = POINTS // 2 + round(1.5e-9 / PITCH_M)
    beside = found[:2, POINTS // 2 - 1 : POINTS // 2 + 1, column - 1 : column + 1]
    middle, low = np.sinh(beside).mean(axis=(1, 2)) * SMALL_WEIGHT
    return float(middle), float(low)


def test_a_ghost_beside_every_adatom_is_the_apex() -> None:
    middle, low = weight_of_ghost(terrace(5))
    assert 0.03 < low <= middle < 0.12


def test_a_neighbour_that_one_adatom_has_is_not() -> None:
    middle, low = weight_of_ghost(terrace(1))
    assert abs(middle) < 0.01
    assert abs(low) < 0.01


def test_neighbours_of_most_adatoms_fall_out_of_the_quartile() -> None:
    middle, low = weight_of_ghost(terrace(3))
    assert middle > 0.03
    assert low < 0.01


def test_adatoms_are_counted() -> None:
    for count in range(6):
        z = terrace(0, count)
        found, counted = mean_protrusion(np.stack([z, z]), PITCH)
        assert counted == count
        assert found.shape == (PATCHES, POINTS, POINTS)
        assert found.any() == (count > 0)


def test_what_only_one_direction_shows_is_in_its_picture_alone() -> None:
    forward, backward = terrace(5), terrace(0)
    found, _ = mean_protrusion(np.stack([forward, backward]), PITCH)
    at = POINTS // 2, POINTS // 2 + round(1.5e-9 / PITCH_M)
    assert found[0][at] > 0.3
    assert abs(found[2][at]) < 0.1


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 11, 13, 31])
def test_the_highest_around_each_line_is_that_of_a_maximum_filter(size: int) -> None:
    z = np.random.default_rng(size).normal(size=(20, 5)).astype(np.float32)
    expected = ndimage.maximum_filter1d(z, size, axis=0, mode="nearest")
    assert np.array_equal(highest_of(z, size), expected)
