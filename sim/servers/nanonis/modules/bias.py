"""Bias and tunnelling current."""

from __future__ import annotations

from drivers import Feedback
from drivers.nanonis.codes import PulseHold, PulseReference
from drivers.outcome import Trace
from sim.servers.nanonis.handlers import LONGEST_S, NOTHING, Refusal, Values, command, require
from sim.servers.nanonis.instrument import Instrument
from sim.world import World

_RANGE_V = 10.0
_SHORTEST_S = 1e-9
_GAINS = tuple(f"LN 10^{n}" for n in range(3, 10)) + tuple(f"HS 10^{n}" for n in range(5, 12))
_FILTERS = ("Full BW", "10 Hz", "1 Hz")


class Bias:
    """The modules Bias and Current."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        # A pulse may leave these as they were for the last one.
        self._hold = PulseHold.HOLD
        self._reference = PulseReference.ABSOLUTE
        self._gain = 6
        self._filter = 0

    @command("Bias.Set")
    async def set(self, values: Values) -> Values:
        """Set the bias."""
        bias_v = values["bias_v"]
        require("bias", bias_v, -_RANGE_V, _RANGE_V)
        self._instrument.act(lambda world: world.set_bias(bias_v))
        return NOTHING

    @command("Bias.Get")
    async def get(self, _: Values) -> Values:
        """The bias."""
        return {"bias_v": self._instrument.world.bias_v}

    @command("Bias.Pulse")
    async def pulse(self, values: Values) -> Values:
        """Apply a voltage pulse."""
        if values["hold"] != PulseHold.KEEP:
            self._hold = values["hold"]
        if values["reference"] != PulseReference.KEEP:
            self._reference = values["reference"]
        relative = self._reference == PulseReference.RELATIVE
        base_v = self._instrument.world.bias_v if relative else 0.0
        bias_v, width_s = base_v + values["bias_v"], values["width_s"]
        require("bias", bias_v, -_RANGE_V, _RANGE_V)
        require("pulse width", width_s, _SHORTEST_S, LONGEST_S)
        held = self._hold == PulseHold.HOLD
        self._instrument.act(lambda world: _pulse(world, bias_v, width_s, held=held))
        # Without waiting, the pulse still happens now and later commands come after it.
        if values["wait"]:
            await self._instrument.settle()
        return NOTHING

    @command("Current.Get")
    async def current(self, _: Values) -> Values:
        """The tunnelling current."""
        return {"current_a": self._instrument.reading()[0]}

    @command("Current.100Get")
    async def current_100(self, _: Values) -> Values:
        """The current of the module Current 100, which this controller does not have."""
        raise Refusal("Module not available")

    @command("Current.GainSet")
    async def set_gain(self, values: Values) -> Values:
        """Choose gain and filter of the preamplifier; the simulated one is always the same."""
        gain, filter_index = values["gain"], values.get("filter", -1)
        if not (0 <= gain < len(_GAINS) and -1 <= filter_index < len(_FILTERS)):
            raise Refusal("The gain or filter index is out of range.")
        self._gain = gain
        if filter_index >= 0:
            self._filter = filter_index
        return NOTHING

    @command("Current.GainsGet")
    async def gains(self, _: Values) -> Values:
        """The gains and filters to choose from, and those chosen."""
        return {
            "gains": _GAINS,
            "gain": self._gain,
            "filters": _FILTERS,
            "filter": self._filter,
        }


def _pulse(world: World, bias_v: float, width_s: float, *, held: bool) -> Trace | None:
    if world.feedback is Feedback.WITHDRAWN:
        # A controller pulses into the void as well; nothing happens to the tip.
        world.advance(width_s)
        return None
    return world.pulse(bias_v, width_s, held)
