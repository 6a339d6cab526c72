"""The same world through every shell: directly, as a driver, and over the Nanonis protocol."""

from __future__ import annotations

import numpy as np
import pytest

from drivers import (
    Address,
    Approach,
    Capability,
    CoarseMove,
    Feedback,
    Frame,
    Indentation,
    MoveTo,
    Pulse,
    RetuneFeedback,
    Scan,
    ScanSettings,
    TunnellingPoint,
    VirtualClock,
)
from drivers.nanonis.commands import RELEASES
from drivers.nanonis.microscope import open_nanonis
from sim.microscope import SimulatedMicroscope
from sim.presets.preset import load_preset
from sim.servers.nanonis.controller import Controller
from sim.servers.nanonis.server import Server
from sim.world import World

HOST, PORT, SEED = "127.0.0.1", 6501, 4
AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
SETTINGS = ScanSettings(
    frame=Frame(x_m=20e-9, y_m=-10e-9, width_m=24e-9, height_m=24e-9),
    pixels=64,
    lines=48,
    forward_s=0.25,
    backward_s=0.125,
    at=AT,
    direction="up",
)


async def scanned(microscope) -> Scan:
    return Scan.from_lines(SETTINGS, [line async for line in microscope.scan(SETTINGS)])


@pytest.fixture
def over_tcp(run_virtual, tmp_path):
    """Run ``test(microscope, world)`` with our own driver on a served world, in virtual time."""

    def run(test, release=RELEASES[-1], options=""):
        async def main():
            world = World(load_preset("au111"), SEED)
            controller = Controller(world, tmp_path, release=release)
            async with Server(controller.dispatcher.answer, controller.logger.stream, HOST, PORT):
                microscope = await open_nanonis(Address.parse(f"nanonis://{HOST}:{PORT}{options}"))
                try:
                    return await test(microscope, world)
                finally:
                    await microscope.close()
                    await controller.close()

        return run_virtual(main)

    return run


def relief(z: np.ndarray) -> np.ndarray:
    return z - np.median(z)


@pytest.mark.parametrize("release", RELEASES)
def test_a_scan_is_the_same_through_every_shell(over_tcp, run_virtual, release):
    world = World(load_preset("au111"), SEED)
    direct = Scan.from_lines(SETTINGS, world.lines(SETTINGS))

    def in_process():
        world = World(load_preset("au111"), SEED)
        return scanned(SimulatedMicroscope(world, VirtualClock()))

    as_driver = run_virtual(in_process)
    np.testing.assert_array_equal(as_driver.forward, direct.forward)
    np.testing.assert_array_equal(as_driver.backward, direct.backward)

    remote = over_tcp(lambda microscope, _: scanned(microscope), release)
    assert remote.lines_done == SETTINGS.lines
    # Over the wire the scan begins a few seconds later, so the sample has drifted on by picometres.
    for theirs, ours in ((remote.forward, direct.forward), (remote.backward, direct.backward)):
        assert np.abs(relief(theirs) - relief(ours)).max() < 15e-12
        assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.995


@pytest.mark.parametrize("release", RELEASES)
def test_every_action_does_over_the_wire_what_it_says(over_tcp, release):
    async def test(microscope, world):
        assert microscope.capabilities == frozenset(Capability) - {Capability.SPECTRUM}
        await microscope.perform(MoveTo(x_m=30e-9, y_m=5e-9, speed_m_per_s=100e-9))
        assert (world.x_m, world.y_m) == pytest.approx((30e-9, 5e-9))

        marks, before = world.sample.revision, world.tip
        dip = await microscope.perform(Indentation(at=AT, depth_m=2e-9, lift_m=6e-9))
        assert world.tip != before
        assert world.sample.revision > marks
        assert dip.trace is not None
        in_contact = np.abs(dip.trace.current_a) > 9.9e-9
        depth_m = dip.trace.z_m[0] - dip.trace.z_m[in_contact].min()
        assert depth_m == pytest.approx(2e-9, rel=0.02)
        assert dip.z_jump_m is not None
        assert (world.bias_v, world.feedback) == (pytest.approx(0.5), Feedback.ON)

        pulse = await microscope.perform(Pulse(at=AT, bias_v=-6.0, width_s=0.1))
        assert pulse.trace is not None
        assert world.bias_v == pytest.approx(0.5)

        await microscope.perform(RetuneFeedback(p_gain_m=20e-12, time_constant_s=2e-3))
        assert (world.p_gain_m, world.time_constant_s) == pytest.approx((20e-12, 2e-3))

        await microscope.perform(CoarseMove(x_steps=5, y_steps=0, retract_steps=25))
        assert world.retracted_steps >= 25
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN
        await microscope.perform(Approach(at=AT, max_drift_m_per_s=50e-12))
        assert (world.feedback, world.retracted_steps) == (Feedback.ON, 0)

        await microscope.withdraw()
        assert world.feedback is Feedback.WITHDRAWN

    over_tcp(test, release, "?z_retract=Z%2B")
