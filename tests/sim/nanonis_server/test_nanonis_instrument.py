"""The clock and the world of a simulated controller."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from drivers.clock import VirtualClock
from sim.presets.preset import load_preset
from sim.servers.nanonis.instrument import Instrument
from sim.world import World


def test_a_slow_sequence_is_recorded_whole():
    """While a sequence is worked out the clock may run on; what it shows then is undecided."""
    clock = VirtualClock()
    instrument = Instrument(World(load_preset("au111"), 1), clock)
    world, started_s = instrument.world, instrument.now()
    with instrument.driven():
        asyncio.run(clock.sleep(5.0))
        assert instrument.settled_until() == world.time_s == started_s
        dip = {"approach_time_s": 0.1, "contact_bias_v": 0.02, "dwell_s": 0.1, "average_s": 0.0}
        instrument.act(
            lambda world: world.indent(
                depth_m=1e-9, lift_m=3e-9, lift_time_s=0.1, restore_feedback=True, **dip
            )
        )
        assert instrument.settled_until() == world.time_s == pytest.approx(started_s + 0.3)
    assert instrument.settled_until() == instrument.now()
    _, z = instrument.recorded(started_s + np.arange(0, 300) * 1e-3, 1)
    assert z[0] - z.min() == pytest.approx(1e-9, rel=0.02)
