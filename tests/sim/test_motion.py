"""Where the scanner is no ruler, and coarse approaches that go wrong."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.actions import Approach, CoarseMove
from drivers.errors import ApproachFailed
from drivers.microscope import Feedback
from sim.presets.blocks import Spread
from sim.presets.instrument import Bending, Trouble
from sim.presets.preset import Preset
from sim.sample import Bump
from sim.tips.tip import Tip
from sim.world import World
from tests.sim.conftest import AT, Settings, changed

SOURCE = {"*": "assumed: a test"}


def always(value: float) -> Spread:
    return Spread(law="uniform", a=value, b=value)


def bending(bow: float = 0.0, loop: float = 0.0) -> Bending:
    return Bending(bow_nm_per_um2=always(bow), loop=always(loop), provenance=SOURCE)


def test_a_bow_bends_pictures_with_the_square_of_the_distance(bare: Preset, frame: Settings):
    bent = changed(bare, motion={"bending": bending(bow=20.0)})
    world = World(bent, 0, tip=Tip(1.0))
    world.set_gains(30e-12, 1e-5)
    picture = world.scan(frame(size_nm=100, x_nm=50.0)).forward * 1e9
    columns = 50 + (np.arange(64) - 31.5) / 63 * 100 * 63 / 64
    expected = 20e-6 * columns**2
    profile = picture[32] - picture[32].mean()
    assert profile == pytest.approx(expected - expected.mean(), abs=2e-3)
    assert picture[32, 40] == pytest.approx(world_height(world, columns[40]), abs=5e-3)


def world_height(world: World, x_nm: float) -> float:
    """What the instrument reads at rest at x, y = 0 (nm)."""
    world.move(x_nm * 1e-9, 0.0, 1e-7)
    return world.z_m * 1e9


def test_a_loop_parts_both_ways_in_the_middle_only(bare: Preset, frame: Settings):
    looped = changed(bare, motion={"bending": bending(loop=0.05)})

    def parted(x_nm: float) -> float:
        world = World(looped, 0, tip=Tip(0.8))
        world.set_gains(30e-12, 2e-5)
        world.sample.add([Bump(x_nm, 0.0, 0.3, 1.0, 1.0)])
        scan = world.scan(frame(size_nm=40, pixels=128))
        assert scan.backward is not None
        return float(scan.forward[64].argmax() - scan.backward[64].argmax()) * 40 / 128

    assert parted(0.0) == pytest.approx(2.0, abs=0.7)
    assert abs(parted(-18.5)) < 0.8
    assert abs(parted(18.5)) < 0.8


def troubled(preset: Preset, slip: float, stall: float, steps: float) -> Preset:
    block = Trouble(
        slip_share=slip, stall_share=stall, stall_steps=always(steps), provenance=SOURCE
    )
    return changed(preset, landing={"trouble": block})


def away(world: World) -> None:
    world.apply(CoarseMove(x_steps=5, y_steps=0, retract_steps=50))


def test_a_slipping_motor_needs_more_steps(preset: Preset):
    def seconds(slip: float) -> float:
        world = World(troubled(preset, slip, 0.0, 1.0), 3, tip=Tip(1.0))
        away(world)
        started = world.time_s
        assert world.approach(1000)
        return world.time_s - started

    assert seconds(0.6) > 1.6 * seconds(0.0)


def test_a_stalled_approach_fails_and_may_be_repeated(preset: Preset):
    world = World(troubled(preset, 0.0, 1.0, 300.0), 3, tip=Tip(1.0))
    away(world)
    with pytest.raises(ApproachFailed, match="within 200 steps"):
        world.apply(Approach(at=AT, max_steps=200))
    assert world.feedback is Feedback.WITHDRAWN
    assert world.retracted_steps == 50
    world.apply(Approach(at=AT, max_steps=200))
    assert world.feedback is Feedback.ON
    assert world.retracted_steps == 0


def test_stalls_come_as_often_as_the_preset_says(preset: Preset):
    law = troubled(preset, 0.0, 0.4, 1000.0)
    failed = 0
    for seed in range(60):
        world = World(law, seed, tip=Tip(1.0))
        away(world)
        failed += not world.approach(200)
    assert 0.25 < failed / 60 < 0.55


def test_a_tip_that_was_only_withdrawn_never_stalls(preset: Preset):
    world = World(troubled(preset, 0.9, 1.0, 1000.0), 3, tip=Tip(1.0))
    world.withdraw()
    assert world.approach(1)
