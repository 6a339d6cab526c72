"""The world: determinism, time, contact, and what every operation does to tip and sample."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.actions import Approach, CoarseMove, Indentation, MoveTo, Pulse, RetuneFeedback, Wait
from drivers.errors import ApproachFailed, CommandFailed, ContactLost, InstrumentError
from drivers.microscope import Feedback
from drivers.scan import Scan, ScanSettings
from sim.presets.preset import Preset, load_preset
from sim.sample import Bump
from sim.tips.tip import Apex, Tip
from sim.world import World
from tests.sim.conftest import AT, Settings, changed

GOOD = Tip(radius_nm=1.0)


def dip(depth_nm: float, **others: object) -> Indentation:
    return Indentation(at=AT, depth_m=depth_nm * 1e-9, lift_m=3 * depth_nm * 1e-9, **others)


def pulse(bias_v: float, **others: object) -> Pulse:
    return Pulse(at=AT, bias_v=bias_v, width_s=0.1, **others)


def scan(world: World, settings: ScanSettings) -> Scan:
    return Scan.from_lines(settings, world.lines(settings))


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures without their planes."""

    def level(picture: np.ndarray) -> np.ndarray:
        rows, columns = np.indices(picture.shape)
        terms = np.stack([rows.ravel(), columns.ravel(), np.ones(picture.size)], axis=1)
        values = picture.ravel().astype(float) * 1e9
        return values - terms @ np.linalg.lstsq(terms, values, rcond=None)[0]

    return float(np.corrcoef(level(one), level(other))[0, 1])


def story(world: World, settings: ScanSettings, *, look: bool) -> list[object]:
    """A few things done in order; ``look`` reads the instrument in between."""

    def peek() -> None:
        if look:
            for _ in range(7):
                world.state()

    peek()
    done: list[object] = [scan(world, settings).forward]
    peek()
    for action in (dip(1.2), pulse(5.0), Wait(seconds=3.0)):
        outcome = world.apply(action)
        done += [outcome.z_jump_m, outcome.finished_s]
        if outcome.trace is not None:
            done.append(outcome.trace.current_a)
        peek()
    for line in world.lines(settings):
        peek()
        done.append(line.forward_m.copy())
    return [*done, world.tip]


def same(one: list[object], other: list[object]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b
        for a, b in zip(one, other, strict=True)
    )


def test_the_same_calls_give_the_same_results(preset: Preset, frame: Settings):
    one, again, other = (story(World(preset, seed), frame(), look=False) for seed in (4, 4, 5))
    assert same(one, again)
    assert not same(one, other)


def test_looking_changes_nothing(preset: Preset, frame: Settings):
    blind, seen = (story(World(preset, 4), frame(), look=look) for look in (False, True))
    assert same(blind, seen)


def test_the_first_tip_is_bad_and_leaves_the_rest_of_the_episode_alone(preset: Preset):
    own, given_one = World(preset, 9), World(preset, 9, tip=GOOD)
    assert not own.true_state()["good"]
    assert given_one.true_state()["good"]
    assert own.latents == given_one.latents
    assert own.sample.tilt == given_one.sample.tilt


def test_the_same_place_looks_the_same_after_a_walk(quiet: Preset, frame: Settings):
    world = World(quiet, 11, tip=GOOD)
    before = scan(world, frame(x_nm=30, y_nm=-20))
    scan(world, frame(x_nm=-200, y_nm=150))
    world.apply(MoveTo(x_m=30e-9, y_m=-20e-9, speed_m_per_s=1e-7))
    world.apply(Wait(seconds=600))
    after = scan(world, frame(x_nm=30, y_nm=-20))
    elsewhere = scan(world, frame(x_nm=130, y_nm=-20))
    assert likeness(before.forward, after.forward) > 0.8
    assert abs(likeness(before.forward, elsewhere.forward)) < 0.5


def test_forward_and_backward_agree(quiet: Preset, frame: Settings):
    picture = scan(World(quiet, 11, tip=GOOD), frame())
    assert picture.backward is not None
    assert likeness(picture.forward, picture.backward) > 0.8


def test_a_scan_can_be_stopped_and_takes_its_time(quiet: Preset, frame: Settings):
    world, whole = World(quiet, 3, tip=GOOD), World(quiet, 3, tip=GOOD)
    settings = frame(pixels=32, forward_s=0.3, backward_s=0.1)
    lines = world.lines(settings)
    first = next(lines)
    assert world.scanning
    second = next(lines)
    assert second.time_s - first.time_s == pytest.approx(0.4)
    lines.close()
    assert not world.scanning
    assert world.time_s == second.time_s
    reference = list(whole.lines(settings))
    assert np.array_equal(second.forward_m, reference[1].forward_m)
    assert len(reference) == 32


