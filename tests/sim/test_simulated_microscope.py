"""The world as an instrument: same scans on every clock, contact rules, and addresses."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from drivers.actions import Approach, MoveTo, Pulse, Wait
from drivers.clock import Clock, ScaledClock, VirtualClock
from drivers.conformance import spectrum_faults
from drivers.errors import ConfigError, ContactLost
from drivers.microscope import Capability, Feedback, KnowsTruth, Microscope
from drivers.registry import Address
from drivers.scan import ScanSettings
from drivers.spectrum import SpectrumSettings
from sim.microscope import SimulatedMicroscope, open_simulated
from sim.presets.preset import Preset
from sim.tips.tip import Tip
from sim.world import World
from tests.sim.conftest import AT, Settings


async def lines_of(microscope: SimulatedMicroscope, settings: ScanSettings) -> list[np.ndarray]:
    return [line.forward_m async for line in microscope.scan(settings)]


def reference(preset: Preset, settings: ScanSettings) -> list[np.ndarray]:
    world = World(preset, 7)
    world.apply(Wait(seconds=2.0))
    return [line.forward_m for line in world.lines(settings)]


@pytest.mark.parametrize("scale", [None, 1.0, 50.0])
def test_every_clock_gives_the_scans_of_the_world(preset, frame: Settings, run_virtual, scale):
    settings = frame(pixels=32)

    async def main() -> tuple[list[np.ndarray], float, float]:
        clock: Clock = VirtualClock() if scale is None else ScaledClock(scale)
        microscope = SimulatedMicroscope(World(preset, 7), clock)
        started = asyncio.get_running_loop().time()
        await microscope.perform(Wait(seconds=2.0))
        lines = await lines_of(microscope, settings)
        return lines, clock.now(), asyncio.get_running_loop().time() - started

    lines, instrument_s, loop_s = run_virtual(main)
    assert len(lines) == 32
    for line, expected in zip(lines, reference(preset, settings), strict=True):
        assert line == pytest.approx(expected, abs=1e-15)
    assert instrument_s >= 2.0 + 32 * settings.line_s
    assert loop_s == pytest.approx(0.0 if scale is None else instrument_s / scale, rel=1e-3)


async def test_it_is_a_microscope_that_can_everything(preset: Preset):
    microscope = SimulatedMicroscope(World(preset, 1), VirtualClock())
    assert isinstance(microscope, Microscope)
    assert isinstance(microscope, KnowsTruth)
    assert microscope.capabilities == frozenset(Capability)
    assert microscope.name == "sim:au111"
    assert microscope.true_state() == microscope.world.true_state()
    await microscope.close()


async def test_lines_come_when_their_time_has_come(preset: Preset, frame: Settings):
    microscope = SimulatedMicroscope(World(preset, 1), VirtualClock())
    async for line in microscope.scan(frame(pixels=16)):
        assert microscope.clock.now() == pytest.approx(line.time_s)
        state = await microscope.state()
        assert state.scanning
        assert state.time_s == pytest.approx(line.time_s)


async def test_closing_the_scan_stops_it(preset: Preset, frame: Settings):
    microscope = SimulatedMicroscope(World(preset, 1), VirtualClock())
    lines = microscope.scan(frame())
    await anext(lines)
    await lines.aclose()
    assert not (await microscope.state()).scanning
    await microscope.perform(Pulse(at=AT, bias_v=3.0, width_s=0.1))


async def test_time_that_passed_elsewhere_passed_for_the_world(preset: Preset):
    clock = VirtualClock()
    microscope = SimulatedMicroscope(World(preset, 1), clock)
    await clock.sleep(100.0)
    assert (await microscope.state()).time_s == 100.0
    outcome = await microscope.perform(Wait(seconds=1.0))
    assert (outcome.started_s, outcome.finished_s) == (100.0, 101.0)
    assert clock.now() == 101.0


async def test_a_withdrawn_tip_must_approach_first(preset: Preset, frame: Settings):
    microscope = SimulatedMicroscope(World(preset, 1), VirtualClock())
    await microscope.withdraw()
    assert (await microscope.state()).feedback is Feedback.WITHDRAWN
    with pytest.raises(ContactLost, match="approach first"):
        await microscope.perform(MoveTo(x_m=0, y_m=0, speed_m_per_s=1e-8))
    with pytest.raises(ContactLost, match="approach first"):
        await anext(microscope.scan(frame()))
    await microscope.perform(Approach(at=AT))
    assert len(await lines_of(microscope, frame(pixels=16))) == 16


async def test_a_withdrawal_beside_a_scan_ends_it(preset: Preset, frame: Settings):
    microscope = SimulatedMicroscope(World(preset, 1), VirtualClock())
    lines = microscope.scan(frame())
    await anext(lines)
    await microscope.withdraw()
    with pytest.raises(ContactLost):
        await anext(lines)


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("sim:au111", VirtualClock),
        ("sim:au111?clock=virtual", VirtualClock),
        ("sim:au111?clock=real", ScaledClock),
        ("sim:au111?clock=real&time_scale=20", ScaledClock),
    ],
)
async def test_addresses_choose_the_clock(text: str, clock: type):
    microscope = await open_simulated(Address.parse(text))
    assert isinstance(microscope.clock, clock)


async def test_the_seed_comes_from_the_option_or_from_the_caller(preset: Preset):
    def tip_of(seed: int):
        return World(preset, seed).tip

    plain = await open_simulated(Address.parse("sim:au111", seed=5))
    option = await open_simulated(Address.parse("sim:au111?seed=6", seed=5))
    none = await open_simulated(Address.parse("sim:au111"))
    assert plain.world.tip == tip_of(5)
    assert option.world.tip == tip_of(6)
    assert none.world.tip == tip_of(0)


async def test_the_scale_is_that_of_the_address():
    microscope = await open_simulated(Address.parse("sim:au111?clock=real&time_scale=20"))
    assert isinstance(microscope.clock, ScaledClock)
    assert microscope.clock.scale == 20.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sim:pb111", "known are .*au111"),
        ("sim:", "known are .*au111"),
        ("sim:au111?colour=red", "'colour'.*known are clock, seed, time_scale"),
        ("sim:au111?clock=fast", "'fast'.*known are real, virtual"),
        ("sim:au111?time_scale=2", "needs clock=real"),
        ("sim:au111?clock=real&time_scale=0", "positive"),
        ("sim:au111?clock=real&time_scale=nan", "positive"),
        ("sim:au111?clock=real&time_scale=x", "positive"),
        ("sim:au111?seed=-1", "whole number"),
        ("sim:au111?seed=1.5", "whole number"),
    ],
)
async def test_wrong_addresses_are_refused_by_name(text: str, says: str):
    with pytest.raises(ConfigError, match=says):
        await open_simulated(Address.parse(text))


async def test_a_spectrum_takes_its_time_on_the_clock(preset: Preset):
    settings = SpectrumSettings(
        start_v=-0.8,
        stop_v=0.4,
        points=41,
        at=AT,
        modulation_v_rms=0.005,
        modulation_hz=700.0,
        integration_s=0.05,
    )
    microscope = SimulatedMicroscope(World(preset, 7, tip=Tip(1.0)), VirtualClock())
    await microscope.clock.sleep(5.0)
    assert await spectrum_faults(microscope, settings) == []
    assert microscope.clock.now() == microscope.world.time_s > 5.0 + settings.averaging_s
    spectrum = await microscope.spectrum(settings)
    world = World(preset, 7, tip=Tip(1.0))
    world.advance(5.0)
    world.spectrum(settings)
    assert np.array_equal(spectrum.didv_s, world.spectrum(settings).didv_s)
    assert spectrum.source == "sim:au111"
    await microscope.withdraw()
    with pytest.raises(ContactLost, match="spectrum"):
        await microscope.spectrum(settings)
