"""The tunnelling point: bias in small steps, never through zero with the feedback closed."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.actions import TunnellingPoint
from drivers.errors import InstrumentError
from drivers.microscope import Feedback
from drivers.nanonis.session import Session
from drivers.nanonis.settings import Settings
from drivers.nanonis.zcontrol import MIN_BIAS_V, ZControl

_log = logging.getLogger(__name__)

STEP_V = 0.05
RATE_V_PER_S = 1.0
# Lifts the tip out of reach while the bias, and with it the current, passes through any value.
_CROSSING_LIFT_M = 1e-9
_SETTLE_S = 0.2
_SAME_V = 1e-6

#: The name of bias and setpoint among what is owed.
POINT = "point"


def ramp_steps(start_v: float, end_v: float) -> tuple[float, ...]:
    """The biases to set, one after the other, to get from one bias to another.

    Equal steps of at most 50 mV, without ``start_v`` and ending exactly on ``end_v``.
    """
    # A step that only rounding makes too large does not count as one.
    count = math.ceil(abs(end_v - start_v) / STEP_V - 1e-6)
    inner = (start_v + (end_v - start_v) * i / count for i in range(1, count))
    return (*inner, end_v) if start_v != end_v else ()


class WorkingPoint:
    """Bias and setpoint of one controller; sample bias everywhere, whatever the wiring."""

    def __init__(self, session: Session, settings: Settings, z: ZControl) -> None:
        self._session = session
        self._settings = settings
        self._z = z
        self._operators: TunnellingPoint | None = None
        self._ours: TunnellingPoint | None = None
        self._looked = False

    @property
    def borrowed(self) -> bool:
        """Whether there is a point of the operator's to go back to."""
        return self._operators is not None

    async def get(self) -> tuple[float, float]:
        """Sample bias (V) and current setpoint (A)."""
        bias_v = (await self._session.read("Bias.Get"))["bias_v"]
        setpoint_a = (await self._session.read("ZCtrl.SetpntGet"))["setpoint_a"]
        return self.controller_bias(bias_v), setpoint_a

    def controller_bias(self, sample_v: float) -> float:
        """The controller's bias for a sample bias, and the other way round."""
        return self._session.options.bias_sign * sample_v

    async def engage(self, at: TunnellingPoint) -> None:
        """Hold the tunnelling contact at ``at``; a held tip is only let go once that is set.

        Raises:
            ContactLost: the tip is withdrawn, or the feedback cannot be switched on.
            InstrumentError: the controller did not take a value over.
        """
        held = await self._z.within_reach() is Feedback.HELD
        await self.set(at)
        await self._z.engage()
        if held:
            await self._session.pause(_SETTLE_S)

    async def remember(self) -> None:
        """Note where the operator has the tip, until another point is first set.

        Raises:
            FileError: it cannot be kept.
        """
        if self._looked or self._operators is not None:
            return
        bias_v, setpoint_a = await self.get()
        # Only a point at which the feedback holds the tip is one that it can be brought back to.
        feedback = await self._z.feedback()
        if feedback is Feedback.ON and abs(bias_v) >= MIN_BIAS_V and setpoint_a > 0:
            self._operators = TunnellingPoint(bias_v=bias_v, setpoint_a=setpoint_a)
            await self._owe(_values(self._operators))

    async def set(self, at: TunnellingPoint) -> None:
        """Go to a tunnelling point, keeping the conductance below that of both ends.

        Raises:
            InstrumentError: the controller did not take a value over.
            ContactLost: the feedback did not come back after the bias went through zero.
            FileError: what is changed cannot be kept; nothing was set.
        """
        await self.remember()
        self._looked = True
        bias_v, setpoint_a = await self.get()
        start = {"bias_v": bias_v, "setpoint_a": setpoint_a}
        if not _same(start, _values(at)):
            await self._owe(start, _values(at))
        self._ours = None
        # The tip comes closest where bias is low and setpoint high at once, so a lower setpoint
        # is set before the bias moves and a higher one after.
        lowered = at.setpoint_a < setpoint_a
        if lowered:
            await self._settings.write("ZCtrl.Setpnt", setpoint_a=at.setpoint_a)
        moved = await self._ramp(bias_v, at.bias_v)
        if not lowered and not math.isclose(at.setpoint_a, setpoint_a, rel_tol=1e-6):
            await self._settings.write("ZCtrl.Setpnt", setpoint_a=at.setpoint_a)
            moved = True
        self._ours = at
        await self._owe(_values(at))
        if moved or lowered:
            await self._session.pause(_SETTLE_S)

    async def restore(self) -> None:
        """Go back to the operator's tunnelling point.

        A tip without feedback is left as it is, and so is a point that somebody else has set; in
        either case nothing is owed any more.

        Raises:
            InstrumentError: it could not be reached.
        """
        at = self._operators
        if at is None:
            return
        try:
            if await self._z.feedback() is Feedback.ON and await self._is_ours():
                await self.set(at)
            await self._settings.debts.settle(POINT)
        except InstrumentError as error:
            raise InstrumentError(
                f"bias and setpoint are not back at the operator's {at.bias_v:g} V and "
                f"{at.setpoint_a * 1e12:g} pA ({error}); set them by hand"
            ) from error

    async def take_up(self, debt: Mapping[str, Any]) -> None:
        """Go back in the end to where the operator had it before an earlier program.

        Not if it was changed since: then the point is as any that is found.

        Raises:
            InstrumentError: it cannot be read.
            LookupError, ValueError: the debt is not one of this version.
        """
        bias_v, setpoint_a = await self.get()
        found = {"bias_v": bias_v, "setpoint_a": setpoint_a}
        if not any(_same(found, one) for one in (debt["before"], *_passed(debt["left"]))):
            _log.warning("bias and setpoint were changed since the run before and stay so")
            await self._settings.debts.settle(POINT)
            return
        self._operators = TunnellingPoint(**debt["before"])
        self._ours = TunnellingPoint(**found)
        self._looked = True

    async def _owe(self, *left: Mapping[str, float]) -> None:
        if self._operators is not None:
            await self._settings.debts.owe(POINT, _values(self._operators), *left)

    async def _is_ours(self) -> bool:
        """Whether nobody has set another point since; one that was not reached counts as ours."""
        if self._ours is None:
            return True
        bias_v, setpoint_a = await self.get()
        return _same({"bias_v": bias_v, "setpoint_a": setpoint_a}, _values(self._ours))

    async def _ramp(self, start_v: float, end_v: float) -> bool:
        """Ramp the sample bias; whether there was anything to do."""
        if math.isclose(start_v, end_v, rel_tol=1e-6, abs_tol=_SAME_V):
            return False
        if start_v * end_v <= 0 and await self._z.feedback() is Feedback.ON:
            async with self._z.held(_CROSSING_LIFT_M):
                await self._walk(start_v, end_v)
        else:
            await self._walk(start_v, end_v)
        return True

    async def _walk(self, start_v: float, end_v: float) -> None:
        for step_v in ramp_steps(start_v, end_v):
            await self._session.call("Bias.Set", bias_v=self.controller_bias(step_v))
            await self._session.clock.sleep(STEP_V / RATE_V_PER_S)
        found_v, _ = await self.get()
        if not math.isclose(found_v, end_v, rel_tol=1e-5, abs_tol=_SAME_V):
            raise InstrumentError(
                f"the bias was set to {end_v:g} V and reads {found_v:g} V; "
                "check the controller's bias range and who else is setting it"
            )


def _passed(left: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Every point at which the way between the points of ``left`` may have broken off."""
    first, last = left[0], left[-1]
    ramp = (first["bias_v"], *ramp_steps(first["bias_v"], last["bias_v"]))
    setpoints = (first["setpoint_a"], last["setpoint_a"])
    return [{"bias_v": bias, "setpoint_a": setpoint} for bias in ramp for setpoint in setpoints]


def _same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    same_bias = math.isclose(one["bias_v"], other["bias_v"], rel_tol=1e-5, abs_tol=_SAME_V)
    return same_bias and math.isclose(one["setpoint_a"], other["setpoint_a"], rel_tol=1e-5)


def _values(at: TunnellingPoint) -> dict[str, float]:
    return {"bias_v": float(at.bias_v), "setpoint_a": float(at.setpoint_a)}
