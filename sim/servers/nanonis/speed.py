"""The speed of a scan: a linear speed and a time per line, of which one stays when frames change.

The way back follows from the speed ratio alone, as observed on controllers.
"""

from __future__ import annotations

from drivers.nanonis.codes import SetSpeedLock, SpeedLock
from sim.servers.nanonis.handlers import Values, require

_TIMES_S = (1e-4, 1e5)
_RATIOS = (1e-3, 1e3)


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
        """The frame becomes ``new_m`` wide.

        Raises:
            Refusal: at this speed a line of that width would take no sensible time.
        """
        if self._keep == SpeedLock.LINEAR_SPEED:
            self._take(self._forward_s * new_m / old_m)

    def set(self, values: Values, width_m: float) -> None:
        """Take over what ``Scan.SpeedSet`` asks for; zeros leave what was.

        Raises:
            Refusal: a speed, a time or the ratio is out of range.
        """
        keep = self._keep
        if values["keep"] != SetSpeedLock.KEEP:
            keep = SpeedLock[values["keep"].name]
        ratio = values["ratio"] or self._ratio
        require("speed ratio", ratio, *_RATIOS)
        if keep == SpeedLock.LINEAR_SPEED and values["forward_m_per_s"]:
            self._take(width_m / values["forward_m_per_s"])
        elif keep == SpeedLock.TIME_PER_LINE and values["forward_s"]:
            self._take(values["forward_s"])
        self._keep, self._ratio = keep, ratio

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

    def _take(self, forward_s: float) -> None:
        require("time per line", forward_s, *_TIMES_S)
        self._forward_s = forward_s
