"""The controller's own protection: on where asked for, off only while an action needs contact.

With its auto-recovery on it would move the tip by itself, so that is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from drivers.errors import ConfigError, InstrumentError
from drivers.finishing import finish
from drivers.nanonis.codes import SetSwitch, Switch, to_set
from drivers.nanonis.rig import Rig

_log = logging.getLogger(__name__)

#: Wall-clock time for which SafeTip may be off beyond what the action itself takes (s).
MARGIN_S = 10.0
#: Wall-clock time for switching it on again and reading it back (s); then the tip is withdrawn.
RESTORE_S = 8.0
#: The name of a suspended SafeTip among what is owed.
SAFE_TIP = "safe_tip"
_GROUP = "SafeTip.OnOff"
_PROPS = "SafeTip.Props"


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
    """Whether the controller has SafeTip; warns if it is off and stays so.

    Raises:
        ConfigError: it has none, and the address asks for it.
        InstrumentError: its auto-recovery is on.
    """
    if await rig.session.probe(_GROUP + "Get") is None:
        if rig.session.options.safe_tip_threshold_pa is not None:
            raise ConfigError(
                "safe_tip_threshold_pa is given and the controller refuses its SafeTip module; "
                "open that module, or leave the option out"
            )
        return False
    await _expect_no_recovery(rig)
    why = await unprotected(rig)
    if why is not None:
        _log.warning("%s", why)
    return True


async def unprotected(rig: Rig) -> str | None:
    """Why the controller does not protect the tip although it could, and what to do; or None."""
    if rig.session.options.safe_tip_threshold_pa is not None:
        return None
    status = await rig.session.probe(_GROUP + "Get")
    if status is None or status["status"] is Switch.ON:
        return None
    return (
        "SafeTip is off and stays off, so nothing but this computer protects the tip; switch it on "
        "in the controller's SafeTip module, or add safe_tip_threshold_pa to the microscope's "
        "address"
    )


async def ready_safe_tip(rig: Rig) -> None:
    """Before a scan or an action: SafeTip is on again if it was, and configured if asked for.

    Raises:
        InstrumentError: it cannot be switched, or the controller does not take the threshold over.
    """
    await restore_safe_tip(rig)
    threshold_pa = rig.session.options.safe_tip_threshold_pa
    if threshold_pa is None or rig.safe_tip_set:
        return
    found = await rig.settings.get(_GROUP)
    props = await rig.settings.get(_PROPS)
    # What is borrowed first is put back first: a SafeTip that the operator has off is off again
    # before a threshold that they may never have looked at comes back.
    await rig.settings.borrow(_GROUP, status=to_set(found["status"], SetSwitch))
    await rig.settings.borrow(
        _PROPS,
        auto_recovery=Switch.OFF,
        auto_pause_scan=props["auto_pause_scan"],
        threshold=threshold_pa * 1e-12,
    )
    await rig.settings.borrow(_GROUP, status=SetSwitch.ON)
    rig.safe_tip_set = True


@asynccontextmanager
async def safe_tip_suspended(rig: Rig, seconds: float) -> AsyncGenerator[Suspension]:
    """Switch SafeTip off if it is on, and on again afterwards, reading it back both times.

    Args:
        rig: the controller.
        seconds: what the action takes (instrument s); ``MARGIN_S`` later it is given up, and
            SafeTip is switched on again.

    Raises:
        InstrumentError: its auto-recovery is on, it cannot be switched, or the action took too
            long; if it cannot be switched on again, the tip has been withdrawn, and it stays owed.
        FileError: what is owed cannot be kept; it was not switched.
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
    await rig.settings.debts.owe(SAFE_TIP, {"status": Switch.ON}, {"status": Switch.OFF})
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
    if not rig.settings.debts.owes(SAFE_TIP):
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
    await rig.settings.debts.settle(SAFE_TIP)


async def _is_on(rig: Rig) -> bool:
    """Whether SafeTip is there and on.

    Raises:
        InstrumentError: it is, and its auto-recovery as well.
    """
    status = await rig.session.probe(_GROUP + "Get")
    if status is None or status["status"] is Switch.OFF:
        return False
    await _expect_no_recovery(rig)
    return True


async def _expect_no_recovery(rig: Rig) -> None:
    if (await rig.session.read(_PROPS + "Get"))["auto_recovery"] is Switch.ON:
        raise InstrumentError(
            "SafeTip's auto-recovery is on, which would bring the tip back by itself after SafeTip "
            "has withdrawn it; switch auto-recovery off in the controller's SafeTip module"
        )


async def _restore_or_withdraw(rig: Rig) -> None:
    try:
        await restore_safe_tip(rig)
    except InstrumentError as error:
        try:
            await rig.z.withdraw()
        except InstrumentError as worse:
            raise InstrumentError(f"{error}; and {worse}") from error
        raise InstrumentError(f"{error}; the tip was withdrawn") from error
