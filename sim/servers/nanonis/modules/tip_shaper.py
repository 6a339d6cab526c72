"""The tip shaper: a push of the tip into the sample along a fixed sequence of ramps."""

from __future__ import annotations

from typing import Any

from drivers import Feedback
from drivers.nanonis.codes import Switch
from drivers.outcome import Trace
from sim.servers.nanonis.handlers import LONGEST_S, NOTHING, Refusal, Values, command, require
from sim.servers.nanonis.instrument import Instrument
from sim.servers.nanonis.settings import Settings
from sim.world import World

_NOT_OPEN = "Cannot access the Tip Shaper module. \nPlease make sure it is running."
_GROUP = "TipShaper.Props"


class TipShaper:
    """The module Tip Shaper.

    Args:
        instrument: what it acts on.
        settings: where its parameters are kept.
        window_open: whether its window is open; no command can open it.
    """

    def __init__(self, instrument: Instrument, settings: Settings, *, window_open: bool) -> None:
        self._instrument = instrument
        self._settings = settings
        self._window_open = window_open

    @command("TipShaper.PropsSet")
    async def set_props(self, values: Values) -> Values:
        """Set the parameters."""
        self._need_window()
        reach_m = self._instrument.world.range_m[2]
        for name, value in values.items():
            if name.endswith("_s"):
                require(name.removesuffix("_s"), value, 0.0, LONGEST_S)
            elif name.endswith("_m"):
                require(name.removesuffix("_m"), value, -reach_m, reach_m)
        self._settings.write(_GROUP, values)
        return NOTHING

    @command("TipShaper.PropsGet")
    async def props(self, _: Values) -> Values:
        """The parameters."""
        self._need_window()
        return self._settings.read(_GROUP)

    @command("TipShaper.Start")
    async def start(self, values: Values) -> Values:
        """Run the sequence."""
        self._need_window()
        # One sequence without gaps, however long the simulation takes to work it out.
        with self._instrument.driven():
            self._shape(dict(self._settings.read(_GROUP)))
        if values["wait"]:
            await self._instrument.until_or_timeout(
                self._instrument.world.time_s, values["timeout_ms"]
            )
        return NOTHING

    def _shape(self, props: dict[str, Any]) -> None:
        act = self._instrument.act
        world = self._instrument.world
        before_v = world.bias_v
        # The order and the waits are those of the controller's own sequence; z is averaged under
        # feedback first, because everything after is counted from that height.
        act(lambda world: world.advance(props["switch_off_delay_s"]))
        act(lambda world: world.set_feedback(False))
        if props["change_bias"] == Switch.ON:
            act(lambda world: world.set_bias(props["bias_v"]))
            act(lambda world: world.advance(props["bias_settling_s"]))
        act(lambda world: _ramps(world, props))
        act(lambda world: world.set_bias(before_v))
        act(lambda world: world.advance(props["end_wait_s"]))
        if props["restore_feedback"] == Switch.ON and world.feedback is Feedback.HELD:
            act(lambda world: world.set_feedback(True))

    def _need_window(self) -> None:
        if not self._window_open:
            raise Refusal(_NOT_OPEN)


def _ramps(world: World, props: dict[str, Any]) -> Trace | None:
    down_s, dwell_s, up_s = (
        props["lift_time_1_s"],
        props["bias_settling_s"],
        props["lift_time_2_s"],
    )
    if world.feedback is Feedback.WITHDRAWN:
        # Out of reach of the sample the sequence runs without meeting anything.
        world.advance(down_s + dwell_s + up_s)
        return None
    if props["tip_lift_m"] < 0:
        return world.indent(
            depth_m=-props["tip_lift_m"],
            approach_time_s=down_s,
            contact_bias_v=props["bias_lift_v"],
            dwell_s=dwell_s,
            lift_m=props["lift_height_m"],
            lift_time_s=up_s,
            average_s=0.0,
            restore_feedback=False,
        )
    # A first ramp away from the surface is allowed, and touches nothing.
    world.shift_z(props["tip_lift_m"])
    world.set_bias(props["bias_lift_v"])
    world.advance(down_s + dwell_s)
    world.shift_z(props["lift_height_m"])
    world.advance(up_s)
    return None
