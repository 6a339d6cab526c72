"""What the environment needs of the world: scans in parts, and chance that starts afresh."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.actions import Indentation
from drivers.errors import ContactLost
from sim.presets.preset import Preset
from sim.tips.tip import Tip
from sim.world import World
from tests.sim.conftest import AT, Settings, changed

DIP = Indentation(at=AT, depth_m=1.5e-9, lift_m=4.5e-9)


@pytest.fixture
def restless(preset: Preset) -> Preset:
    """Tips change by themselves every few lines."""
    often = type(preset.noise.pixel_pm)(law="uniform", a=8.0, b=8.0)
    return changed(preset, hidden={"change_per_frame": often})


def test_a_scan_in_parts_is_the_scan_line_by_line(restless: Preset, frame: Settings):
    whole, parted = World(restless, 3), World(restless, 3)
    lines = [np.stack([line.forward_m, line.backward_m]) for line in whole.lines(frame())]
    counts = []
    for taken in parted.parts(frame(), [1, 7, 40, 64]):
        counts.append(len(taken))
        assert parted.scanning
    assert counts == [1, 7, 40, 64]
    assert np.array_equal(taken * np.float32(1e-9), np.stack(lines))
    assert (parted.tip, parted.time_s) == (whole.tip, whole.time_s)
    assert (parted.x_m, parted.y_m) == (whole.x_m, whole.y_m)
    assert not parted.scanning


def test_a_scan_left_early_takes_the_time_of_its_lines(preset: Preset, frame: Settings):
    world = World(preset, 3)
    parts = world.parts(frame(), [16, 64])
    next(parts)
    started = world.time_s
    parts.close()
    assert world.time_s == started
    assert not world.scanning


def test_what_happens_between_two_parts_shows_in_the_next(quiet: Preset, frame: Settings):
    tips = Tip(radius_nm=1.0), Tip(radius_nm=1.0)
    plain, moved = (World(quiet, 3, tip) for tip in tips)
    *_, expected = plain.parts(frame(), [32, 64])
    parts = moved.parts(frame(), [32, 64])
    assert np.array_equal(next(parts), expected[:32])
    moved.set_bias(0.5)
    assert not np.array_equal(next(parts)[32:], expected[32:])


def test_a_withdrawn_tip_cannot_scan_on(preset: Preset, frame: Settings):
    world = World(preset, 3)
    parts = world.parts(frame(), [32, 64])
    next(parts)
    world.withdraw()
    with pytest.raises(ContactLost):
        next(parts)


def test_reseeded_chance_does_not_depend_on_what_was_drawn(preset: Preset, frame: Settings):
    ends = []
    for dips in (0, 3):
        world = World(preset, 3, Tip(radius_nm=3.0))
        for _ in range(dips):
            world.apply(DIP)
        world.reseed(5, 1)
        ends.append((world._dynamics.random(), world._actions.random(), world._noise_seed()))
    assert ends[0] == ends[1]
    world.reseed(5, 2)
    assert world._dynamics.random() != ends[0][0]
    assert World(preset, 4)._noise_seed() != ends[0][2]


def test_reseeding_reaches_the_laws(preset: Preset):
    radii = set()
    for key in (1, 1, 2):
        world = World(preset, 3, Tip(radius_nm=3.0))
        world.reseed(key)
        world.apply(DIP)
        radii.add(world.tip.radius_nm)
    assert len(radii) == 2
