"""Sweeps that change the apex: as often as the law of pulses says, and never silently."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.actions import Pulse, TunnellingPoint
from drivers.spectrum import Spectrum, SpectrumSettings
from sim.presets.preset import Preset, load_preset
from sim.spectra.sweeps import strains
from sim.tips.tip import Termination, Tip
from sim.world import World
from tests.sim.conftest import AT, changed

GOOD = Tip(radius_nm=1.0)


def swept(start_v: float, stop_v: float) -> SpectrumSettings:
    return SpectrumSettings(
        start_v=start_v,
        stop_v=stop_v,
        points=61,
        at=TunnellingPoint(bias_v=0.5, setpoint_a=100e-12),
        modulation_v_rms=0.005,
        modulation_hz=700.0,
        integration_s=0.02,
    )


def with_threshold(preset: Preset, volts: float) -> Preset:
    fixed = type(preset.hidden.pulse_threshold_v)(law="uniform", a=volts, b=volts)
    return changed(preset, hidden={"pulse_threshold_v": fixed})


def taken(preset: Preset, seed: int, settings: SpectrumSettings) -> tuple[Spectrum, World]:
    world = World(preset, seed, tip=GOOD)
    return world.spectrum(settings), world


def test_each_polarity_strains_once_in_the_order_of_the_sweep():
    peak = 0.005 * np.sqrt(2)
    first, second = strains(swept(1.0, -2.0), 0.44, 0.1)
    assert (first.bias_v, second.bias_v) == pytest.approx((1.0 + peak, -2.0 - peak))
    assert (first.first, second.last) == (0, 60)
    # Points are 0.05 V apart: 1 to 0.6 V and -1.6 to -2 V are near the ends.
    assert (first.last, second.first) == (8, 52)
    assert (first.width_s, second.width_s) == pytest.approx((0.9, 0.9))
    assert [strain.bias_v > 0 for strain in strains(swept(0.2, 1.0), 0.45, 0.1)] == [True]


def test_a_sweep_changes_the_tip_as_often_as_the_law_of_pulses_says(bare: Preset):
    def share(threshold_v: float, reach_v: float) -> float:
        preset = with_threshold(bare, threshold_v)
        tips = [taken(preset, seed, swept(0.1, reach_v))[1].tip for seed in range(24)]
        return float(np.mean([tip != GOOD for tip in tips]))

    assert share(6.0, 1.0) == 0.0
    assert 0.2 < share(2.6, 2.6) < 1.0
    assert share(1.0, 3.4) == 1.0


def test_no_change_is_silent(bare: Preset):
    """Whenever the apex changes, its height or its curve tells."""
    calm, harsh = with_threshold(bare, 50.0), with_threshold(bare, 2.4)
    told, changes = [], 0
    for seed in range(12):
        plain, _ = taken(calm, seed, swept(0.1, 3.0))
        strained, world = taken(harsh, seed, swept(0.1, 3.0))
        assert plain.z_jump_m == pytest.approx(0.0, abs=0.02e-9)
        if world.tip == GOOD:
            continue
        changes += 1
        ratio = np.abs(strained.current_a.astype(float)) / np.abs(plain.current_a)
        told.append(max(abs(strained.z_jump_m) / 0.02e-9, np.abs(np.log(ratio[2:])).max() / 0.1))
    assert changes >= 6
    assert min(told) > 1.0


def test_until_the_change_the_curve_is_that_of_the_old_tip(bare: Preset):
    calm, harsh = with_threshold(bare, 50.0), with_threshold(bare, 1.5)
    plain, _ = taken(calm, 3, swept(0.1, 3.0))
    strained, _ = taken(harsh, 3, swept(0.1, 3.0))
    # The change comes within the last 0.45 V.
    before = plain.bias_v < 2.5
    assert strained.current_a[before] == pytest.approx(plain.current_a[before], rel=0.2)


def test_a_weak_adsorbate_is_swept_off_and_marks_are_left(preset: Preset):
    dirty = Tip(radius_nm=1.0, termination=Termination.WEAK, decay_per_nm=14.0)
    worlds = [World(with_threshold(preset, 2.6), seed, tip=dirty) for seed in range(12)]
    for world in worlds:
        world.spectrum(swept(0.1, 3.4))
    assert np.mean([world.tip.clean for world in worlds]) > 0.5
    assert any(len(world.sample.marks) for world in worlds)


def test_the_luck_of_sweeps_is_keyed_and_apart_from_that_of_all_else(bare: Preset):
    numbers = with_threshold(bare, 2.6)
    worlds = [World(numbers, 5, tip=GOOD) for _ in range(2)]
    worlds[0].spectrum(swept(0.1, 0.4))
    for world in worlds:
        world.reseed(3, 1)
    tips = [(world.spectrum(swept(0.1, 2.6)), world.tip)[1] for world in worlds]
    assert tips[0] == tips[1]
    for world in worlds:
        world.apply(Pulse(at=AT, bias_v=7.0, width_s=0.1))
    # The gap differs by what the sample has drifted in the meantime.
    assert worlds[0].tip.radius_nm == pytest.approx(worlds[1].tip.radius_nm, rel=1e-3)


def test_gentle_materials_feel_a_sweep_sooner():
    changes = {}
    for name in ("au111-qplus", "au111-w"):
        tips = [taken(load_preset(name), seed, swept(0.1, 2.0))[1].tip for seed in range(16)]
        changes[name] = np.mean([tip != GOOD for tip in tips])
    assert changes["au111-qplus"] > 0.3 > changes["au111-w"]
