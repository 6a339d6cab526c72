"""What a tip makes of the surface: widths, ghosts, feedback, and where things appear in a scan."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.presets.preset import Preset
from sim.sample import Box, Bump, Sample
from sim.scans.contour import Contour
from sim.scans.feedback import loop_step
from sim.scans.signal_chain import follow
from sim.tips.tip import Apex, Flicker, Termination, Tip, terminated
from sim.world import World
from tests.sim.conftest import Settings, changed

DECAY = 22.0


def profile(
    preset: Preset, tip: Tip, bump: Bump, xs: np.ndarray, spacing: float = 0.1
) -> np.ndarray:
    """Apparent height (nm) of ``bump`` along y = 0."""
    sample = Sample(preset, 0)
    flat = Contour(preset, sample, tip, Box(-8, -2, 8, 2), spacing).heights_nm(-8, 0)[0]
    sample.add([bump])
    contour = Contour(preset, sample, tip, Box(-8, -2, 8, 2), spacing)
    return np.array([contour.heights_nm(x, 0.0)[0] for x in xs]) - flat


def width_at_half(xs: np.ndarray, heights: np.ndarray) -> float:
    return float((heights > heights.max() / 2).sum() * (xs[1] - xs[0]))


def test_a_blunt_tip_sees_adatoms_wide_and_a_sharp_one_as_they_are(bare: Preset):
    xs = np.arange(-5, 5, 0.02)
    atom = Bump(0, 0, 0.14, 0.24, 0.24)
    sharp, fair, blunt = (
        profile(bare, Tip(radius, decay_per_nm=DECAY), atom, xs) for radius in (0.5, 1.5, 12.0)
    )
    widths = [width_at_half(xs, heights) for heights in (sharp, fair, blunt)]
    assert 0.5 < widths[0] < 0.78
    assert widths[0] < widths[1] < 1.0
    assert widths[2] > 1.8 * widths[0]
    assert sharp.max() > fair.max() > blunt.max() > 0.02


def test_low_bumps_are_blurred_by_radius_over_two_kappa(bare: Preset):
    xs = np.arange(-7, 7, 0.05)
    for radius in (1.0, 4.0, 12.0):
        # Low enough that exp is linear: then the contour itself is what the Gaussian blurs.
        heights = profile(bare, Tip(radius, decay_per_nm=DECAY), Bump(0, 0, 1e-3, 0.6, 0.6), xs)
        inside = heights > heights.max() * 0.05
        slope = np.polyfit(xs[inside] ** 2, np.log(heights[inside]), 1)[0]
        assert -0.5 / slope == pytest.approx(0.6**2 + radius / DECAY, rel=0.06)


@pytest.mark.parametrize(("gap", "share"), [(0.03, 0.52), (0.1, 0.11), (0.15, 0.037)])
def test_ghosts_have_the_height_of_the_closed_form(bare: Preset, gap: float, share: float):
    weight = math.exp(-DECAY * gap)
    assert weight == pytest.approx(share, rel=0.03)
    tip = Tip(0.5, (Apex(4.0, 0.0, gap),), decay_per_nm=DECAY)
    mesa = Bump(0, 0, 0.1, 1.2, 1.2, flatness=12.0)
    ghost, first = profile(bare, tip, mesa, np.array([-4.0, 0.0]))
    raised = math.exp(DECAY * 0.1)
    assert first == pytest.approx(math.log((raised + weight) / (1 + weight)) / DECAY, abs=2e-3)
    assert ghost == pytest.approx(math.log((1 + weight * raised) / (1 + weight)) / DECAY, abs=2e-3)


def test_a_switched_apex_is_longer_by_its_height(bare: Preset):
    tip = Tip(1.0, flicker=Flicker(1.0, 1.0, 0.05), stable=False)
    rest, switched = Contour(bare, Sample(bare, 0), tip, Box(0, 0, 1, 1), 0.2).heights_nm(0.5, 0.5)
    assert switched - rest == pytest.approx(0.05, abs=1e-4)


def step_response(loop_hz: float, dt_s: float, seconds: float) -> np.ndarray:
    """Height after a step of 1 nm for a nearly pure integrator behind 1 kHz."""
    gain = 1e-6
    time_constant = gain * DECAY / math.log(10) / (2 * math.pi * loop_hz)
    loop = loop_step(gain, time_constant, DECAY, 1000.0, dt_s)
    signal = np.ones(round(seconds / dt_s), np.float32)
    out = np.empty_like(signal)
    limits, state = np.array([-100.0, 100.0]), np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    follow(signal, loop, np.zeros(2), limits, state, np.uint32(1), out)
    return out


@pytest.mark.parametrize(
    ("loop_hz", "rise_ms", "overshoot"),
    [(46, 7.3, 0.0), (127, 2.4, 0.0), (500, 0.5, 0.04), (900, 0.28, 0.14)],
)
def test_feedback_rises_as_its_bandwidth_says(loop_hz: float, rise_ms: float, overshoot: float):
    dt = 1e-5
    out = step_response(loop_hz, dt, 0.1)
    rise = np.argmax(out > 0.9) - np.argmax(out > 0.1)
    assert rise * dt * 1e3 == pytest.approx(rise_ms, rel=0.12)
    assert out.max() - 1 == pytest.approx(overshoot, abs=0.015)
    assert out[-1] == pytest.approx(1.0, abs=1e-4)


def test_the_step_is_exact_whatever_the_pixel_time():
    fine = step_response(60, 1e-5, 0.04)
    coarse = step_response(60, 4e-3, 0.04)
    assert coarse == pytest.approx(fine[399::400], abs=1e-5)


def scan(world: World, settings) -> tuple[np.ndarray, np.ndarray]:
    """Forward and backward picture in nm, rows from the top."""
    forward = np.empty((settings.lines, settings.pixels))
    backward = np.empty_like(forward)
    for line in world.lines(settings):
        forward[line.row], backward[line.row] = line.forward_m * 1e9, line.backward_m * 1e9
    return forward, backward


def marked(preset: Preset, **bump: float) -> World:
    world = World(preset, 0, tip=Tip(0.8))
    world.sample.add([Bump(wide=0.6, tall=0.6, **bump)])
    return world


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_bump_appears_where_it_is(bare: Preset, frame: Settings, direction: str):
    world = marked(bare, x=4.0, y=6.0, height=0.3)
    for picture in scan(world, frame(size_nm=16, pixels=64, direction=direction)):
        row, column = np.unravel_index(picture.argmax(), picture.shape)
        # 0.25 nm per pixel; row 0 is the highest y. The feedback trails by a pixel or two.
        assert column == pytest.approx(48, abs=2)
        assert row == pytest.approx(8, abs=1)


def test_a_turned_frame_turns_the_picture_the_other_way(bare: Preset, frame: Settings):
    world = marked(bare, x=0.0, y=6.0, height=0.3)
    forward, _ = scan(world, frame(size_nm=16, pixels=64, angle_deg=90.0))
    row, column = np.unravel_index(forward.argmax(), forward.shape)
    # A frame turned clockwise has what was above it to its left.
    assert (row, column) == (pytest.approx(32, abs=2), pytest.approx(8, abs=2))


def test_slow_feedback_trails_behind_both_ways(bare: Preset, frame: Settings):
    def shift(time_constant_s: float) -> float:
        world = marked(bare, x=0.0, y=0.0, height=0.2)
        world.set_gains(30e-12, time_constant_s)
        forward, backward = scan(world, frame(size_nm=8, pixels=64))
        return float(forward[32].argmax() - backward[32].argmax())

    assert abs(shift(1e-4)) <= 2
    assert shift(5e-3) > 4


def test_pictures_without_noise_are_flat_and_at_the_height_of_the_tip(bare, frame: Settings):
    world = World(bare, 0, tip=Tip(1.0))
    forward, backward = scan(world, frame())
    assert np.ptp(forward) < 1e-4
    assert np.ptp(backward) < 1e-4
    assert forward[0, 0] == pytest.approx(world.z_m * 1e9, abs=1e-4)


def test_no_two_lines_share_their_noise(preset: Preset, bare: Preset, frame: Settings):
    pixel = type(preset.noise.pixel_pm)(law="uniform", a=1.0, b=1.0)
    noisy = changed(bare, noise={"pixel_pm": pixel})
    world = World(noisy, 0, tip=Tip(1.0))
    # Far faster than the pixels, the feedback hands the noise on as it is.
    world.set_gains(30e-12, 1e-5)
    pictures = [picture for _ in range(2) for picture in scan(world, frame(pixels=64))]
    lines = np.concatenate(pictures)
    assert lines.std(axis=1) == pytest.approx(1e-3, rel=0.5)
    likeness = np.corrcoef(lines) - np.eye(len(lines))
    assert np.abs(likeness).max() < 0.7


def test_an_unstable_tip_shows_two_levels_and_a_stable_one_does_not(bare, frame: Settings):
    flicker = Flicker(out_hz=3.0, back_hz=3.0, height_nm=0.1)
    streaky, _ = scan(World(bare, 0, tip=Tip(1.0, stable=False, flicker=flicker)), frame())
    high = streaky > np.median(streaky[streaky < streaky.min() + 0.02]) + 0.04
    assert 0.2 < high.mean() < 0.8
    changes = (np.diff(high.astype(int), axis=1) != 0).sum()
    assert 10 < changes < 200


def test_dirty_tips_show_a_lower_contrast(preset: Preset, bare: Preset, frame: Settings):
    rng = np.random.default_rng(0)
    tip = Tip(1.0)
    dirty = terminated(rng, preset, tip, Termination.STRONG)
    xs = np.arange(-4, 4, 0.05)
    atom = Bump(0, 0, 0.15, 0.28, 0.28)
    assert profile(bare, dirty, atom, xs).max() < 0.9 * profile(bare, tip, atom, xs).max()
