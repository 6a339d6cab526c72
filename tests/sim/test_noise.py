"""What disturbs scans: noise with a memory, events at random times, and the mains."""

from __future__ import annotations

import numpy as np
import pytest

from sim.presets.blocks import Spread
from sim.presets.instrument import Jumps, Mains, Pink, Rattle
from sim.presets.preset import Preset, load_preset
from sim.scans.events import Events, Jump, RingDown
from sim.scans.noise import NoiseLevels
from sim.scans.signal_chain import strike, swell
from sim.tips.tip import Tip
from sim.world import World
from tests.sim.conftest import Settings, changed

SOURCE = {"*": "assumed: a test"}


def always(value: float) -> Spread:
    return Spread(law="uniform", a=value, b=value)


def pink(preset: Preset, corner_hz: float) -> NoiseLevels:
    block = Pink(corner_hz=always(corner_hz), provenance=SOURCE)
    law = changed(preset, noise={"pink": block, "pixel_pm": always(1.0)})
    return NoiseLevels(law, np.random.default_rng(5))


def slow_signal(levels: NoiseLevels, dt_s: float, count: int, start_s: float = 0.0) -> np.ndarray:
    more = levels.disturbances(start_s, start_s + count * dt_s, (dt_s, dt_s), None)
    signal = np.zeros(count, np.float32)
    swell(signal, more.bands, more.key, start_s, dt_s)
    return signal


def test_pink_noise_meets_white_noise_at_its_corner(preset: Preset):
    dt, corner = 2e-3, 30.0
    signal = slow_signal(pink(preset, corner), dt, 2**17)
    pieces = signal.reshape(64, -1) * np.hanning(2**11)
    power = np.mean(np.abs(np.fft.rfft(pieces, axis=1)) ** 2, axis=0)
    density = 2 * dt * power / np.sum(np.hanning(2**11) ** 2)
    hz = np.fft.rfftfreq(2**11, dt)
    white = 2 * 1e-3**2 * dt
    for low, high in ((1, 3), (3, 10), (10, 25)):
        here = (hz >= low) & (hz < high)
        ratio = density[here].mean() / (white * np.mean(corner / hz[here]))
        assert 0.5 < ratio < 2.0


def test_pink_noise_belongs_to_time_not_to_pixels(preset: Preset):
    levels = pink(preset, 20.0)
    whole = slow_signal(levels, 1e-3, 4000)
    assert slow_signal(levels, 1e-3, 1000, 2.5) == pytest.approx(whole[2500:3500], abs=1e-6)


def test_slow_and_fast_scans_meet_the_same_pink_noise(preset: Preset):
    levels, key = pink(preset, 20.0), 7
    fine, coarse = np.zeros(4000, np.float32), np.zeros(250, np.float32)
    # Sixteen samples in one: bands with many samples between their knots come to have few.
    bands = levels.disturbances(0.0, 1.0, (1e-3, 1e-3), None).bands
    swell(fine, bands, key, 0.0123, 1e-3)
    swell(coarse, bands, key, 0.0123, 16e-3)
    assert coarse == pytest.approx(fine[::16], abs=1e-6)
    assert np.ptp(fine) > 1e-3


def jumps(rate_hz: float, stay_s: float = 0.5) -> Jumps:
    height = Spread(law="log_normal", a=10.0, b=1.0)
    return Jumps(
        rate_hz=always(rate_hz), height_pm=height, stay_s=always(stay_s), provenance=SOURCE
    )


def test_events_do_not_depend_on_who_asks():
    rng = np.random.default_rng(3)
    events = Events(Jump(jumps(0.5), rng), rng)
    whole = np.array(events.between(0.0, 300.0))
    assert 100 < len(whole) < 200
    parts = [events.between(start, start + 50.0) for start in range(0, 300, 50)]
    assert {row for part in parts for row in part} == {tuple(row) for row in whole}
    assert np.all(whole[:, 1] - whole[:, 0] == pytest.approx(0.5))
    # Heavy tails, either way.
    sizes = np.abs(whole[:, 2])
    assert sizes.max() > 5 * np.median(sizes)
    assert 0.3 < (whole[:, 2] > 0).mean() < 0.7


def test_a_jump_lasts_as_long_as_it_says():
    signal = np.zeros(100, np.float32)
    strike(signal, np.array([[0.25, 0.55, 1.0, 0.0, 0.0, 0.0]]), 0.0, 0.01)
    assert signal.sum() == pytest.approx(30, abs=1)
    assert np.all(signal[26:55] == 1.0)
    before = signal.copy()
    strike(signal, np.array([[5.0, 6.0, 1.0, 0.0, 0.0, 0.0]]), 0.0, 0.01)
    assert np.array_equal(signal, before)


def test_a_hit_rings_at_its_frequency_and_dies_away():
    law = Rattle(
        rate_hz=always(1.0),
        frequency_hz=always(400.0),
        quality=always(40.0),
        amplitude_pm=always(50.0),
        provenance=SOURCE,
    )
    rng = np.random.default_rng(1)
    source = RingDown(law, rng)
    signal = np.zeros(4000, np.float32)
    strike(signal, np.array([source.row(rng, 0.0)]), 0.0, 1e-4)
    loudest = np.fft.rfftfreq(4000, 1e-4)[np.abs(np.fft.rfft(signal)).argmax()]
    assert loudest == pytest.approx(400, abs=5)
    # Q / pi periods to 1/e.
    decayed = np.abs(signal[318:368]).max() / np.abs(signal[:50]).max()
    assert decayed == pytest.approx(np.exp(-1), rel=0.15)


def test_a_ring_down_goes_on_from_line_to_line():
    hit = (0.1, 0.9, 2.0, 3.0, 40.0, 0.7)
    signal = np.zeros(1000, np.float32)
    for line in range(10):
        strike(signal[100 * line :][:100], np.array([hit]), 0.1 * line, 1e-3)
    age = np.arange(1000) * 1e-3 - 0.1
    told = 2.0 * np.exp(-3.0 * age) * np.cos(2 * np.pi * 40.0 * age + 0.7)
    assert signal[101:900] == pytest.approx(told[101:900], abs=1e-6)
    assert not signal[:100].any()
    assert not signal[901:].any()


def test_the_clock_of_the_mains_wanders_by_what_it_is_told(preset: Preset):
    block = Mains(wander_hz=always(0.05), period_s=always(100.0), provenance=SOURCE)
    law = changed(preset, noise={"mains": block})
    levels = NoiseLevels(law, np.random.default_rng(0))
    time = np.arange(0.0, 400.0, 0.5)
    speed = np.diff(levels.mains_s(time)) / 0.5 * law.noise.hum_hz
    assert speed.max() == pytest.approx(50.05, abs=1e-3)
    assert speed.min() == pytest.approx(49.95, abs=1e-3)
    steady = NoiseLevels(preset, np.random.default_rng(0))
    assert steady.mains_s(time) is time


def test_a_warm_instrument_is_louder_than_a_cold_one(frame: Settings):
    def line_noise(name: str) -> float:
        levels = []
        for seed in range(6):
            picture = World(load_preset(name), seed, tip=Tip(1.0)).scan(frame()).forward * 1e12
            levels.append(np.median(np.abs(np.diff(np.diff(picture, axis=0), axis=0))))
        return float(np.median(levels))

    assert line_noise("au111-300k") > 3 * line_noise("au111")
