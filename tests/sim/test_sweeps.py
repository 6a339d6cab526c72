"""Sweeps of the world: noise, time, limits, and the electronic state of the tip that makes them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.actions import Indentation, Pulse, TunnellingPoint
from drivers.errors import CommandFailed, ContactLost
from drivers.microscope import Feedback
from drivers.scan import Scan
from drivers.spectrum import SpectrumSettings
from sim.performing import AVERAGE_S
from sim.presets.preset import Preset, known_presets, load_preset
from sim.tips.states import Level, TipStates
from sim.tips.tip import Flicker, Tip
from sim.world import World
from tests.sim.conftest import AT, Settings, changed

GOOD = Tip(radius_nm=1.0)


def swept(**others: object) -> SpectrumSettings:
    plain = {
        "start_v": -0.8,
        "stop_v": 0.4,
        "points": 241,
        "at": TunnellingPoint(bias_v=-0.8, setpoint_a=1e-9),
        "modulation_v_rms": 0.005,
        "modulation_hz": 700.0,
        "integration_s": 0.05,
    }
    return SpectrumSettings(**{**plain, **others})


@pytest.mark.parametrize("name", known_presets())
def test_every_surface_can_be_swept(name: str):
    spectrum = World(load_preset(name), 1, tip=GOOD).spectrum(swept())
    assert np.isfinite(spectrum.didv_s).all()
    assert np.ptp(spectrum.current_a) > 0


def test_gold_looks_as_published(preset: Preset):
    spectrum = World(preset, 1, tip=GOOD).spectrum(swept())
    bias, didv = spectrum.bias_v, np.convolve(spectrum.didv_s, np.ones(5) / 5, "same")
    inside = (bias > -0.75) & (bias < 0.35)
    rise = np.where(inside, np.gradient(didv), 0.0)
    assert bias[rise.argmax()] == pytest.approx(-0.5, abs=0.02)
    below, above, fermi = (
        didv[(bias > low) & (bias < low + 0.05)].mean() for low in (-0.6, -0.45, -0.05)
    )
    assert 1.4 < above / below < 2.2
    assert 0.7 < fermi / above < 1.0


def test_the_setpoint_flows_where_the_feedback_let_go(bare: Preset):
    for tip in (GOOD, replace(GOOD, electronic=TipStates((Level(0.2, 0.1, 2.0),), 0.1, 0.05))):
        spectrum = World(bare, 2, tip=tip).spectrum(swept())
        assert spectrum.current_a[0] == pytest.approx(-1e-9, rel=0.01)
        assert spectrum.current_a[np.abs(spectrum.bias_v).argmin()] == pytest.approx(0, abs=5e-12)
        slopes = np.gradient(spectrum.current_a.astype(float), spectrum.bias_v)
        through = 1 / math.hypot(1, 0.7)
        assert np.median(spectrum.didv_s / slopes) == pytest.approx(through, rel=0.02)


def test_sweeps_take_their_time_and_leave_the_tip_under_feedback(preset: Preset):
    world = World(preset, 3, tip=GOOD)
    world.set_feedback(False)
    spectrum = world.spectrum(swept())
    law, control = preset.spectrum, preset.controller
    assert spectrum.finished_s - spectrum.started_s == pytest.approx(241 * (0.05 + law.settle_s))
    around = control.settle_s + AVERAGE_S
    assert spectrum.started_s == pytest.approx(around)
    assert world.time_s == pytest.approx(spectrum.finished_s + around)
    assert world.feedback is Feedback.ON
    assert world.bias_v == -0.8
    assert (spectrum.x_m, spectrum.y_m) == (0.0, 0.0)


def test_averaging_lowers_the_noise(bare: Preset):
    def noise(integration_s: float) -> float:
        at = TunnellingPoint(bias_v=0.4, setpoint_a=50e-12)
        spectrum = World(bare, 4, tip=GOOD).spectrum(swept(integration_s=integration_s, at=at))
        return float(np.diff(spectrum.didv_s[150:]).std())

    assert noise(0.01) / noise(0.16) == pytest.approx(4.0, rel=0.25)


def test_large_currents_are_clipped(preset: Preset):
    near = TunnellingPoint(bias_v=0.05, setpoint_a=5e-9)
    spectrum = World(preset, 5, tip=GOOD).spectrum(swept(at=near))
    limit = preset.controller.saturation_na * 1e-9
    assert np.abs(spectrum.current_a).max() == pytest.approx(limit)
    beyond = spectrum.bias_v < -0.3
    assert np.median(spectrum.didv_s[beyond]) < 0.01 * spectrum.didv_s.max()


def test_drift_and_an_unstable_apex_move_the_current(bare: Preset):
    spread = type(bare.motion.drift_nm_per_min)
    drift = {
        "drift_nm_per_min": spread(law="uniform", a=0.5, b=0.5),
        "z_drift_share": spread(law="uniform", a=1.0, b=1.0),
    }

    def excess(preset: Preset, tip: Tip) -> np.ndarray:
        still, seen = World(bare, 6, tip=GOOD), World(preset, 6, tip=tip)
        both = [world.spectrum(swept()).didv_s for world in (still, seen)]
        return np.log(np.abs(both[1] / both[0]))

    drifting = excess(changed(bare, motion=drift), GOOD)
    steady = np.polyfit(np.arange(241), drifting, 1)[0]
    assert abs(steady * 241) > 5 * abs((drifting - np.poly1d([steady, 0])(np.arange(241))).std())
    flicker = Flicker(out_hz=0.5, back_hz=0.5, height_nm=0.05)
    hopping = excess(bare, replace(GOOD, stable=False, flicker=flicker))
    assert np.ptp(hopping) > 0.8 * 22.0 * 0.05


def test_the_same_seed_gives_the_same_spectra_and_looking_does_not_change_luck(preset: Preset):
    one, again, other = (World(preset, seed, tip=GOOD) for seed in (7, 7, 8))
    first, second, third = (world.spectrum(swept()).didv_s for world in (one, again, other))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    one.spectrum(swept())
    blind = World(preset, 7, tip=GOOD)
    for world in (one, blind):
        world.apply(Pulse(at=AT, bias_v=7.0, width_s=0.1))
    assert one.tip == blind.tip


def test_no_two_sweeps_have_the_same_noise(bare: Preset):
    world = World(bare, 7, tip=GOOD)
    assert not np.array_equal(*(world.spectrum(swept()).didv_s for _ in range(2)))


def test_the_feedback_saw_the_apex_as_it_was_at_the_end(bare: Preset):
    slow = Flicker(out_hz=1e-4, back_hz=1e-4, height_nm=0.1)
    tip = replace(GOOD, stable=False, flicker=slow)
    starts = [World(bare, seed, tip=tip).spectrum(swept()).current_a[0] for seed in range(8)]
    assert starts == pytest.approx([-1e-9] * 8, rel=0.1)


def test_electronic_states_leave_topographs_and_shapes_alone(preset: Preset, frame: Settings):
    """Whatever the law of the states is, everything else stays the same bit for bit."""
    law = preset.spectrum
    richer = law.model_copy(
        update={"tip": law.tip.model_copy(update={"bare_levels": 6.0, "dirty_levels": 9.0})}
    )
    told = []
    for numbers in (preset, preset.model_copy(update={"spectrum": richer})):
        world, pictures, tips = World(numbers, 3), [], []
        for depth in (0.8e-9, 2e-9, 1e-9):
            pictures.append(Scan.from_lines(frame(), world.lines(frame())).forward)
            world.apply(Indentation(at=AT, depth_m=depth, lift_m=4e-9))
            tips.append(world.tip)
        told.append((pictures, tips))
    (pictures, tips), (others, other_tips) = told
    assert np.array_equal(pictures, others, equal_nan=True)
    shapes = [[replace(tip, electronic=None) for tip in some] for some in (tips, other_tips)]
    assert shapes[0] == shapes[1]
    assert any(a.electronic != b.electronic for a, b in zip(tips, other_tips, strict=True))


def test_a_new_apex_has_new_states_and_the_same_one_keeps_them(preset: Preset):
    world = World(preset, 9)
    first = world.tip
    assert first.electronic is not None
    world.apply(Indentation(at=AT, depth_m=1e-10, lift_m=1e-9))
    assert world.tip.electronic == first.electronic
    world.apply(Indentation(at=AT, depth_m=3e-9, lift_m=6e-9))
    assert world.tip.electronic != first.electronic


@pytest.mark.parametrize(
    ("states", "good"),
    [
        (None, True),
        (TipStates((), 0.05, 0.05), True),
        (TipStates((Level(-0.3, 0.3, 0.05),), 0.0, 0.05), True),
        (TipStates((Level(0.45, 0.12, 1.0),), 0.0, 0.05), False),
        (TipStates((Level(0.1, 0.1, 1.5),), 0.0, 0.05), False),
        (TipStates((), 1.5, 0.05), False),
    ],
)
def test_electronically_good_is_judged_apart_from_good(
    preset: Preset, states: TipStates | None, good: bool
):
    for tip in (GOOD, Tip(radius_nm=20.0)):
        truth = World(preset, 1, tip=replace(tip, electronic=states)).true_state()
        assert truth["electronic_good"] is good
        assert truth["good"] is (tip is GOOD)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"stop_v": 4.0}, r"4\.01 V.*end at 3\.5 V"),
        ({"modulation_hz": 5000.0}, "5000 Hz.*1000 Hz"),
        ({"at": TunnellingPoint(bias_v=0.5, setpoint_a=20e-9)}, "20000 pA.*10 nA"),
        ({"at": TunnellingPoint(bias_v=1e-5, setpoint_a=1e-9)}, "contact"),
        ({"at": TunnellingPoint(bias_v=4.0, setpoint_a=1e-9)}, r"4 V.*end at 3\.5 V"),
    ],
)
def test_impossible_sweeps_are_refused_and_nothing_moves(
    preset: Preset, wrong: dict[str, object], says: str
):
    world = World(preset, 1, tip=GOOD)
    with pytest.raises(CommandFailed, match=says):
        world.spectrum(swept(**wrong))
    assert (world.time_s, world.bias_v, world.tip) == (0.0, preset.controller.bias_v, GOOD)


def test_spectra_need_contact(preset: Preset):
    world = World(preset, 1, tip=GOOD)
    world.withdraw()
    with pytest.raises(ContactLost, match="spectrum"):
        world.spectrum(swept())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"stop_v": -0.8}, "nothing to sweep"),
        ({"at": TunnellingPoint(bias_v=0.0, setpoint_a=1e-9)}, "bias_v is zero"),
        ({"integration_s": 0.001}, "one period"),
        ({"points": 1}, "points"),
        ({"modulation_v_rms": 0.0}, "modulation_v_rms"),
        ({"start_v": math.nan}, "start_v"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object], says: str):
    with pytest.raises(ValidationError, match=says):
        swept(**wrong)


@given(
    seed=st.integers(0, 50),
    start=st.floats(-1.9, 1.9),
    stop=st.floats(-1.9, 1.9),
    bias=st.floats(0.05, 1.9),
    modulation=st.floats(1e-4, 0.05),
    points=st.integers(2, 60),
)
def test_any_sweep_within_the_limits_gives_numbers(seed, start, stop, bias, modulation, points):
    if start == stop:
        return
    world = World(load_preset("au111"), seed)
    settings = swept(
        start_v=start,
        stop_v=stop,
        points=points,
        modulation_v_rms=modulation,
        at=TunnellingPoint(bias_v=bias, setpoint_a=100e-12),
    )
    spectrum = world.spectrum(settings)
    assert spectrum.current_a.shape == spectrum.didv_s.shape == (points,)
    assert np.isfinite(spectrum.current_a).all()
    assert np.isfinite(spectrum.didv_s).all()
    assert np.abs(spectrum.current_a).max() <= 10e-9
    assert spectrum.bias_v[[0, -1]] == pytest.approx([start, stop])
