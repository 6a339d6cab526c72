"""Averaged heights of the tip, and what an action did to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drivers.nanonis.session import Session, Z

#: Shortest window over which a drift is worth fitting (s).
AVERAGE_S = 0.5
_MIN_READINGS = 8
_EVERY_S = 0.01
_MOST_ALIKE = 0.9
_SIGNIFICANT = 2.5


@dataclass(frozen=True, slots=True)
class Height:
    """z under feedback, averaged over a while.

    Attributes:
        z_m: mean (m).
        drift_m_per_s: slope of a straight line through the readings (m/s).
        drift_error_m_per_s: standard error of that slope (m/s).
        time_s: instrument time of the middle of the window (s).
    """

    z_m: float
    drift_m_per_s: float
    drift_error_m_per_s: float
    time_s: float

    @classmethod
    def fit(cls, times_s: Sequence[float], readings_m: Sequence[float]) -> Height:
        """Mean and least-squares slope of at least three readings."""
        times, readings = np.asarray(times_s), np.asarray(readings_m)
        middle, mean = float(times.mean()), float(readings.mean())
        spread = float(((times - middle) ** 2).sum())
        if not spread:
            return cls(mean, 0.0, 0.0, middle)
        slope = float(((times - middle) * (readings - mean)).sum()) / spread
        rest = readings - mean - slope * (times - middle)
        variance = float((rest**2).sum()) / (len(rest) - 2)
        # Height noise is slow: neighbouring readings err alike and so count for fewer.
        likeness = float((rest[1:] * rest[:-1]).sum() / (rest**2).sum()) if variance else 0.0
        likeness = min(max(likeness, 0.0), _MOST_ALIKE)
        error = math.sqrt(variance / spread * (1 + likeness) / (1 - likeness))
        return cls(mean, slope, error, middle)


def jump_m(before: Height, after: Height) -> float:
    """How far the feedback now holds the tip farther out (m), less the drift of ``before``.

    A drift that cannot be told from noise is not subtracted: it would only add that noise, times
    the time in between.
    """
    drift_m_per_s = before.drift_m_per_s
    if abs(drift_m_per_s) < _SIGNIFICANT * before.drift_error_m_per_s:
        drift_m_per_s = 0.0
    return after.z_m - before.z_m - drift_m_per_s * (after.time_s - before.time_s)


async def average_height(session: Session, seconds: float = AVERAGE_S) -> Height:
    """Average z for at least ``seconds`` of instrument time."""
    clock = session.clock
    times: list[float] = []
    readings: list[float] = []
    end = clock.now() + seconds
    while clock.now() < end or len(times) < _MIN_READINGS:
        await clock.sleep(_EVERY_S)
        (z_m,) = await session.signals(Z)
        times.append(clock.now())
        readings.append(z_m)
    return Height.fit(times, readings)
