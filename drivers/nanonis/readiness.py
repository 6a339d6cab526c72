"""What has to be so before a scan or an action is set up."""

from __future__ import annotations

from drivers.errors import InstrumentError
from drivers.nanonis.codes import Switch
from drivers.nanonis.rig import Rig
from drivers.nanonis.safe_tip import ready_safe_tip


async def expect_ready(rig: Rig) -> None:
    """Make sure that the instrument is free and protected, and as it was left.

    Raises:
        InstrumentError: a scan runs, or SafeTip is not as it has to be.
        SettingsChanged: somebody else has changed what was set.
        FileError: what the operator has to get back cannot be kept.
    """
    if (await rig.session.read("Scan.StatusGet"))["status"] is Switch.ON:
        raise InstrumentError("a scan is running; stop it before doing anything else")
    await rig.point.remember()
    await ready_safe_tip(rig)
    await rig.settings.expect_untouched()
