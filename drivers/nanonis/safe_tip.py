"""The controller's own protection, out of the way only while an action touches the sample."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from drivers.errors import InstrumentError
from drivers.finishing import finish
from drivers.nanonis.codes import SetSwitch, Switch
from drivers.nanonis.rig import Rig

_log = logging.getLogger(__name__)

#: Wall-clock time for which SafeTip may be off beyond what the action itself takes (s).
MARGIN_S = 10.0
#: Wall-clock time for switching it on again and reading it back (s); then the tip is withdrawn.
RESTORE_S = 8.0
_GROUP = "SafeTip.OnOff"


class Suspension:
    """How long SafeTip was off, once it is on again."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The same for the journal; nothing if SafeTip was not switched."""
        if self.seconds is None:
            return ()
        return (f"SafeTip was suspended for {self.seconds:.1f} s and is on again",)


async def probe_safe_tip(rig: Rig) -> bool:
    """Whether the controller has SafeTip; warns if it is off, as it may not be meant to be."""
    status = await rig.session.probe(_GROUP + "Get")
    if status is None:
        return False
    if status["status"] is Switch.OFF:
        _log.warning(
            "SafeTip is off and stays off; a run that was killed during a pulse or an indentation "
            "leaves it so: switch it on by hand if it should be on"
        )
    return True


@asynccontextmanager
async def safe_tip_suspended(rig: Rig, seconds: float) -> AsyncGenerator[Suspension]:
    """Switch SafeTip off if it is on, and on again afterwards, reading it back both times.

    Args:
        rig: the controller.
        seconds: what the action takes (instrument s); ``MARGIN_S`` later it is given up, and
            SafeTip is switched on again.

    Raises:
        InstrumentError: its auto-recovery is on, it cannot be switched, or the action took too
            long; if it cannot be switched on again, the tip has been withdrawn, and the rig
            remembers that it is to be on.
        CancelledError: whoever waited was cancelled, and SafeTip was seen to as well.
    """
    suspension = Suspension()
    if not await _is_on(rig):
        yield suspension
        return
    allowed_s = seconds / rig.session.clock.scale + MARGIN_S
    started_s = rig.session.clock.now()
    cancelled: asyncio.CancelledError | None = None
    # From here on, because it may be off even if switching it off could not be seen to succeed.
    rig.safe_tip_owed = True
    try:
        async with asyncio.timeout(allowed_s):
            await rig.settings.write(_GROUP, status=SetSwitch.OFF)
            yield suspension
    except TimeoutError:
        raise InstrumentError(
            f"no end was seen within the {allowed_s:.3g} s for which SafeTip may be off"
        ) from None
    except asyncio.CancelledError as error:
        cancelled = error
    finally:
        await finish(_restore_or_withdraw(rig), cancelled)
    suspension.seconds = rig.session.clock.now() - started_s


async def restore_safe_tip(rig: Rig) -> None:
    """Switch SafeTip on again, and read it back, if it was on and was not put back yet.

    Raises:
        InstrumentError: it was not seen to be on within ``RESTORE_S``.
    """
    if not rig.safe_tip_owed:
        return
    try:
        async with asyncio.timeout(RESTORE_S):
            await rig.settings.write(_GROUP, status=SetSwitch.ON)
    except (InstrumentError, TimeoutError) as error:
        reason = str(error) or f"no answer within {RESTORE_S:g} s"
        told = f"SafeTip could not be switched on again ({reason}); switch it on by hand"
        # At once as well, because whoever was cancelled may never look at the error.
        _log.warning("%s", told)
        raise InstrumentError(told) from error
    rig.safe_tip_owed = False


async def _is_on(rig: Rig) -> bool:
    """Whether SafeTip is there and on.

    Raises:
        InstrumentError: it is, and its auto-recovery as well.
    """
    status = await rig.session.probe(_GROUP + "Get")
    if status is None or status["status"] is Switch.OFF:
        return False
    if (await rig.session.read("SafeTip.PropsGet"))["auto_recovery"] is Switch.ON:
        raise InstrumentError(
            "SafeTip's auto-recovery is on, which would move the tip by itself after an action "
            "that touches the sample; switch auto-recovery off in the controller's SafeTip module"
        )
    return True


async def _restore_or_withdraw(rig: Rig) -> None:
    try:
        await restore_safe_tip(rig)
    except InstrumentError as error:
        try:
            await rig.z.withdraw()
        except InstrumentError as worse:
            raise InstrumentError(f"{error}; and {worse}") from error
        raise InstrumentError(f"{error}; the tip was withdrawn") from error
