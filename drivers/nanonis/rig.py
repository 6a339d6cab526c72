"""One controller with everything the driver keeps beside it."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.nanonis.bias import WorkingPoint
from drivers.nanonis.logger import TraceRecorder
from drivers.nanonis.session import Session
from drivers.nanonis.settings import Settings
from drivers.nanonis.zcontrol import ZControl


@dataclass(slots=True)
class Rig:
    """What actions and scans work with.

    Attributes:
        session: the connections.
        settings: the operator's settings.
        z: the z controller.
        point: bias and setpoint.
        recorder: traces of actions.
        retracted_steps: verified coarse steps away from the sample since the last contact.
        safe_tip_set: whether SafeTip is configured as the address asks.
    """

    session: Session
    settings: Settings
    z: ZControl
    point: WorkingPoint
    recorder: TraceRecorder
    retracted_steps: int = 0
    safe_tip_set: bool = False