def test_a_tip_change_splits_the_frame(quiet: Preset, frame: Settings):
    world = World(quiet, 11, tip=GOOD)
    settings = frame()
    rows = []
    for line in world.lines(settings):
        rows.append(line.forward_m * 1e9)
        if line.index == 31:
            world.pulse(10.0, 0.1, held=True)
    assert world.tip != GOOD
    picture = np.array(rows)
    reference = scan(World(quiet, 11, tip=GOOD), settings).forward * 1e9
    assert np.abs(picture[:32] - reference[:32]).max() < 1e-6
    assert np.abs(picture[32:] - reference[32:]).max() > 0.01


def test_tips_change_by_themselves_while_scanning(preset: Preset, frame: Settings):
    restless = changed(preset, hidden={"change_per_frame": _always(preset)})
    world = World(restless, 1, tip=GOOD)
    assert scan(world, frame(pixels=96)).lines_done == 96
    assert world.tip != GOOD


def _always(preset: Preset):
    return type(preset.noise.pixel_pm)(law="uniform", a=30.0, b=30.0)


def test_bias_and_setpoint_move_the_tip_by_the_logarithm(quiet: Preset):
    world = World(quiet, 2, tip=replace(GOOD, decay_per_nm=22.0))
    before = world.z_m
    world.set_bias(-1.0)
    assert world.z_m - before == pytest.approx(math.log(10) / 22e9, rel=1e-3)
    world.set_setpoint(1e-9)
    assert world.z_m == pytest.approx(before, abs=1e-15)
    assert world.read_current_a() == pytest.approx(-1e-9, rel=0.02)


def test_a_change_of_bias_shows_from_the_next_line_on(bare: Preset, frame: Settings):
    world = World(bare, 2, tip=replace(GOOD, decay_per_nm=22.0))
    heights = []
    for line in world.lines(frame(pixels=16)):
        heights.append(line.backward_m.mean() * 1e9)
        if line.index == 3:
            world.set_bias(1.0)
    rise = np.diff(heights)
    assert rise[3] == pytest.approx(math.log(10) / 22, abs=5e-3)
    assert np.abs(np.delete(rise, [3, 4])).max() < 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_an_indentation_changes_the_tip_and_leaves_a_mark(quiet, frame: Settings, seed: int):
    world = World(quiet, seed, tip=GOOD)
    before = scan(world, frame(size_nm=12)).forward
    world.apply(MoveTo(x_m=0, y_m=0, speed_m_per_s=1e-7))
    outcome = world.apply(dip(2.0))
    assert world.tip != GOOD
    assert len(world.sample.marks) >= 1
    assert outcome.z_jump_m is not None
    assert abs(outcome.z_jump_m) > 20e-12
    look = World(quiet, seed, tip=GOOD)
    look.sample.add([Bump(*row) for row in world.sample.marks])
    after = scan(look, frame(size_nm=12)).forward
    assert np.abs(after - before).max() > 0.1e-9


def test_what_stays_below_threshold_does_nothing(quiet: Preset):
    for seed in range(10):
        world = World(quiet, seed, tip=GOOD)
        for action in (dip(0.05), pulse(0.5), pulse(-0.5, feedback="on")):
            outcome = world.apply(action)
            assert outcome.z_jump_m == pytest.approx(0.0, abs=15e-12)
        assert world.tip == GOOD
        assert len(world.sample.marks) == 0


def test_the_current_rises_exponentially_until_contact_clips_it(quiet: Preset):
    world = World(quiet, 1, tip=GOOD)
    trace = world.apply(dip(2.0, approach_time_s=0.4, contact_bias_v=0.05)).trace
    assert trace is not None
    limit = world.preset.controller.saturation_na * 1e-9
    assert np.abs(trace.current_a).max() == pytest.approx(limit)
    averaging = trace.time_s < 0.099
    assert trace.current_a[averaging].mean() == pytest.approx(100e-12, rel=0.02)
    rising = (trace.current_a > 200e-12) & (trace.current_a < 8e-9) & (trace.time_s < 0.5)
    slope = np.polyfit(trace.z_m[rising], np.log(trace.current_a[rising]), 1)[0]
    gap = math.log(7.748e-5 * 0.1 / 100e-12) / GOOD.decay_per_nm
    stretch = gap / world.latents.contact_depth_nm(gap)
    assert slope * 1e-9 == pytest.approx(-GOOD.decay_per_nm * stretch, rel=0.03)
    dwelling = (trace.time_s > 0.51) & (trace.time_s < 0.59)
    assert (trace.current_a[dwelling] == trace.current_a.max()).all()
    assert trace.current_a[-1] < 1e-12
    assert np.ptp(trace.z_m) == pytest.approx(6e-9, rel=0.05)


