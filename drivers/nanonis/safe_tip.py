"""The controller's own protection, out of the way only while an action touches the sample."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from drivers.errors import InstrumentError
from drivers.nanonis.codes import SetSwitch, Switch
from drivers.nanonis.rig import Rig


@asynccontextmanager
async def safe_tip_suspended(rig: Rig) -> AsyncGenerator[None]:
    """Switch SafeTip off if it is on, and on again afterwards, reading it back both times.

    Raises:
        InstrumentError: its auto-recovery is on, or it cannot be switched; if it cannot be switched
            on again, the tip has been withdrawn.
    """
    status = await rig.session.probe("SafeTip.OnOffGet")
    if status is None or status["status"] is Switch.OFF:
        yield
        return
    if (await rig.session.read("SafeTip.PropsGet"))["auto_recovery"] is Switch.ON:
        raise InstrumentError(
            "SafeTip's auto-recovery is on, which would move the tip by itself after an action "
            "that touches the sample; switch auto-recovery off in the controller's SafeTip module"
        )
    try:
        # Inside, because it may be off even if switching it off could not be seen to succeed.
        await rig.settings.write("SafeTip.OnOff", status=SetSwitch.OFF)
        yield
    finally:
        try:
            await rig.settings.write("SafeTip.OnOff", status=SetSwitch.ON)
        except InstrumentError as error:
            await rig.z.withdraw()
            raise InstrumentError(
                f"SafeTip could not be switched on again ({error}); the tip was withdrawn"
            ) from error
