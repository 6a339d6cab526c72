"""Bias spectroscopy: the current while the bias is swept over a held tip."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from drivers import Feedback
from sim.servers.nanonis.handlers import LONGEST_S, NOTHING, Refusal, Values, command, require
from sim.servers.nanonis.instrument import Activity, Instrument
from sim.servers.nanonis.modules.signals import NAMES
from sim.servers.nanonis.settings import Settings
from sim.world import World

_CHANNELS = ("Bias calc (V)", "Current (A)")
Points = NDArray[np.float64]
_RANGE_V = 10.0
_MOST_POINTS = 1 << 16


class BiasSpectroscopy:
    """The module Bias Spectroscopy, in its linear mode."""

    def __init__(self, instrument: Instrument, settings: Settings) -> None:
        self._instrument = instrument
        self._settings = settings
        self._sweep = Activity()
        self._segments = b"\0\0\0\0"

    def stop(self) -> None:
        """End what goes on by itself."""
        self._sweep.stop()

    @command("BiasSpectr.Start")
    async def start(self, values: Values) -> Values:
        """Sweep; the connection waits for the end in any case."""
        points = self._settings.read("BiasSpectr.Props")["points"]
        require("number of points", points, 2, _MOST_POINTS)
        limits = self._settings.read("BiasSpectr.Limits")
        timing = self._settings.read("BiasSpectr.Timing")
        for end_v in limits.values():
            require("sweep limit", end_v, -_RANGE_V, _RANGE_V)
        for name in ("average_s", "settling_s", "integration_s"):
            require(name.removesuffix("_s"), timing[name], 0.0, LONGEST_S)
        biases_v = np.linspace(limits["start_v"], limits["end_v"], points)
        currents_a = np.full(points, np.nan)
        self._sweep.start(self._run(biases_v, currents_a))
        await self._sweep.wait()
        # A controller answers after the sweep even if nobody wants the data.
        if not values["get_data"]:
            return {"channels": (), "data": np.empty((0, 0)), "parameters": ()}
        return {
            "channels": _CHANNELS,
            "data": np.stack([biases_v, currents_a]),
            "parameters": (limits["start_v"], limits["end_v"]),
        }

    @command("BiasSpectr.Stop")
    async def stop_sweep(self, _: Values) -> Values:
        """Stop a sweep that was started on another connection."""
        self._sweep.stop()
        return NOTHING

    @command("BiasSpectr.StatusGet")
    async def status(self, _: Values) -> Values:
        """Whether a sweep runs."""
        return {"status": int(self._sweep.running)}

    @command("BiasSpectr.ChsSet")
    async def choose(self, values: Values) -> Values:
        """Choose the channels that are saved."""
        channels = values["channels"]
        if any(not 0 <= channel < len(NAMES) for channel in channels):
            raise Refusal("A channel index is out of range.")
        names = tuple(NAMES[channel] for channel in channels)
        self._settings.write("BiasSpectr.Chs", {"channels": channels, "names": names})
        return NOTHING

    @command("BiasSpectr.MLSValsSet")
    async def set_segments(self, values: Values) -> Values:
        """Keep the segments of the other mode."""
        self._segments = values["body"]
        return NOTHING

    @command("BiasSpectr.MLSValsGet")
    async def segments(self, _: Values) -> Values:
        """The segments of the other mode."""
        return {"body": self._segments}

    async def _run(self, biases_v: Points, currents_a: Points) -> None:
        timing = self._settings.read("BiasSpectr.Timing")
        point_s = timing["settling_s"] + timing["integration_s"]
        act, world = self._instrument.act, self._instrument.world
        before_v, feedback = world.bias_v, world.feedback
        with self._instrument.driven():
            # However the sweep ends, the tip must not be left without feedback at a strange bias.
            try:
                act(lambda world: world.advance(timing["average_s"]))
                act(lambda world: world.set_feedback(False))
                for index, bias_v in enumerate(biases_v):
                    act(partial(World.set_bias, bias_v=float(bias_v)))
                    await self._instrument.perform(lambda world: world.advance(point_s))
                    currents_a[index] = world.read_current_a()
            finally:
                act(lambda world: world.set_bias(before_v))
                if feedback is Feedback.ON and world.feedback is Feedback.HELD:
                    act(lambda world: world.set_feedback(True))
