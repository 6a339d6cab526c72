"""Si(111)-7x7: twelve adatoms, corner holes, and halves that differ in filled states only."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label, maximum_filter

from sim.presets.preset import load_preset
from sim.surfaces.cells import POINTS, adatom_cell

NUMBERS = load_preset("si111_7x7").adatom_cell
CELL = adatom_cell(NUMBERS)
ADATOMS = CELL.defects[0][1]


def at(heights: np.ndarray, sites: np.ndarray) -> np.ndarray:
    return heights[tuple(np.round(sites * POINTS).astype(int).T % POINTS)]


def tops(heights: np.ndarray, lowest: float) -> int:
    """How many maxima there are above ``lowest``; equal neighbours count once."""
    highest = maximum_filter(heights, 3, mode="wrap")
    high = (heights > highest - 1e-9) & (heights > lowest)
    return int(label(high, np.ones((3, 3)))[1])


def test_twelve_adatoms_are_the_tops_in_empty_states():
    heights = CELL.heights(2.0)
    assert tops(heights, 0.5 * heights.max()) == 12
    assert at(heights, ADATOMS).min() > 0.8 * heights.max()


def test_rest_atoms_join_them_in_filled_states():
    filled, empty = (CELL.heights(bias_v) for bias_v in (-2.0, 2.0))
    assert tops(filled, 0.02) == 18
    assert tops(empty, 0.02) == 12


def test_corner_holes_are_the_deepest_place_at_any_bias():
    for bias_v in (-2.0, 0.0, 2.0):
        heights = CELL.heights(bias_v)
        assert heights.argmin() == 0
        assert 0.15 < np.ptp(heights) < 0.35


@pytest.mark.parametrize(("bias_v", "difference_nm"), [(-2.0, 0.025), (2.0, 0.0)])
def test_the_faulted_half_is_higher_in_filled_states_only(bias_v: float, difference_nm: float):
    faulted, unfaulted = np.split(at(CELL.heights(bias_v), ADATOMS), 2)
    assert np.mean(faulted - unfaulted) == pytest.approx(difference_nm, abs=3e-3)


def test_adatoms_are_two_lattice_constants_apart_within_a_half():
    places = ADATOMS[:6] @ CELL.basis
    distance = np.hypot(*(places[:, None] - places[None]).T)
    nearest = np.where(distance > 0.1, distance, np.inf).min(axis=0)
    assert nearest == pytest.approx(2 * 2.69 / 7)


def test_every_corner_hole_has_six_adatoms_around_it():
    corners = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    near = np.hypot(*((ADATOMS[:, None] - corners) @ CELL.basis).T)
    assert (near < 0.7).sum() == 6
    assert near.min() == pytest.approx(np.sqrt(3) * 2.69 / 7)
