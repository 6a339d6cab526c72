"""Feedback behind a scanner with a resonance: ringing, overloads, lost contact, preamplifiers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drivers.actions import Indentation, Pulse
from drivers.errors import CommandFailed
from sim.presets.instrument import Controller
from sim.presets.preset import Preset, load_preset
from sim.scans import feedback
from sim.scans.feedback import SwingingLoop, loop_step, swinging
from sim.scans.signal_chain import STATE, follow, swing
from sim.tips.tip import Tip
from sim.world import World
from tests.sim.conftest import AT, Settings, plain

DECAY, SETPOINT_A = 22.0, 100e-12
USUAL = (0.03, 4e-4)
REACH = np.array([-100.0, 100.0])


@pytest.fixture
def controller() -> Controller:
    return load_preset("ag111").controller


def response(
    controller: Controller, gains: tuple[float, float], signal: np.ndarray, dt_s: float
) -> np.ndarray:
    """Output (nm) of a loop at rest at zero that meets ``signal``."""
    loop = swinging(controller, gains, DECAY)
    chain = feedback.swing(controller, loop, SETPOINT_A, (dt_s, dt_s))
    out, state = np.empty(signal.size, np.float32), np.zeros(STATE)
    kick = np.uint32(1)
    swing(
        signal.astype(np.float32), chain.steps[0], chain.limits[0], np.zeros(2), REACH, state,
        kick, out,
    )  # fmt: skip
    return out


def edge(height_nm: float, dt_s: float = 5e-5, seconds: float = 0.06) -> np.ndarray:
    signal = np.full(round(seconds / dt_s), height_nm)
    signal[: signal.size // 10] = 0.0
    return signal


def test_a_scanner_without_mechanics_leaves_the_plain_loop():
    loop = SwingingLoop(*USUAL, DECAY, 1000.0, 1e6, 0.7, 1e-8)
    steps = loop.step(1e-4)
    plain = loop_step(*USUAL, DECAY, 1000.0, 1e-4)
    state, rest = np.zeros(5), np.zeros(STATE)
    signal = np.ones(200, np.float32)
    out, swung, before = np.empty_like(signal), [], 0.0
    follow(signal, plain, np.zeros(2), REACH, rest, np.uint32(1), out)
    for height in signal:
        state = steps @ [*state, before, height]
        before = height
        swung.append(loop.gain * state[0] + state[1])
    assert swung == pytest.approx(out, abs=2e-3)


def test_the_step_of_a_swinging_loop_is_exact(controller: Controller):
    signal = np.interp(np.arange(640), [0, 64, 640], [0.0, 0.05, 0.05])
    fine = response(controller, USUAL, signal, 5e-5)
    coarse = response(controller, USUAL, signal[::32], 32 * 5e-5)
    assert coarse == pytest.approx(fine[::32], abs=1e-5)


def test_gain_turns_lag_into_overshoot_and_ringing(controller: Controller):
    def overshoot(p_gain_nm: float, time_constant_s: float) -> float:
        out = response(controller, (p_gain_nm, time_constant_s), edge(0.02), 5e-5)
        return float(out.max() / 0.02 - 1)

    lagging, usual, high = overshoot(0.03, 1.3e-3), overshoot(*USUAL), overshoot(0.03, 6e-5)
    assert max(lagging, usual) < 0.001
    assert 0.05 < high < overshoot(0.03, 3e-5) < 1.0 < overshoot(0.09, 1e-4)


def test_what_rings_is_bounded_and_rings_near_the_resonance(controller: Controller):
    loop, amplifier = swinging(controller, (0.12, 4e-4), DECAY), controller.preamplifier
    assert loop is not None
    assert amplifier is not None
    assert not loop.stable
    quick = amplifier.model_copy(update={"recovery_ms": 0.0})
    bounded = controller.model_copy(update={"preamplifier": quick})
    out = response(bounded, (0.12, 4e-4), np.full(20_000, 1e-3), 2e-5)[5000:]
    assert 0.05 < np.ptp(out) < 1.0
    spectrum = np.abs(np.fft.rfft(np.diff(out)))
    loudest = np.fft.rfftfreq(out.size - 1, 2e-5)[spectrum.argmax()]
    assert loudest == pytest.approx(3000, rel=0.2)


def test_a_tip_that_lost_contact_comes_back_no_faster_than_the_floor_allows(controller):
    out = response(controller, USUAL, -edge(2.0), 5e-5)
    assert controller.preamplifier is not None
    decades = math.log10(SETPOINT_A / (controller.preamplifier.floor_pa * 1e-12))
    slew = USUAL[0] / USUAL[1] * decades
    falling = (out < -0.5) & (out > -1.5)
    assert -np.diff(out)[falling[1:]] / 5e-5 == pytest.approx(slew, rel=0.05)


def test_an_overload_throws_the_tip_back(controller: Controller):
    amplifier = controller.preamplifier
    assert amplifier is not None
    slow = amplifier.model_copy(update={"recovery_ms": 5.0})
    lazy = controller.model_copy(update={"preamplifier": slow})
    usual, thrown = (response(one, USUAL, edge(1.0), 5e-5) for one in (controller, lazy))
    assert usual.max() < 1.2
    assert thrown.max() > 1.3
    assert thrown[-1] == pytest.approx(1.0, abs=0.02)


def test_the_loop_hides_what_is_faster(controller: Controller):
    loop = swinging(controller, USUAL, DECAY)
    assert loop is not None
    assert loop.weakening(1.0) == pytest.approx(1.0, abs=0.01)
    assert loop.weakening(100.0) > 0.5
    assert loop.weakening(1000.0) < 0.3


def test_gains_of_the_preamplifier_trade_range_for_bandwidth(controller: Controller):
    ranges = [controller.at_gain(gain) for gain in (1e7, 1e8, 1e9, 1e10)]
    assert [one.saturation_na for one in ranges] == pytest.approx([1000, 100, 10, 1])
    bandwidths = [one.preamp_hz for one in ranges]
    assert bandwidths == sorted(bandwidths, reverse=True)
    noises = [one.preamplifier.noise_a(0.0, 1000.0) for one in ranges if one.preamplifier]
    assert noises == sorted(noises, reverse=True)
    # 4 fA per root hertz for 1 GOhm.
    assert noises[2] == pytest.approx(4.07e-15 * math.sqrt(1000), rel=0.01)
    with pytest.raises(ValueError, match=r"gain_v_per_a 3e\+09 must be one of 1e\+07"):
        controller.at_gain(3e9)
    with pytest.raises(ValueError, match=r"no controller\.preamplifier"):
        plain(load_preset("au111")).controller.at_gain(1e9)


def test_parts_of_a_controller_must_agree(controller: Controller):
    numbers = controller.model_dump()
    with pytest.raises(ValueError, match="saturation_na must be 10"):
        Controller.model_validate({**numbers, "saturation_na": 100.0})
    with pytest.raises(ValueError, match="come together"):
        Controller.model_validate({**numbers, "scanner": None})


def at_gain(preset: Preset, gain_v_per_a: float) -> Preset:
    return preset.model_copy(update={"controller": preset.controller.at_gain(gain_v_per_a)})


def test_setpoints_that_the_preamplifier_cannot_show_are_refused(frame: Settings):
    world = World(load_preset("ag111"), 1, tip=Tip(1.0))
    for setpoint_a in (0.5e-12, 10e-9):
        with pytest.raises(CommandFailed, match=r"1e\+09 V/A the preamplifier shows 1 to 10000 pA"):
            world.set_setpoint(setpoint_a)
    high = World(at_gain(load_preset("ag111"), 1e8), 1, tip=Tip(1.0))
    high.set_setpoint(10e-9)
    assert high.setpoint_a == 10e-9


def test_traces_clip_at_the_gain_and_stay_clipped_until_recovery():
    dip = Indentation(at=AT, depth_m=1.5e-9, lift_m=4.5e-9, contact_bias_v=0.02)
    currents = []
    for gain in (1e7, 1e9):
        trace = World(at_gain(load_preset("ag111"), gain), 1, tip=Tip(1.0)).apply(dip).trace
        assert trace is not None
        currents.append(np.abs(trace.current_a))
    assert currents[0].max() == pytest.approx(1e-6)
    assert currents[1].max() == pytest.approx(10e-9)
    # One quantum of conductance at 20 mV is 1.55 uA: clipped at either gain, longer at the higher.
    assert (currents[1] >= 9.9e-9).sum() >= (currents[0] >= 0.99e-6).sum() > 50


def test_a_followed_pulse_backs_off_at_the_rate_of_a_clipped_current():
    pulse = Pulse(at=AT, bias_v=2.0, width_s=0.05, feedback="on")
    rises = []
    for gain in (1e8, 1e10):
        world = World(at_gain(load_preset("ag111"), gain), 1, tip=Tip(1.0, decay_per_nm=DECAY))
        trace = world.apply(pulse).trace
        assert trace is not None
        rises.append((trace.z_m[21:24] - trace.z_m[0]) * 1e9)
    # At 1e10 V/A the current clips at half of what twenty times the bias brings.
    assert 0 < rises[1][0] < 0.97 * rises[0][0]
    assert rises[1][2] == pytest.approx(rises[0][2], rel=0.1)