def test_a_dip_that_stays_short_shows_no_contact(quiet: Preset):
    trace = World(quiet, 1, tip=GOOD).apply(dip(0.05)).trace
    assert trace is not None
    assert trace.current_a.max() < 1e-9


def test_a_held_pulse_keeps_z_and_a_followed_one_retracts(quiet: Preset):
    held = World(quiet, 1, tip=GOOD).apply(pulse(1.0)).trace
    followed = World(quiet, 1, tip=GOOD).apply(pulse(1.0, feedback="on")).trace
    assert held is not None
    assert followed is not None
    assert np.ptp(held.z_m) == 0.0
    assert held.current_a.max() == pytest.approx(1e-9, rel=0.05)
    rise = float(followed.z_m[len(followed.z_m) // 2] - followed.z_m[0])
    assert rise == pytest.approx(math.log(10) / GOOD.decay_per_nm * 1e-9, rel=0.05)
    assert followed.current_a[-1] == pytest.approx(100e-12, rel=0.1)


def test_a_pulse_on_the_clean_side_of_its_offset_is_weaker(quiet: Preset):
    def marks(offset_m: float) -> int:
        worlds = [World(quiet, seed, tip=GOOD) for seed in range(30)]
        for world in worlds:
            world.apply(pulse(world.latents.polarity * 5.0, z_offset_m=offset_m))
        return sum(len(world.sample.marks) > 0 for world in worlds)

    assert marks(0.0) > marks(1e-9)


def test_suitable_indentations_make_most_bad_tips_good(preset: Preset):
    healed = 0
    for seed in range(20):
        world = World(preset, seed)
        for attempt in range(30):
            x = (attempt % 6) * 25e-9
            world.apply(MoveTo(x_m=x, y_m=(attempt // 6) * 25e-9, speed_m_per_s=1e-7))
            latents, tip = world.latents, world.tip
            gap = math.log(7.748e-5 * AT.bias_v / AT.setpoint_a) / tip.decay_per_nm
            wanted = max(latents.best_depth_nm, (tip.radius_nm - 1.5) / 8 + 0.05)
            world.apply(dip(wanted / latents.depth_scale + latents.contact_depth_nm(gap)))
            if world.true_state()["good"]:
                healed += 1
                break
    assert healed >= 17


def test_without_contact_nothing_works_until_an_approach(preset: Preset, frame: Settings):
    world = World(preset, 1)
    world.withdraw()
    assert world.feedback is Feedback.WITHDRAWN
    assert world.read_current_a() == pytest.approx(0.0, abs=5e-12)
    assert world.z_m == pytest.approx(world.range_m[2] / 2)
    for action in (pulse(3.0), dip(1.0), MoveTo(x_m=0, y_m=0, speed_m_per_s=1e-7)):
        with pytest.raises(ContactLost, match="approach first"):
            world.apply(action)
    with pytest.raises(ContactLost, match="approach first"):
        next(iter(world.lines(frame())))
    world.apply(Approach(at=AT))
    assert world.feedback is Feedback.ON
    assert world.read_current_a() == pytest.approx(100e-12, rel=0.1)
    world.apply(pulse(0.5))


def test_withdrawing_ends_a_running_scan(preset: Preset, frame: Settings):
    world = World(preset, 1)
    lines = world.lines(frame())
    next(lines)
    world.withdraw()
    with pytest.raises(ContactLost):
        next(lines)
    assert not world.scanning


def test_a_coarse_move_brings_a_fresh_place(quiet: Preset, frame: Settings):
    world = World(quiet, 11, tip=GOOD)
    before = scan(world, frame())
    world.apply(CoarseMove(x_steps=20, y_steps=0, retract_steps=50))
    assert world.retracted_steps == 50
    with pytest.raises(ContactLost, match="50 retracting steps"):
        world.set_feedback(True)
    started = world.time_s
    world.apply(Approach(at=AT))
    assert world.time_s - started > 50
    assert world.retracted_steps == 0
    assert abs(world.z_m) < 40e-9
    assert abs(world.drift_m_per_s()) < 10e-12
    after = scan(world, frame())
    assert abs(likeness(before.forward, after.forward)) < 0.6


@pytest.mark.parametrize("clearance", [0, 3])
def test_stepping_sideways_without_clearance_is_a_crash(quiet: Preset, clearance: int):
    world = World(quiet, 1, tip=GOOD)
    world.motor(0, 0, clearance)
    world.motor(5, 0, 0)
    assert not world.true_state()["good"]
    assert world.true_state()["contaminated"]


def test_stepping_towards_the_sample_is_a_crash(quiet: Preset):
    world = World(quiet, 1, tip=GOOD)
    world.motor(0, 0, -1)
    assert not world.true_state()["good"]
    assert world.retracted_steps == 0


def test_an_approach_that_is_cut_short_fails(preset: Preset):
    world = World(preset, 1)
    world.apply(CoarseMove(x_steps=0, y_steps=1, retract_steps=60))
    with pytest.raises(ApproachFailed, match="within 10 steps"):
        world.apply(Approach(at=AT, max_steps=10))
    with pytest.raises(ApproachFailed, match="within 5 s"):
        world.apply(Approach(at=AT, timeout_s=5.0))
    assert world.approach(200)


def test_a_held_tip_pushed_into_the_sample_is_indented(quiet: Preset):
    world = World(quiet, 1, tip=GOOD)
    world.set_feedback(False)
    world.shift_z(-0.2e-9)
    assert world.tip == GOOD
    assert world.read_current_a() > 2e-9
    world.shift_z(-1.5e-9)
    assert world.tip != GOOD
    assert world.read_current_a() == pytest.approx(10e-9)
    world.shift_z(5e-9)
    world.set_feedback(True)
    assert world.read_current_a() == pytest.approx(100e-12, rel=0.1)


def test_no_bias_under_feedback_crashes_the_tip(quiet: Preset):
    world = World(quiet, 1, tip=GOOD)
    world.set_bias(0.0)
    assert not world.true_state()["good"]


def test_gains_can_be_retuned(preset: Preset):
    world = World(preset, 1)
    world.apply(RetuneFeedback(p_gain_m=20e-12, time_constant_s=1e-3))
    assert (world.p_gain_m, world.time_constant_s) == (20e-12, 1e-3)


def test_nonsense_is_refused_and_named(preset: Preset, frame: Settings):
    world = World(preset, 1)
    with pytest.raises(CommandFailed, match="setpoint"):
        world.set_setpoint(0.0)
    with pytest.raises(CommandFailed, match="gains"):
        world.set_gains(0.0, 1e-3)
    with pytest.raises(CommandFailed, match="range"):
        world.move(1e-6, 0.0, 1e-7)
    with pytest.raises(CommandFailed, match="held"):
        world.shift_z(1e-9)
    with pytest.raises(CommandFailed, match="range"):
        next(iter(world.lines(frame(x_nm=399))))
    with pytest.raises(ValueError, match="-1"):
        world.advance(-1.0)
    world.set_feedback(False)
    with pytest.raises(CommandFailed, match="range"):
        world.shift_z(1e-6)
    with pytest.raises(CommandFailed, match="held"):
        next(iter(world.lines(frame())))
    assert world.time_s == 0.0


def test_the_truth_is_told_in_plain_types(preset: Preset):
    truth = World(preset, 1, tip=Tip(1.2, (Apex(1.0, 0.0, 0.2),))).true_state()
    assert truth == {
        "radius_nm": 1.2,
        "gap_nm": 0.2,
        "contaminated": False,
        "stable": True,
        "good": True,
        "step_good": False,
        "electronic_good": True,
        "good_definition": preset.good_definition,
        "time_s": 0.0,
    }
    assert {type(value) for value in World(preset, 1).true_state().values()} == {float, bool, str}


DEEDS = st.one_of(
    st.floats(0, 5).map(lambda v: lambda world: world.advance(v)),
    st.floats(-9, 9).map(lambda v: lambda world: world.pulse(v, 0.05, held=v > 0)),
    st.floats(0.05, 6).map(lambda v: lambda world: world.apply(dip(v))),
    st.booleans().map(lambda v: lambda world: world.set_feedback(v)),
    st.floats(-3e-9, 3e-9).map(lambda v: lambda world: world.shift_z(v)),
    st.floats(-3e-7, 3e-7).map(lambda v: lambda world: world.move(v, -v, 1e-6)),
    st.tuples(*[st.integers(-30, 30)] * 3).map(lambda v: lambda world: world.motor(*v)),
    st.integers(0, 40).map(lambda v: lambda world: world.approach(v)),
    st.floats(-2, 2).map(lambda v: lambda world: world.set_bias(v)),
    st.just(lambda world: world.withdraw()),
)


@given(seed=st.integers(0, 100), deeds=st.lists(DEEDS, max_size=12))
def test_whatever_is_done_time_runs_on_and_readings_stay_numbers(seed, deeds):
    world = World(load_preset("au111"), seed)
    for deed in deeds:
        before = world.time_s
        try:
            deed(world)
        except InstrumentError as error:
            assert str(error)  # noqa: PT017
        assert world.time_s >= before
        state = world.state()
        assert math.isfinite(state.z_m)
        assert abs(state.z_m) < world.range_m[2]
        assert abs(state.current_a) <= 10e-9
        assert (state.feedback is Feedback.WITHDRAWN) or state.retracted_steps == 0
