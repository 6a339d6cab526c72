"""The z controller: feedback on, held, withdrawn, and never in between without being checked."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from drivers.errors import ContactLost, InstrumentError
from drivers.microscope import Feedback
from drivers.nanonis.codes import ScanAction, ScanDirection, Switch, ZStatus
from drivers.nanonis.session import Session, Z
from drivers.nanonis.settings import Settings

_log = logging.getLogger(__name__)

_POLL_S = 0.05
_SWITCH_S = 5.0
_WITHDRAW_POLL_S = 0.2
_WITHDRAW_S = 120.0
# The height at which the tip is held is averaged, so that noise of one moment does not count.
_HOLD_AVERAGE_S = 0.05
_LIFT_TOLERANCE_M = 50e-12
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
        range_m = (await self._session.read("Piezo.RangeGet"))["z_m"]
        top_m = range_m / 2
        if (await self._session.read("ZCtrl.LimitsEnabledGet"))["status"] is Switch.ON:
            top_m = min(top_m, (await self._session.read("ZCtrl.LimitsGet"))["high_m"])
        return Feedback.WITHDRAWN if z_m >= top_m - _END_FRACTION * range_m else Feedback.HELD

    async def engage(self) -> None:
        """Make sure that the feedback holds the tunnelling contact.

        Raises:
            ContactLost: the tip is withdrawn, or the feedback cannot be switched on.
        """
        feedback = await self.feedback()
        if feedback is Feedback.WITHDRAWN:
            raise ContactLost("the tip is withdrawn; approach before working on the surface")
        if feedback is Feedback.HELD:
            await self._session.call("ZCtrl.OnOffSet", status=Switch.ON)
        await self.expect_on()

    async def expect_on(self) -> None:
        """Wait until the feedback is on.

        Raises:
            ContactLost: it is not.
        """
        if not await self._reaches(ZStatus.ON, _SWITCH_S):
            raise ContactLost(
                f"the z controller should be on and reports {(await self._status()).name}; "
                "look at the instrument"
            )

    @asynccontextmanager
    async def held(self, lift_m: float) -> AsyncGenerator[None]:
        """Hold z, ``lift_m`` farther from the sample than the feedback had it, then let it go on.

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
            yield
        finally:
            await self._session.call("ZCtrl.OnOffSet", status=Switch.ON)
            await self.expect_on()
        await self._settings.give_back("ZCtrl.TipLift")
        await self._settings.give_back("ZCtrl.SwitchOffDelay")

    async def withdraw(self) -> None:
        """Stop whatever runs and pull the tip back to the upper end of the z range.

        Raises:
            InstrumentError: the tip is not there in time.
        """
        for name, values in _STOPS:
            try:
                await self._session.call(name, **values)
            except InstrumentError as error:
                # Whatever cannot be stopped, the tip must still be pulled back.
                _log.info("before withdrawing: %s", error)
        # Not waiting leaves the connection free for whatever else is urgent.
        await self._session.call("ZCtrl.Withdraw", wait=0, timeout_ms=-1)
        if not await self._session.until(
            self._is_withdrawn, every_s=_WITHDRAW_POLL_S, within_s=_WITHDRAW_S
        ):
            raise InstrumentError(
                f"the tip has not reached the upper end of its range within {_WITHDRAW_S:g} s of "
                "being withdrawn; look at the instrument"
            )

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
        status = await self._status()
        return status is ZStatus.OFF and await self.feedback() is Feedback.WITHDRAWN

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
