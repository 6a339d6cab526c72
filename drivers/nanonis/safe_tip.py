"""The controller's own protection, out of the way only while an action touches the sample."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from drivers.errors import InstrumentError
from drivers.nanonis.codes import SetSwitch, Switch
from drivers.nanonis.rig import Rig

#: Wall-clock time for which SafeTip may be off beyond what the action itself takes (s).
MARGIN_S = 10.0


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


@asynccontextmanager
async def safe_tip_suspended(rig: Rig, seconds: float) -> AsyncGenerator[Suspension]:
    """Switch SafeTip off if it is on, and on again afterwards, reading it back both times.

    Args:
        rig: the controller.
        seconds: what the action takes (instrument s); ``MARGIN_S`` later SafeTip is on again,
            whatever the action does.

    Raises:
        InstrumentError: its auto-recovery is on, it cannot be switched, or the action took too
            long; if it cannot be switched on again, the tip has been withdrawn.
    """
    suspension = Suspension()
    status = await rig.session.probe("SafeTip.OnOffGet")
    if status is None or status["status"] is Switch.OFF:
        yield suspension
        return
    if (await rig.session.read("SafeTip.PropsGet"))["auto_recovery"] is Switch.ON:
        raise InstrumentError(
            "SafeTip's auto-recovery is on, which would move the tip by itself after an action "
            "that touches the sample; switch auto-recovery off in the controller's SafeTip module"
        )
    allowed_s = seconds / rig.session.clock.scale + MARGIN_S
    started_s = rig.session.clock.now()
    try:
        # Inside, because it may be off even if switching it off could not be seen to succeed.
        async with asyncio.timeout(allowed_s):
            await rig.settings.write("SafeTip.OnOff", status=SetSwitch.OFF)
            yield suspension
    except TimeoutError:
        raise InstrumentError(
            f"no end was seen within the {allowed_s:.3g} s for which SafeTip may be off"
        ) from None
    finally:
        try:
            await rig.settings.write("SafeTip.OnOff", status=SetSwitch.ON)
        except InstrumentError as error:
            await rig.z.withdraw()
            raise InstrumentError(
                f"SafeTip could not be switched on again ({error}); the tip was withdrawn"
            ) from error
        suspension.seconds = rig.session.clock.now() - started_s
