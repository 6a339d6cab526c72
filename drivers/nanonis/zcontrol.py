"""The z controller: feedback on, held, withdrawn, and never in between without being checked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from drivers.errors import CommandFailed, ContactLost, InstrumentError
from drivers.microscope import Feedback
from drivers.nanonis.codes import ScanAction, ScanDirection, Switch, ZStatus
from drivers.nanonis.session import Session, Z
from drivers.nanonis.settings import Settings

_log = logging.getLogger(__name__)

#: Bias below which no feedback is closed (V): towards 0 V it drives the tip into the sample.
MIN_BIAS_V = 1e-3
#: Wall-clock time for which withdrawing is tried again when the controller does not answer (s).
WITHDRAW_DEADLINE_S = 20.0
#: Time that a rig may take to withdraw once it was told to (s).
WITHDRAW_S = 120.0
# Wall-clock time allowed for an answer: to a stop, and to what pulls the tip back or tells it.
_STOP_S = 0.5
_ANSWER_S = 3.0
_RETRY_S = 0.25

_POLL_S = 0.05
_SWITCH_S = 5.0
_WITHDRAW_POLL_S = 0.2
# The height at which the tip is held is averaged, so that noise of one moment does not count.
_HOLD_AVERAGE_S = 0.05
_LIFT_TOLERANCE_M = 50e-12
_SAFE_TIP = (
    "SafeTip has withdrawn the tip; find out why, then approach again "
    "(the z controller reports SAFE_TIP)"
)
# How close to the upper end of its range the tip counts as withdrawn.
_END_FRACTION = 0.01


class ZControl:
    """Feedback and withdrawal of one controller."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings

    async def feedback(self, z_m: float | None = None) -> Feedback:
        """What the controller does; ``z_m`` spares a reading if it was just taken."""
        status = await self._status()
        if status in (ZStatus.ON, ZStatus.SWITCHING_OFF):
            return Feedback.ON
        if status is ZStatus.WITHDRAWING:
            return Feedback.WITHDRAWN
        # Off, on hold or after a SafeTip event: only the height tells how far the sample is.
        if z_m is None:
            (z_m,) = await self._session.signals(Z)
        return Feedback.WITHDRAWN if z_m >= await self.withdrawn_from() else Feedback.HELD

    async def withdrawn_from(self) -> float:
        """Height from which on a tip counts as withdrawn, by the z range and its limits (m)."""
        range_m: float = (await self._session.read("Piezo.RangeGet"))["z_m"]
        limits_m = await self.limits()
        top_m = range_m / 2 if limits_m is None else min(range_m / 2, limits_m[1])
        return top_m - _END_FRACTION * range_m

    async def limits(self) -> tuple[float, float] | None:
        """Lowest and highest z that the controller allows (m), or None where it limits nothing."""
        if (await self._session.read("ZCtrl.LimitsEnabledGet"))["status"] is not Switch.ON:
            return None
        limits = await self._session.read("ZCtrl.LimitsGet")
        return limits["low_m"], limits["high_m"]

    async def within_reach(self) -> Feedback:
        """What the controller does with a tip that is near the sample: ON or HELD.

        Raises:
            ContactLost: the tip is withdrawn, or being withdrawn.
        """
        if await self._status() is ZStatus.SAFE_TIP:
            raise ContactLost(_SAFE_TIP)
        feedback = await self.feedback()
        if feedback is Feedback.WITHDRAWN:
            raise ContactLost("the tip is withdrawn; approach before working on the surface")
        return feedback

    async def engage(self) -> None:
        """Make sure that the feedback holds the tunnelling contact.

        Raises:
            ContactLost: the tip is withdrawn, or the feedback cannot be switched on.
            InstrumentError: the feedback is off and the bias too low to switch it on.
        """
        if await self.within_reach() is Feedback.HELD:
            bias_v = (await self._session.read("Bias.Get"))["bias_v"]
            if abs(bias_v) < MIN_BIAS_V:
                raise InstrumentError(
                    f"the feedback is off and the bias is {bias_v * 1e3:.2g} mV, at which "
                    "switching the feedback on would drive the tip into the sample; set a bias of "
                    f"at least {MIN_BIAS_V * 1e3:g} mV first"
                )
            await self._session.call("ZCtrl.OnOffSet", status=Switch.ON)
        await self.expect_on()

    async def expect_on(self) -> None:
        """Wait until the feedback is on.

        Raises:
            ContactLost: it is not.
        """
        if await self._reaches(ZStatus.ON, _SWITCH_S):
            return
        status = await self._status()
        if status is ZStatus.SAFE_TIP:
            raise ContactLost(_SAFE_TIP)
        raise ContactLost(
            f"the z controller should be on and reports {status.name}; look at the instrument"
        )

    @asynccontextmanager
    async def held(self, lift_m: float) -> AsyncGenerator[None]:
        """Hold z, ``lift_m`` farther from the sample than the feedback had it, then let it go on.

        If the context fails or is left early, z stays held and lifted: at a bias that nobody knows,
        the feedback might drive the tip into the sample.

        Raises:
            ContactLost: the feedback cannot be switched off, or not on again.
        """
        # The operator's own lift on switching off may well be towards the sample.
        await self._settings.borrow("ZCtrl.TipLift", lift_m=0.0)
        await self._settings.borrow("ZCtrl.SwitchOffDelay", delay_s=_HOLD_AVERAGE_S)
        try:
            await self._session.call("ZCtrl.OnOffSet", status=Switch.OFF)
            if not await self._reaches(ZStatus.OFF, _SWITCH_S):
                raise ContactLost("the z controller does not let go of the tip; nothing was done")
            if lift_m:
                await self._lift(lift_m)
        except InstrumentError:
            # Nothing but z has been touched, so the feedback may go on as it was.
            with suppress(InstrumentError):
                await self.engage()
            raise
        yield
        await self.engage()
        await self._settings.give_back("ZCtrl.TipLift")
        await self._settings.give_back("ZCtrl.SwitchOffDelay")

    async def withdraw(self) -> None:
        """Stop whatever runs and pull the tip back to the upper end of the z range.

        As withdrawing twice does no harm, it is sent again, over another connection, until it is
        answered and the tip can be seen to arrive.

        Raises:
            InstrumentError: the tip is not there in time, or the controller did not answer for
                ``WITHDRAW_DEADLINE_S``.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WITHDRAW_DEADLINE_S
        turn = 0 if await self._stop_all() else 1
        while True:
            try:
                arrived = await self._pull_back(turn)
                break
            except (InstrumentError, TimeoutError) as error:
                reason = str(error) or "no answer"
                if loop.time() + _RETRY_S >= deadline:
                    raise InstrumentError(
                        f"the tip was not seen to withdraw within {WITHDRAW_DEADLINE_S:g} s "
                        f"({reason}); withdraw it by hand"
                    ) from error
                _log.warning("withdrawing again: %s", reason)
            turn += 1
            await asyncio.sleep(_RETRY_S)
        if not arrived:
            raise InstrumentError(
                f"the tip was not seen at the upper end of its range after {WITHDRAW_S:g} s; it "
                "may still be moving; look at it now"
            )

    async def _pull_back(self, turn: int) -> bool:
        # Not waiting leaves the connection free for whatever else is urgent.
        await self._session.urge(
            "ZCtrl.Withdraw", turn=turn, within_s=_ANSWER_S, wait=0, timeout_ms=-1
        )
        return await self._session.until(
            self._is_withdrawn, every_s=_WITHDRAW_POLL_S, within_s=WITHDRAW_S
        )

    async def _stop_all(self) -> bool:
        """Stop what may run; whether the usual connection still answered at the end."""
        answered = True
        for name, values in _STOPS:
            try:
                await self._session.urge(name, turn=0, within_s=_STOP_S, **values)
                answered = True
            except InstrumentError as error:
                # Whatever cannot be stopped, the tip must still be pulled back.
                _log.info("before withdrawing: %s", error)
                answered = isinstance(error, CommandFailed)
        return answered

    async def _lift(self, lift_m: float) -> None:
        (z_m,) = await self._session.signals(Z, newest=True)
        target_m = z_m + lift_m
        await self._session.call("ZCtrl.ZPosSet", z_m=target_m)

        async def there() -> bool:
            (z_m,) = await self._session.signals(Z, newest=True)
            return abs(z_m - target_m) < max(_LIFT_TOLERANCE_M, 0.1 * lift_m)

        if not await self._session.until(there, every_s=_POLL_S, within_s=_SWITCH_S):
            raise InstrumentError(
                f"the tip should have been lifted by {lift_m * 1e9:.2g} nm and was not; "
                "check the z range and its limits"
            )

    async def _is_withdrawn(self) -> bool:
        # Each answer has a time of its own: a link may be slow and still tell.
        async with asyncio.timeout(_ANSWER_S):
            status = await self._status()
        # After an event of SafeTip the status may stay as it is.
        if status not in (ZStatus.OFF, ZStatus.SAFE_TIP):
            return False
        async with asyncio.timeout(_ANSWER_S):
            (z_m,) = await self._session.signals(Z)
        async with asyncio.timeout(_ANSWER_S):
            return z_m >= await self.withdrawn_from()

    async def _reaches(self, wanted: ZStatus, within_s: float) -> bool:
        async def there() -> bool:
            return await self._status() is wanted

        return await self._session.until(there, every_s=_POLL_S, within_s=within_s)

    async def _status(self) -> ZStatus:
        status: ZStatus = (await self._session.read("ZCtrl.StatusGet"))["status"]
        return status


#: What withdrawing stops first, most urgent first.
_STOPS: tuple[tuple[str, dict[str, object]], ...] = (
    ("AutoApproach.OnOffSet", {"status": Switch.OFF}),
    ("Motor.StopMove", {}),
    ("Scan.Action", {"action": ScanAction.STOP, "direction": ScanDirection.DOWN}),
    ("FolMe.Stop", {}),
)
