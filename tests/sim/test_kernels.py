"""Compiled passes against what they stand for, written plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from sim.presets.preset import Preset, load_preset
from sim.sample import Box, Sample
from sim.scans.contour import Contour
from sim.scans.kernels import VISIT_SPREAD, blur, sine, switch
from sim.scans.motion import Motion
from sim.scans.rendering import store
from sim.surfaces.relief import crests
from sim.tips.tip import Apex, Tip


@njit
def sines(turns: np.ndarray, out: np.ndarray) -> None:
    for i in range(turns.size):
        out[i] = sine(turns[i])


def test_sines_are_sines_near_and_far():
    turns = np.concatenate([np.linspace(-3, 3, 10_001), np.linspace(1000, 1001, 1001)])
    out = np.empty_like(turns)
    sines(turns, out)
    assert out == pytest.approx(np.sin(2 * np.pi * turns), abs=2e-11)


def test_crests_are_the_sine_and_the_cosine_of_a_wave():
    out = np.empty((2, 50))
    crests(0.31, 1.2, -700.0, 4.75, out)
    angle = 0.31 * (-700.0 + 4.75 * np.arange(50)) + 1.2
    assert out == pytest.approx(np.stack([np.sin(angle), np.cos(angle)]), abs=1e-9)


@pytest.mark.parametrize("shape", [(40, 37), (9, 60), (5, 6)])
def test_a_blur_is_a_convolution_with_edges_that_repeat(shape: tuple[int, int]):
    field = np.random.default_rng(1).random(shape).astype(np.float32)
    half = np.array([0.4, 0.15, 0.08, 0.05, 0.02], np.float32)
    kernel = np.concatenate([half[:0:-1], half])
    padded = np.pad(field.astype(float), len(half) - 1, mode="edge")
    for axis in (0, 1):
        padded = np.apply_along_axis(np.convolve, axis, padded, kernel, "valid")
    blur(field, half, np.empty_like(field))
    assert field == pytest.approx(padded, abs=1e-6)


def switched(
    chances: tuple[float, float], strength: float, seed: int = 3
) -> tuple[float, int, int, np.ndarray]:
    out, room = np.full(400, np.nan, np.float32), np.empty(400, np.float32)
    rates = np.array(chances)
    found = switch(np.uint32(seed), rates, strength, VISIT_SPREAD, out, room)
    return *found, out


def test_an_apex_that_never_switches_is_told_apart_without_a_signal():
    last, first, end, out = switched((0.0, 0.5), 0.0)
    assert last == 0
    assert first >= end
    assert np.isnan(out).all()


def test_a_telegraph_signal_is_zero_outside_of_what_it_says():
    last, first, end, out = switched((0.01, 0.2), 0.0)
    assert 0 < first < end < 400
    assert out[first] > 0
    assert out[end - 1] > 0
    assert not out[:first].any()
    assert not out[end:].any()
    assert last == 0


def test_a_visit_goes_on_from_pass_to_pass():
    last, first, end, out = switched((0.0, 0.0), 0.7)
    assert (first, end) == (0, 400)
    assert last == pytest.approx(0.7)
    assert out == pytest.approx(0.7)


def test_the_way_back_is_stored_backwards_and_has_its_range():
    heights, out = np.array([1, 5, 2, 3], np.float32), np.empty(4, np.float32)
    assert store(heights, out, False) == 4
    assert out.tolist() == [1, 5, 2, 3]
    assert store(heights, out, True) == 4
    assert out.tolist() == [3, 2, 5, 1]


def test_the_edge_of_a_picture_shows_what_lies_beyond_it(preset: Preset):
    tip = Tip(8.0, (Apex(-6.0, 3.0, 0.05),), decay_per_nm=22.0)
    sample, spacing = Sample(preset, 4), 0.25
    for x in range(0, 200, 20):
        box = Box(x, 0.0, x + 10.0, 10.0)
        small, large = (Contour(preset, sample, tip, area, spacing) for area in (box, box.grown(8)))
        for place in ((box.x0, box.y0), (box.x1, box.y1), (box.x0, box.y1)):
            assert small.heights_nm(*place) == pytest.approx(large.heights_nm(*place), abs=5e-4)


def test_where_the_sample_has_gone_is_worked_out_anew_after_a_move():
    motion = Motion(load_preset("au111"), np.random.default_rng(0))
    before = motion.offset_nm(10.0)
    assert before == pytest.approx(motion.offset_nm(np.array([10.0]))[:, 0])
    motion.moved(10.0, 100.0, 0.0, 0.0)
    after = motion.offset_nm(10.0)
    assert math.dist(after, before) > 0.1
    assert after == pytest.approx(motion.offset_nm(np.array([10.0]))[:, 0])
