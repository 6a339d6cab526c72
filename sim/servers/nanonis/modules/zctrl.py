"""The z controller, with the protection of the tip and the automatic approach."""

from __future__ import annotations

from collections.abc import Callable

from drivers import Feedback
from drivers.nanonis.codes import Home, Switch, ZStatus
from sim.servers.nanonis.handlers import LONGEST_S, NOTHING, Refusal, Values, command, require
from sim.servers.nanonis.instrument import Activity, Instrument
from sim.servers.nanonis.settings import Settings

_CONTROLLERS = ("log Current",)
# Wide of anything sensible: these only keep nonsense out of the simulation.
_SMALLEST_SETPOINT_A = 1e-14
_P_GAINS_M = (1e-18, 1e-6)
_TIME_CONSTANTS_S = (1e-9, 1e3)


class ZController:
    """The modules ZCtrl and AutoApproach.

    Args:
        instrument: what is controlled.
        settings: where delays, limits and the home position are kept.
        count_step: called after every step of the motor during an approach.

    Attributes:
        tripped: whether the protection of the tip has switched the controller off.
    """

    def __init__(
        self, instrument: Instrument, settings: Settings, count_step: Callable[[], None]
    ) -> None:
        self._instrument = instrument
        self._settings = settings
        self._count_step = count_step
        self._approach = Activity()
        half_m = instrument.world.range_m[2] / 2
        self._limits_m = (half_m, -half_m)
        self._switching_until_s = 0.0
        self._withdrawing_until_s = 0.0
        self.tripped = False

    def stop(self) -> None:
        """End what goes on by itself."""
        self._approach.stop()

    @command("ZCtrl.ZPosSet")
    async def set_z(self, values: Values) -> Values:
        """Move the tip to a height; only with the controller off."""
        if self._instrument.world.feedback is Feedback.ON:
            raise Refusal("The Z position cannot be set while the Z-Controller is on.")
        self._move_to(values["z_m"])
        return NOTHING

    @command("ZCtrl.ZPosGet")
    async def z(self, _: Values) -> Values:
        """The height of the tip."""
        return {"z_m": self._instrument.reading()[1]}

    @command("ZCtrl.OnOffSet")
    async def switch(self, values: Values) -> Values:
        """Switch the controller; off takes the delay that averages z, and lifts the tip."""
        self.tripped = False
        if values["status"] == Switch.ON:
            # Switched on in the middle of a withdrawal, the tip turns round.
            self._withdrawing_until_s = self._switching_until_s = 0.0
            self._instrument.act(lambda world: world.set_feedback(True))
        elif self._instrument.world.feedback is Feedback.ON:
            self._switch_off()
        return NOTHING

    @command("ZCtrl.OnOffGet")
    async def switched(self, _: Values) -> Values:
        """Whether the controller is on; it stays on during the switch-off delay."""
        on = self._status() in (ZStatus.ON, ZStatus.SWITCHING_OFF)
        return {"status": Switch.ON if on else Switch.OFF}

    @command("ZCtrl.StatusGet")
    async def status(self, _: Values) -> Values:
        """What the controller is doing."""
        return {"status": self._status()}

    @command("ZCtrl.SetpntSet")
    async def set_setpoint(self, values: Values) -> Values:
        """Set the current setpoint."""
        # Beyond what the preamplifier can show, no controller could hold the current.
        largest_a = self._instrument.world.preset.controller.saturation_na * 1e-9
        require("setpoint", values["setpoint_a"], _SMALLEST_SETPOINT_A, largest_a)
        self._instrument.act(lambda world: world.set_setpoint(values["setpoint_a"]))
        return NOTHING

    @command("ZCtrl.SetpntGet")
    async def setpoint(self, _: Values) -> Values:
        """The current setpoint."""
        return {"setpoint_a": self._instrument.world.setpoint_a}

    @command("ZCtrl.GainSet")
    async def set_gains(self, values: Values) -> Values:
        """Set the gains; the integral gain follows from the other two."""
        p_gain_m, time_constant_s = values["p_gain_m"], values["time_constant_s"]
        require("P-gain", p_gain_m, *_P_GAINS_M)
        require("time constant", time_constant_s, *_TIME_CONSTANTS_S)
        self._instrument.act(lambda world: world.set_gains(p_gain_m, time_constant_s))
        return NOTHING

    @command("ZCtrl.GainGet")
    async def gains(self, _: Values) -> Values:
        """The gains."""
        world = self._instrument.world
        return {
            "p_gain_m": world.p_gain_m,
            "time_constant_s": world.time_constant_s,
            "i_gain_m_per_s": world.p_gain_m / world.time_constant_s,
        }

    @command("ZCtrl.Home")
    async def home(self, _: Values) -> Values:
        """Switch off and move to the home position."""
        # Unlike switching off by hand, this neither averages z nor lifts the tip first.
        props = self._settings.read("ZCtrl.HomeProps")
        self._instrument.act(lambda world: world.set_feedback(False))
        start_m = self._instrument.world.z_m if props["mode"] == Home.RELATIVE else 0.0
        self._move_to(start_m + props["home_m"])
        return NOTHING

    @command("ZCtrl.ActiveCtrlSet")
    async def choose(self, values: Values) -> Values:
        """Choose a controller; there is one."""
        if values["index"] != 0:
            raise Refusal("There is no Z-Controller with this index.")
        return NOTHING

    @command("ZCtrl.CtrlListGet")
    async def controllers(self, _: Values) -> Values:
        """The controllers to choose from."""
        return {"controllers": _CONTROLLERS, "index": 0}

    @command("ZCtrl.Withdraw")
    async def withdraw(self, values: Values) -> Values:
        """Switch off and pull the tip to the upper end of the range."""
        self.pull_back()
        if values["wait"]:
            await self._instrument.until_or_timeout(self._withdrawing_until_s, values["timeout_ms"])
        return NOTHING

    @command("ZCtrl.LimitsSet")
    async def set_limits(self, values: Values) -> Values:
        """Set the limits of z; only while they are enabled."""
        if self._settings.read("ZCtrl.LimitsEnabled")["status"] != Switch.ON:
            raise Refusal(
                "The limits cannot be applied because the limitation of the Z position is not "
                "enabled yet"
            )
        self._limits_m = (values["high_m"], values["low_m"])
        return NOTHING

    @command("ZCtrl.LimitsGet")
    async def limits(self, _: Values) -> Values:
        """The limits of z."""
        return {"high_m": self._limits_m[0], "low_m": self._limits_m[1]}

    @command("AutoApproach.Open")
    async def open_approach(self, _: Values) -> Values:
        """Open the module."""
        return NOTHING

    @command("AutoApproach.OnOffSet")
    async def set_approach(self, values: Values) -> Values:
        """Start or stop the approach, which goes on by itself."""
        if values["status"] == Switch.OFF:
            self._approach.stop()
        elif not self._approach.running:
            # Approaching is a decision of the operator, as is switching the controller on.
            self.tripped = False
            self._approach.start(self._step_closer())
        return NOTHING

    @command("AutoApproach.OnOffGet")
    async def approaching(self, _: Values) -> Values:
        """Whether an approach goes on."""
        return {"status": Switch.ON if self._approach.running else Switch.OFF}

    def pull_back(self) -> None:
        """Switch off and withdraw."""
        # An approach that went on would bring the tip straight back.
        self._approach.stop()
        self._instrument.act(lambda world: world.withdraw())
        self._withdrawing_until_s = self._instrument.world.time_s

    async def _step_closer(self) -> None:
        with self._instrument.driven():
            # Clients poll until this ends, and some without a time-out; it always ends.
            while not await self._instrument.perform(lambda world: world.approach_step()):
                self._count_step()

    def _switch_off(self) -> None:
        delay_s = self._settings.read("ZCtrl.SwitchOffDelay")["delay_s"]
        require("switch-off delay", delay_s, 0.0, LONGEST_S)
        lift_m = self._settings.read("ZCtrl.TipLift")["lift_m"]
        self._instrument.act(lambda world: world.advance(delay_s))
        self._switching_until_s = self._instrument.world.time_s
        self._instrument.act(lambda world: world.set_feedback(False))
        if lift_m:
            self._move_to(self._instrument.world.z_m + lift_m)

    def _move_to(self, z_m: float) -> None:
        """Move the held tip to ``z_m``, or as far as the range and the limits let it."""
        half_m = self._instrument.world.range_m[2] / 2
        high_m, low_m = half_m, -half_m
        if self._settings.read("ZCtrl.LimitsEnabled")["status"] == Switch.ON:
            high_m, low_m = min(high_m, self._limits_m[0]), max(low_m, self._limits_m[1])
        world = self._instrument.world
        distance_m = min(max(z_m, low_m), high_m) - world.z_m
        if world.feedback is Feedback.WITHDRAWN and distance_m >= 0:
            # The tip is at the upper end already, where a controller stops without complaint.
            return
        self._instrument.act(lambda world: world.shift_z(distance_m))

    def _status(self) -> ZStatus:
        now_s = self._instrument.now()
        if self.tripped:
            return ZStatus.SAFE_TIP
        if now_s < self._withdrawing_until_s:
            return ZStatus.WITHDRAWING
        if now_s < self._switching_until_s:
            return ZStatus.SWITCHING_OFF
        on = self._instrument.world.feedback is Feedback.ON
        return ZStatus.ON if on else ZStatus.OFF
