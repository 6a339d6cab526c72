"""Domains of 7x7: out of step by whole steps of the bulk, on a terrace and from one to the next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.presets.preset import Preset, load_preset
from sim.sample import Box, Sample
from sim.surfaces.cells import SIDE
from sim.surfaces.domains import Domains, draw_labels, nearest
from sim.surfaces.view import View
from tests.sim.conftest import changed

VIEW = View(bias_v=1.5, radius_nm=0.4, decay_per_nm=22.0, halo=0.0, pixel_nm=0.0)


def flat(domain_nm: float) -> Preset:
    """7x7 without steps, defects and dirt."""
    preset = load_preset("si111_7x7")
    numbers = preset.adatom_cell
    none = {
        name: getattr(numbers, name).model_copy(update={"per_nm2": 0.0})
        for name in ("vacancies", "reacted")
    }
    return changed(
        preset,
        adatom_cell={"domain_nm": domain_nm, **none},
        adatoms={"per_nm2": 0.0},
        steps={"trend": 0.0, "jitter": 0.0},
    )


@given(st.integers(0, 2**31), st.floats(-500, 500), st.floats(-500, 500), st.floats(1, 200))
def test_every_area_knows_all_the_domains_that_reach_into_it(seed, x, y, side):
    domains = Domains(60.0, seed)
    area = (x, y, x + side, y + side)
    near, more = domains.near(area), domains.near((x - 80, y - 80, x + side + 80, y + side + 80))
    points = np.linspace(0, side, 9)
    px, py = (np.ravel(grid) for grid in np.meshgrid(x + points, y + points))
    assert np.array_equal(near[nearest(near, px, py)], more[nearest(more, px, py)])


@given(st.integers(0, 2**31), st.integers(-20, 20), st.integers(-9, 9), st.integers(-9, 9))
def test_phases_are_whole_steps_of_the_bulk_and_its_stacking(seed, level, i, j):
    phase = np.array(Domains(60.0, seed).phase(level, np.array([0.0, 0.0, i, j]), SIDE))
    steps = SIDE * phase - level / 3
    assert steps == pytest.approx(np.round(steps), abs=1e-6)
    assert np.all((phase >= 0) & (phase < 1))


def test_labels_tell_levels_and_domains_apart():
    level = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
    labels = np.empty_like(level)
    centres = np.array([[0.0, 0.0, 0, 0], [3.0, 0.0, 1, 0]])
    draw_labels(labels, level, (0.0, 0.0), 1.0, centres, (0, 2))
    assert labels.tolist() == [[0.0, 0.0, 3.0, 3.0]]


def pattern(preset: Preset, seed: int, box: Box) -> np.ndarray:
    return Sample(preset, seed).tile(box, 0.1, VIEW).texture


def test_a_wall_shifts_the_pattern_and_leaves_each_side_whole():
    one, many = flat(1e6), flat(40.0)
    box = Box(0.0, 0.0, 100.0, 100.0)
    whole, split = (np.abs(np.fft.fft2(pattern(p, 3, box))) for p in (one, many))
    # A single lattice has sharp spots; domains out of step divide them.
    assert split.max() < 0.8 * whole.max()
    assert (split**2).sum() == pytest.approx((whole**2).sum(), rel=0.05)


def test_neighbouring_terraces_begin_at_different_places():
    domains = Domains(150.0, 5)
    phases = {domains.phase(level, np.array([0.0, 0.0, 0, 0]), SIDE) for level in range(12)}
    assert len(phases) == 12


def test_two_looks_at_a_wall_agree():
    preset = changed(load_preset("si111_7x7"), adatom_cell={"domain_nm": 20.0})
    sample, again = Sample(preset, 4), Sample(preset, 4)
    wide = sample.tile(Box(0.0, 0.0, 32.0, 32.0), 0.125, VIEW)
    part = again.tile(Box(8.0, 8.0, 24.0, 24.0), 0.125, VIEW)
    for whole, seen in ((wide.height, part.height), (wide.texture, part.texture)):
        ny, nx = seen.shape
        assert whole[64 : 64 + ny, 64 : 64 + nx] == pytest.approx(seen, abs=2e-4)
