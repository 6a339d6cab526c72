"""The signals of the controller, by name and number."""

from __future__ import annotations

import math
from collections.abc import Callable

from sim.servers.nanonis.handlers import NOTHING, Refusal, Values, command
from sim.servers.nanonis.instrument import Instrument
from sim.servers.nanonis.settings import Settings

# Clients with fixed numbers expect current, bias and height where controllers usually have them.
CURRENT, BIAS, X, Y, Z = 0, 24, 28, 29, 30
_COUNT = 128
_NAMED = {
    CURRENT: "Current (A)",
    BIAS: "Bias (V)",
    25: "Output 2 (V)",
    26: "Output 3 (V)",
    27: "Output 4 (V)",
    X: "X (m)",
    Y: "Y (m)",
    Z: "Z (m)",
}
NAMES = tuple(
    _NAMED.get(index, f"Input {index + 1} (V)" if index < BIAS else f"Internal {index} (V)")
    for index in range(_COUNT)
)
_MEASURED = tuple(NAMES[index] for index in (CURRENT, BIAS, X, Y, Z))
_VOLTS = 10.0
_ROUNDING = 1e-6


class Signals:
    """The module Signals, and what shows the position of the tip."""

    def __init__(self, instrument: Instrument, settings: Settings) -> None:
        self._instrument = instrument
        self._settings = settings
        self._additional = (X, Y)
        world = instrument.world
        self._values: dict[int, Callable[[], float]] = {
            CURRENT: lambda: instrument.reading()[0],
            BIAS: lambda: world.bias_v,
            X: lambda: world.x_m,
            Y: lambda: world.y_m,
            Z: lambda: instrument.reading()[1],
        }

    def value(self, index: int) -> float:
        """The present value of a signal; those that mean nothing here are 0.

        Raises:
            Refusal: there is no such signal.
        """
        self._check(index)
        return self._values[index]() if index in self._values else 0.0

    async def sampled(self, *, newest: bool) -> None:
        """Wait as the acquisition of the programming interface makes a client wait.

        Data are taken in periods: the next to end is good enough, unless it must have begun after
        the question.
        """
        period_s = self._settings.read("Util.AcqPeriod")["period_s"]
        # Right at the end of a period, rounding must not make it end once more.
        ended = math.floor(self._instrument.now() / period_s + _ROUNDING)
        await self._instrument.until((ended + (2 if newest else 1)) * period_s)

    @command("Signals.NamesGet")
    async def names(self, _: Values) -> Values:
        """All names."""
        return {"names": NAMES}

    @command("Signals.ValGet")
    async def one(self, values: Values) -> Values:
        """The value of one signal."""
        self._check(values["index"])
        await self.sampled(newest=bool(values["wait_newest"]))
        return {"value": self.value(values["index"])}

    @command("Signals.ValsGet")
    async def several(self, values: Values) -> Values:
        """The values of several signals."""
        for index in values["indexes"]:
            self._check(index)
        await self.sampled(newest=bool(values["wait_newest"]))
        return {"values": tuple(self.value(index) for index in values["indexes"])}

    @command("Signals.RangeGet")
    async def range(self, values: Values) -> Values:
        """The limits of a signal."""
        limit = self._limit(values["index"])
        return {"maximum": limit, "minimum": -limit}

    @command("Signals.CalibrGet")
    async def calibration(self, values: Values) -> Values:
        """What a volt of a signal stands for."""
        return {"per_volt": self._limit(values["index"]) / _VOLTS, "offset": 0.0}

    @command("Signals.MeasNamesGet")
    async def measured(self, _: Values) -> Values:
        """The signals that measurements can record."""
        return {"names": _MEASURED}

    @command("Signals.AddRTGet")
    async def additional(self, _: Values) -> Values:
        """The additional real-time signals."""
        first, second = (NAMES[index] for index in self._additional)
        return {"names": NAMES, "signal_1": first, "signal_2": second}

    @command("Signals.AddRTSet")
    async def set_additional(self, values: Values) -> Values:
        """Choose the additional real-time signals."""
        self._check(values["signal_1"])
        self._check(values["signal_2"])
        self._additional = (values["signal_1"], values["signal_2"])
        return NOTHING

    @command("Scan.XYPosGet")
    async def scan_position(self, values: Values) -> Values:
        """Where the tip is."""
        return await self._position(values)

    @command("FolMe.XYPosGet")
    async def position(self, values: Values) -> Values:
        """Where the tip is."""
        return await self._position(values)

    async def _position(self, values: Values) -> Values:
        await self.sampled(newest=bool(values["wait_newest"]))
        return {"x_m": self.value(X), "y_m": self.value(Y)}

    def _check(self, index: int) -> None:
        if not 0 <= index < _COUNT:
            raise Refusal(f"There is no signal with index {index}.")

    def _limit(self, index: int) -> float:
        self._check(index)
        world = self._instrument.world
        limits = {
            CURRENT: world.preset.controller.saturation_na * 1e-9,
            X: world.range_m[0] / 2,
            Y: world.range_m[1] / 2,
            Z: world.range_m[2] / 2,
        }
        return limits.get(index, _VOLTS)
