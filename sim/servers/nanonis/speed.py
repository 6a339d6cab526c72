"""The speed of a scan: a linear speed and a time per line, of which one stays when frames change.

The way back follows from the speed ratio alone, as observed on controllers.
"""

from __future__ import annotations

from drivers.nanonis.codes import SetSpeedLock, SpeedLock
from sim.servers.nanonis.handlers import Refusal, Values


class Speed:
    """Time of a forward line, the ratio of the speeds, and what is kept constant."""

    def __init__(self) -> None:
        self._forward_s = 0.3
        self._ratio = 1.0
        self._keep = SpeedLock.LINEAR_SPEED

    @property
    def times_s(self) -> tuple[float, float]:
        """Time of a forward and of a backward line (s)."""
        return self._forward_s, self._forward_s / self._ratio

    def forward_m_per_s(self, width_m: float) -> float:
        """Speed of a forward line of ``width_m`` (m/s)."""
        return width_m / self._forward_s

    def resize(self, old_m: float, new_m: float) -> None:
        """The frame becomes ``new_m`` wide."""
        if self._keep == SpeedLock.LINEAR_SPEED:
            self._forward_s *= new_m / old_m

    def set(self, values: Values, width_m: float) -> None:
        """Take over what ``Scan.SpeedSet`` asks for; zeros leave what was.

        Raises:
            Refusal: a value is negative.
        """
        if min(value for value in values.values() if isinstance(value, float)) < 0:
            raise Refusal("Speeds and times cannot be negative.")
        if values["keep"] != SetSpeedLock.KEEP:
            self._keep = SpeedLock[values["keep"].name]
        if values["ratio"]:
            self._ratio = values["ratio"]
        if self._keep == SpeedLock.LINEAR_SPEED and values["forward_m_per_s"]:
            self._forward_s = width_m / values["forward_m_per_s"]
        elif self._keep == SpeedLock.TIME_PER_LINE and values["forward_s"]:
            self._forward_s = values["forward_s"]

    def values(self, width_m: float) -> Values:
        """What ``Scan.SpeedGet`` answers."""
        forward_s, backward_s = self.times_s
        return {
            "forward_m_per_s": width_m / forward_s,
            "backward_m_per_s": width_m / backward_s,
            "forward_s": forward_s,
            "backward_s": backward_s,
            "keep": self._keep,
            "ratio": self._ratio,
        }
