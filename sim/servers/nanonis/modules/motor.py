"""The coarse motor; Z+ retracts the tip."""

from __future__ import annotations

from functools import partial

from drivers.nanonis.codes import MotorDirection
from sim.servers.nanonis.handlers import NOTHING, Refusal, Values, command
from sim.servers.nanonis.instrument import Activity, Instrument
from sim.world import World

_WAYS: dict[MotorDirection, tuple[int, int, int]] = {
    MotorDirection.X_PLUS: (1, 0, 0),
    MotorDirection.X_MINUS: (-1, 0, 0),
    MotorDirection.Y_PLUS: (0, 1, 0),
    MotorDirection.Y_MINUS: (0, -1, 0),
    MotorDirection.Z_PLUS: (0, 0, 1),
    MotorDirection.Z_MINUS: (0, 0, -1),
}
#: Steps between two chances to stop the motor.
_BURST = 5
_MOST_GROUP = 5


class Motor:
    """The module Motor Control, with open-loop piezo steppers and without encoders."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._moving = Activity()
        self._counters = [0, 0, 0]

    def stop(self) -> None:
        """End what goes on by itself."""
        self._moving.stop()

    def count_approach_step(self) -> None:
        """The automatic approach has made a step with this motor."""
        self._counters[2] -= 1

    @command("Motor.StartMove")
    async def move(self, values: Values) -> Values:
        """Make steps in one direction."""
        if values["group"] > _MOST_GROUP:
            raise Refusal("There is no motor group with this index.")
        # A new move replaces one that still runs, as the controller has one motor output.
        self._moving.start(self._steps(_WAYS[values["direction"]], values["steps"]))
        if values["wait"]:
            await self._moving.wait()
        return NOTHING

    @command("Motor.StopMove")
    async def stop_move(self, _: Values) -> Values:
        """Stop the motor."""
        self._moving.stop()
        return NOTHING

    @command("Motor.StepCounterGet")
    async def counters(self, values: Values) -> Values:
        """The steps made along each axis; each counter can be reset after it was read."""
        counted = dict(zip("xyz", self._counters, strict=True))
        for axis, name in enumerate("xyz"):
            if values[f"reset_{name}"]:
                self._counters[axis] = 0
        return counted

    @command("Motor.StartClosedLoop")
    async def closed_loop(self, _: Values) -> Values:
        """Refused: the motor has no encoders."""
        raise Refusal("Closed loop operation is not available for this motor.")

    @command("Motor.PosGet")
    async def position(self, _: Values) -> Values:
        """Refused: the motor has no encoders."""
        raise Refusal("The position is not available for this motor.")

    async def _steps(self, way: tuple[int, int, int], steps: int) -> None:
        with self._instrument.driven():
            while steps > 0:
                burst = min(steps, _BURST)
                x, y, z = (sign * burst for sign in way)
                await self._instrument.perform(
                    partial(World.motor, x_steps=x, y_steps=y, z_steps=z)
                )
                self._counters = [c + s for c, s in zip(self._counters, (x, y, z), strict=True)]
                steps -= burst
