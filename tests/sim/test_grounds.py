"""The surface as remembered is the surface as drawn."""

from __future__ import annotations

import numpy as np
import pytest

from sim.grounds import Grounds
from sim.presets.preset import Preset, known_presets, load_preset
from sim.sample import Box, Bump, Sample
from sim.surfaces.view import View

VIEW = View(bias_v=0.1, radius_nm=1.0, decay_per_nm=22.0, halo=0.0, pixel_nm=0.25)
PLACE = Box(100.0, -40.0, 124.0, -16.0)


def counted(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> list[Box]:
    """The areas that are drawn from now on."""
    drawn: list[Box] = []
    draw = sample._grounds._draw

    def noted(area, spacing, view):
        drawn.append(area)
        return draw(area, spacing, view)

    monkeypatch.setattr(sample._grounds, "_draw", noted)
    return drawn


def shifted(box: Box, dx: float, dy: float, margin: float = 0.0) -> Box:
    return Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy).grown(margin)


def test_coming_back_shows_the_same_to_the_last_bit(
    preset: Preset, monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(0)
    for seed in range(4):
        sample = Sample(preset, seed)
        drawn = counted(sample, monkeypatch)
        for _ in range(30):
            box = shifted(PLACE, *rng.normal(0, 0.5, 2), margin=float(rng.uniform(0, 3)))
            again, fresh = sample.tile(box, 0.25, VIEW), Sample(preset, seed).tile(box, 0.25, VIEW)
            assert again.origin == fresh.origin
            np.testing.assert_array_equal(again.height, fresh.height)
        assert len(drawn) < 12


def test_a_grid_that_is_not_exact_is_only_reused_from_the_same_point(
    preset: Preset, monkeypatch: pytest.MonkeyPatch
):
    sample = Sample(preset, 1)
    drawn = counted(sample, monkeypatch)
    for box in (PLACE, PLACE, PLACE._replace(x1=120.0), shifted(PLACE, 0.0, 0.3)):
        tile, fresh = sample.tile(box, 0.3, VIEW), Sample(preset, 1).tile(box, 0.3, VIEW)
        np.testing.assert_array_equal(tile.height, fresh.height)
    assert len(drawn) == 2


def test_marks_show_on_what_is_remembered(preset: Preset):
    sample = Sample(preset, 1)
    before = sample.tile(PLACE, 0.25, VIEW).height
    sample.add([Bump(112.0, -28.0, 0.5, 1.0, 1.0)])
    after = sample.tile(PLACE, 0.25, VIEW).height
    assert (after - before).max() == pytest.approx(0.5, abs=0.05)
    # What a caller does to a tile is not remembered.
    after[:] = 0.0
    assert sample.tile(PLACE, 0.25, VIEW).height.max() > 0.1


def test_far_places_are_forgotten_in_turn(preset: Preset, monkeypatch: pytest.MonkeyPatch):
    sample = Sample(preset, 1)
    drawn = counted(sample, monkeypatch)
    places = [shifted(PLACE, 100.0 * k, 0.0) for k in range(4)]
    for place in [*places[:3], *places[:3]]:
        sample.tile(place, 0.25, VIEW)
    assert len(drawn) == 3
    for place in (places[3], places[0]):
        sample.tile(place, 0.25, VIEW)
    assert len(drawn) == 5


@pytest.mark.skipif("cu111" not in known_presets(), reason="no preset cu111")
def test_another_bias_is_another_view_where_it_matters(monkeypatch: pytest.MonkeyPatch):
    sample = Sample(load_preset("cu111"), 1)
    drawn = counted(sample, monkeypatch)
    other = View(bias_v=-0.2, radius_nm=1.0, decay_per_nm=22.0, halo=0.0, pixel_nm=0.25)
    first, second, third = (sample.tile(PLACE, 0.25, view).texture for view in (VIEW, other, VIEW))
    assert first is not None
    assert len(drawn) == 2
    np.testing.assert_array_equal(first, third)
    assert second is not None
    assert np.abs(first - second).max() > 1e-4


def test_an_area_is_drawn_as_it_is_asked_for_the_first_time(preset: Preset):
    asked: list[Box] = []
    sample = Sample(preset, 1)

    def draw(area, spacing, view):
        asked.append(area)
        return sample._ground(area, spacing, view)

    grounds = Grounds(draw, textured=False)
    grounds.over(PLACE, 0.25, VIEW)
    grounds.over(shifted(PLACE, 300.0, 0.0), 0.25, VIEW)
    assert asked == [PLACE, shifted(PLACE, 300.0, 0.0)]
