"""What was asked of an instrument of late: some limits are on how much comes together.

Whatever was sent counts, whether or not its outcome is known, and whoever sent it counts once it
has been ``remember``ed. What a later action no longer meets is forgotten.
"""

from __future__ import annotations

import math
from collections import deque

from drivers.actions import Action, Approach, CoarseMove, Indentation, Pulse

HOUR_S = 3600.0
#: Indentations no farther apart share a spot: what the deepest of them spoils, in radius.
SPOT_M = 15e-9


class Ledger:
    """Pulses of the last hour, depth spent on each spot, and coarse steps since the last approach.

    Times are instrument time (s), whatever its zero.
    """

    def __init__(self) -> None:
        self._pulses: deque[float] = deque()
        self._dips: list[tuple[float, float, float]] = []
        self._steps = 0

    def note(self, action: Action, x_m: float, y_m: float, now_s: float) -> None:
        """Take in an action at (``x_m``, ``y_m``) that is sent ``now_s``."""
        match action:
            case Pulse():
                self._pulses.append(now_s)
            case Indentation():
                self._dips.append((x_m, y_m, action.depth_m))
            case CoarseMove():
                # Another piece of the sample: no spot of the one before is met again.
                self._dips.clear()
                self._steps += lateral_steps(action)
            case Approach():
                self._steps = 0

    def pulses(self, now_s: float) -> int:
        """How many pulses there were in the hour before ``now_s``."""
        while self._pulses and self._pulses[0] <= now_s - HOUR_S:
            self._pulses.popleft()
        return len(self._pulses)

    def depth_m(self, x_m: float, y_m: float) -> float:
        """Depths of all indentations on the spot at (``x_m``, ``y_m``) together (m)."""
        return sum(
            depth_m
            for dip_x_m, dip_y_m, depth_m in self._dips
            if math.hypot(dip_x_m - x_m, dip_y_m - y_m) <= SPOT_M
        )

    @property
    def unchecked_steps(self) -> int:
        """Lateral coarse steps since an approach last showed that there is a surface."""
        return self._steps


def lateral_steps(move: CoarseMove) -> int:
    """Coarse steps of a move along the surface."""
    return abs(move.x_steps) + abs(move.y_steps)
