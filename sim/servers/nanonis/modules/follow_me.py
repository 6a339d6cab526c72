"""Moving the tip to a place."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from drivers.nanonis.codes import Switch
from sim.servers.nanonis.handlers import NOTHING, Refusal, Values, command, require
from sim.servers.nanonis.instrument import Activity, Instrument
from sim.servers.nanonis.settings import Settings
from sim.world import World

#: Instrument time between two chances to stop the tip (s).
_STRETCH_S = 0.1
_SPEEDS_M_PER_S = (1e-15, 1e-2)


class FollowMe:
    """The module Follow Me.

    Args:
        instrument: what it moves.
        settings: where its speed is kept.
        scan_speed: speed of the scan (m/s), used unless a speed of its own is chosen.
    """

    def __init__(
        self, instrument: Instrument, settings: Settings, scan_speed: Callable[[], float]
    ) -> None:
        self._instrument = instrument
        self._settings = settings
        self._scan_speed = scan_speed
        self._moving = Activity()

    def stop(self) -> None:
        """End what goes on by itself."""
        self._moving.stop()

    @command("FolMe.XYPosSet")
    async def move(self, values: Values) -> Values:
        """Move the tip."""
        x_m, y_m = values["x_m"], values["y_m"]
        range_m = self._instrument.world.range_m
        if abs(x_m) > range_m[0] / 2 or abs(y_m) > range_m[1] / 2:
            raise Refusal("The position is outside the range of the scanner.")
        self._moving.start(self._move(x_m, y_m, self._speed()))
        if values["wait"]:
            await self._moving.wait()
        return NOTHING

    @command("FolMe.Stop")
    async def stop_move(self, _: Values) -> Values:
        """Stop the tip."""
        self._moving.stop()
        return NOTHING

    @command("FolMe.SpeedSet")
    async def set_speed(self, values: Values) -> Values:
        """Set the speed of moves."""
        require("speed", values["speed_m_per_s"], *_SPEEDS_M_PER_S)
        self._settings.write("FolMe.Speed", values)
        return NOTHING

    def _speed(self) -> float:
        chosen = self._settings.read("FolMe.Speed")
        own: float = chosen["speed_m_per_s"]
        return own if chosen["custom"] == Switch.ON else self._scan_speed()

    async def _move(self, x_m: float, y_m: float, speed_m_per_s: float) -> None:
        world = self._instrument.world
        x0_m, y0_m = world.x_m, world.y_m
        distance_m = math.hypot(x_m - x0_m, y_m - y0_m)
        # In stretches, so that the tip is where it should be when it is stopped or looked at.
        stretches = max(math.ceil(distance_m / speed_m_per_s / _STRETCH_S), 1)
        with self._instrument.driven():
            for n in range(1, stretches + 1):
                x = x0_m + (x_m - x0_m) * n / stretches
                y = y0_m + (y_m - y0_m) * n / stretches
                await self._instrument.perform(
                    partial(World.move, x_m=x, y_m=y, speed_m_per_s=speed_m_per_s)
                )
