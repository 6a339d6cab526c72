"""Modules that clients look at and that mean little to a simulated STM."""

from __future__ import annotations

import struct

import numpy as np

from sim.servers.nanonis.handlers import Values, command
from sim.servers.nanonis.modules.signals import CURRENT, Signals, Z
from sim.servers.nanonis.settings import Settings

_POINTS = 64


class Others:
    """The two-channel oscilloscope, the tip recorder, atom tracking and the phase-locked loop."""

    def __init__(self, signals: Signals, settings: Settings) -> None:
        self._signals = signals
        self._settings = settings

    @command("Osci2T.DataGet")
    async def oscilloscope(self, _: Values) -> Values:
        """Both traces: time of the first point, time between points, values."""
        channels = self._settings.read("Osci2T.Chs")
        timebase = self._settings.read("Osci2T.Timebase")
        index = min(timebase["index"], len(timebase["timebases_s"]) - 1)
        interval_s = timebase["timebases_s"][index] / _POINTS
        traces = [
            self._signals.value(channel)
            for channel in (channels["a"], channels["b"])
            for _ in range(_POINTS)
        ]
        return {"body": struct.pack(f">ddi{len(traces)}d", 0.0, interval_s, _POINTS, *traces)}

    @command("TipRec.DataGet")
    async def recorder(self, _: Values) -> Values:
        """The recorder is always empty."""
        return {"channels": (CURRENT, Z), "data": np.empty((0, 0), np.float32)}

    @command("AtomTrack.StatusGet")
    async def tracking(self, _: Values) -> Values:
        """Atom tracking is off."""
        return {"status": 0}

    @command("PLL.FreqShiftGet")
    async def shift(self, _: Values) -> Values:
        """There is no resonator."""
        return {"shift_hz": 0.0}
