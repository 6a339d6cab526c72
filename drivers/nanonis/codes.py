"""Numbers with a meaning in Nanonis messages.

Many settings are written with one set of codes and read with another: writing 0 means "no change"
while reading 0 means "off". Each pair shares its member names, so ``to_set`` turns what was read
into what restores it, and no bare number is ever written by accident.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

SetCode = TypeVar("SetCode", bound=IntEnum)


class Switch(IntEnum):
    """A flag as it is read."""

    OFF = 0
    ON = 1


class SetSwitch(IntEnum):
    """A flag as it is written, where 0 leaves it alone."""

    KEEP = 0
    ON = 1
    OFF = 2


class Autosave(IntEnum):
    """Which scans are saved, as read."""

    ALL = 0
    NEXT = 1
    OFF = 2


class SetAutosave(IntEnum):
    """Which scans are saved, as written."""

    KEEP = 0
    ALL = 1
    NEXT = 2
    OFF = 3


class Autopaste(IntEnum):
    """Which scans are pasted into the background, as read.

    These codes are not published; they are inferred from the manufacturer's order "all, next, off"
    and from autosave, whose codes go the same way.
    """

    ALL = 0
    NEXT = 1
    OFF = 2


class SetAutopaste(IntEnum):
    """Which scans are pasted into the background, as written; inferred likewise."""

    KEEP = 0
    ALL = 1
    NEXT = 2
    OFF = 3


class SpeedLock(IntEnum):
    """What stays constant when the frame changes size, as read."""

    LINEAR_SPEED = 0
    TIME_PER_LINE = 1


class SetSpeedLock(IntEnum):
    """What stays constant when the frame changes size, as written."""

    KEEP = 0
    LINEAR_SPEED = 1
    TIME_PER_LINE = 2


class Home(IntEnum):
    """How the home position of z is meant, as read."""

    ABSOLUTE = 0
    RELATIVE = 1


class SetHome(IntEnum):
    """How the home position of z is meant, as written."""

    KEEP = 0
    ABSOLUTE = 1
    RELATIVE = 2


class PulseHold(IntEnum):
    """What the z controller does during a bias pulse."""

    KEEP = 0
    HOLD = 1
    RELEASE = 2


class PulseReference(IntEnum):
    """How the height of a bias pulse is meant."""

    KEEP = 0
    RELATIVE = 1
    ABSOLUTE = 2


class ZStatus(IntEnum):
    """What the z controller does."""

    OFF = 1
    ON = 2
    HOLD = 3
    SWITCHING_OFF = 4
    SAFE_TIP = 5
    WITHDRAWING = 6


class ScanAction(IntEnum):
    """What to do with the scan; the last three since release 13742."""

    START = 0
    STOP = 1
    PAUSE = 2
    RESUME = 3
    FREEZE = 4
    UNFREEZE = 5
    CENTRE = 6


class ScanDirection(IntEnum):
    """Slow direction of a scan."""

    DOWN = 0
    UP = 1


class Sweep(IntEnum):
    """Fast direction of the data of a scan."""

    BACKWARD = 0
    FORWARD = 1


class MotorDirection(IntEnum):
    """Direction of coarse motion; which of Z+ and Z- retracts the tip differs between rigs."""

    X_PLUS = 0
    X_MINUS = 1
    Y_PLUS = 2
    Y_MINUS = 3
    Z_PLUS = 4
    Z_MINUS = 5


class LoggerStatus(IntEnum):
    """State of the TCP logger module."""

    DISCONNECTED = 0
    IDLE = 1
    START = 2
    STOP = 3
    RUNNING = 4
    CONNECTING = 5
    DISCONNECTING = 6
    OVERFLOW = 7


#: The pairs of codes: as read, as written.
PAIRS: tuple[tuple[type[IntEnum], type[IntEnum]], ...] = (
    (Switch, SetSwitch),
    (Autosave, SetAutosave),
    (Autopaste, SetAutopaste),
    (SpeedLock, SetSpeedLock),
    (Home, SetHome),
)


def to_set(code: IntEnum, kind: type[SetCode]) -> SetCode:
    """The code to write so that the setting becomes ``code``, as it was read."""
    return kind[code.name]
