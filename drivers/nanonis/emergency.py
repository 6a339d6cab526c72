"""The emergency frames of a Nanonis controller, for the port that is kept free for them."""

from __future__ import annotations

import math
from typing import Any

from drivers.emergency import Emergency, Exchange, Framing, Reading
from drivers.nanonis.codec import HEADER_SIZE, NAME_SIZE, OK, encode_request
from drivers.nanonis.codes import ScanAction, ScanDirection, Switch, ZStatus
from drivers.nanonis.commands import lookup
from drivers.nanonis.session import Session
from drivers.nanonis.zcontrol import ZControl

#: The last of the controller's four ports, counted from the first.
EMERGENCY_PORT = 3
FRAMING = Framing(head_bytes=HEADER_SIZE, size_offset=NAME_SIZE)

# Approach and motor first: they would bring a withdrawn tip straight back.
_STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("AutoApproach.OnOffSet", {"status": Switch.OFF}),
    ("Motor.StopMove", {}),
    ("ZCtrl.Withdraw", {"wait": 0, "timeout_ms": -1}),
    ("Scan.Action", {"action": ScanAction.STOP, "direction": ScanDirection.DOWN}),
)
_APPROACHING = "AutoApproach.OnOffGet"
# After an event of SafeTip the status may stay as it is.
_AT_REST = tuple((float(status), float(status)) for status in (ZStatus.OFF, ZStatus.SAFE_TIP))


async def emergency_frames(session: Session, z: ZControl) -> Emergency:
    """How to withdraw the tip over the fourth port, with the z range and limits as they are now.

    Raises:
        InstrumentError: the controller does not tell its z range.
    """
    bottom_m = await z.withdrawn_from()
    readings = {
        "ZCtrl.StatusGet": Reading(">H", _AT_REST),
        "ZCtrl.ZPosGet": Reading(">f", ((bottom_m, math.inf),)),
    }
    # Where there is no approach module, none can run, and asking would never be answered well.
    if await session.probe(_APPROACHING) is not None:
        readings[_APPROACHING] = Reading(">H", ((float(Switch.OFF), float(Switch.OFF)),))
    release = session.release
    return Emergency(
        host=session.host,
        port=session.port + EMERGENCY_PORT,
        framing=FRAMING,
        steps=tuple(_exchange(name, release, values) for name, values in _STEPS),
        checks=tuple(_exchange(name, release, {}, reads) for name, reads in readings.items()),
    )


def _exchange(
    name: str, release: int, values: dict[str, Any], reading: Reading | None = None
) -> Exchange:
    request = encode_request(lookup(name, release), values)
    return Exchange(name, request, request[:NAME_SIZE], OK, reading)
