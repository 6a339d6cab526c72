"""The surface: one function of the place, with the right heights, and marks that stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.presets.preset import Preset, load_preset
from sim.sample import Box, Bump, Sample
from sim.surfaces.view import IDEAL
from tests.sim.conftest import changed

SPACING = 0.25


def overlap(sample: Sample, first: Box, second: Box) -> tuple[np.ndarray, np.ndarray]:
    """What both tiles say about the points they share."""
    tiles = [sample.tile(box, SPACING) for box in (first, second)]
    starts = [np.round(np.array(tile.origin) / SPACING).astype(int) for tile in tiles]
    low = np.maximum(*starts)
    ends = [start + tile.height.shape[::-1] for start, tile in zip(starts, tiles, strict=True)]
    high = np.minimum(*ends)
    return tuple(
        tile.height[low[1] - s[1] : high[1] - s[1], low[0] - s[0] : high[0] - s[0]]
        for tile, s in zip(tiles, starts, strict=True)
    )


@given(
    seed=st.integers(0, 2**31),
    x=st.floats(-1e5, 1e5),
    y=st.floats(-1e5, 1e5),
    dx=st.floats(-8, 8),
    dy=st.floats(-8, 8),
)
def test_neighbouring_tiles_agree(seed, x, y, dx, dy):
    sample = Sample(load_preset("au111"), seed)
    box = Box(x, y, x + 20, y + 20)
    one, other = overlap(sample, box, Box(x + dx, y + dy, x + dx + 20, y + dy + 20))
    assert one.size > 1000
    # Far away levels are counted in hundreds; single precision leaves a picometre.
    assert np.abs(one - other).max() < 2e-3


def test_same_seed_same_surface_other_seed_another(preset: Preset):
    box = Box(0, 0, 30, 30)
    one, same, other = (Sample(preset, seed).tile(box, SPACING) for seed in (3, 3, 4))
    assert np.array_equal(one.height, same.height)
    assert one.height.shape != other.height.shape or np.abs(one.height - other.height).max() > 0.01


def test_terraces_lie_whole_layers_apart(preset: Preset):
    smooth = changed(preset, reconstruction={"amplitude_nm": 0.0}, adatoms={"per_nm2": 0.0})
    heights = Sample(smooth, 5).tile(Box(0, 0, 400, 400), 1.0).height
    layers = heights / preset.steps.height_nm
    flat = np.abs(layers - np.round(layers)) < 0.02
    assert flat.mean() > 0.97
    assert len(np.unique(np.round(layers[flat]))) >= 3


def test_herringbone_has_its_height_and_period(preset: Preset):
    plain = changed(
        preset,
        adatoms={"per_nm2": 0.0},
        steps={"trend": 0.0, "jitter": 0.0},
        reconstruction={"wander_nm": 0.0, "bend_deg": 1e-6},
    )
    height = Sample(plain, 8).tile(Box(0, 0, 126, 126), SPACING).height
    assert 0.015 < np.ptp(height) < 0.03
    spectrum = np.abs(np.fft.rfft2(height - height.mean()))
    fy = np.fft.fftfreq(height.shape[0], SPACING)[:, None]
    fx = np.fft.rfftfreq(height.shape[1], SPACING)[None, :]
    spacing = np.hypot(fx, fy)
    inside = np.where(spacing < 0.3, spectrum, 0.0)
    assert 1 / spacing.flat[inside.argmax()] == pytest.approx(6.3, rel=0.08)


def test_adatoms_are_as_dense_as_the_preset_says(preset: Preset):
    flat = changed(
        preset, steps={"trend": 0.0, "jitter": 0.0}, reconstruction={"amplitude_nm": 0.0}
    )
    height = Sample(flat, 1).tile(Box(0, 0, 200, 200), SPACING).height
    middle = height[1:-1, 1:-1]
    neighbours = [
        height[1 + j : height.shape[0] - 1 + j, 1 + i : height.shape[1] - 1 + i]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if i or j
    ]
    tops = (middle > 0.06) & np.all([middle >= other for other in neighbours], axis=0)
    assert 300 < tops.sum() < 500
    assert middle.max() < 0.6


def test_a_mark_stays_where_it_was_left(preset: Preset):
    sample, fresh = Sample(preset, 2), Sample(preset, 2)
    sample.add([Bump(3.0, 4.0, 0.5, 0.6, 0.6)])
    assert sample.revision == 1
    tile, before = (one.tile(Box(-10, -10, 20, 20), SPACING) for one in (sample, fresh))
    difference = tile.height - before.height
    j, i = np.unravel_index(difference.argmax(), difference.shape)
    assert tile.origin[0] + i * SPACING == pytest.approx(3.0, abs=SPACING)
    assert tile.origin[1] + j * SPACING == pytest.approx(4.0, abs=SPACING)
    assert difference.max() == pytest.approx(0.5, abs=0.05)
    assert np.abs(difference[:20]).max() == 0.0


def test_nothing_added_is_no_revision(preset: Preset):
    sample = Sample(preset, 2)
    sample.add([])
    assert sample.revision == 0


def test_a_halo_digs_a_moat_around_adatoms(preset: Preset):
    sample, moated = Sample(preset, 1), replace(IDEAL, halo=0.3)
    box = Box(0, 0, 40, 40)
    difference = sample.tile(box, SPACING, moated).height - sample.tile(box, SPACING).height
    assert difference.max() <= 1e-6
    assert difference.min() < -0.02
