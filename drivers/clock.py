"""Instrument time: what the microscope's seconds are, whatever the wall clock does.

A real microscope lives on wall time. A simulated one may run faster (scaled) or only advance when
somebody waits (virtual). Everything that reports or waits in instrument seconds goes through a
``Clock``; time-outs, leases and watchdogs use the event loop's monotonic time instead.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Clock(Protocol):
    """Source of instrument time, in seconds since the instrument was opened."""

    def now(self) -> float:
        """Instrument time in seconds; never goes backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once ``seconds`` of instrument time have passed."""
        ...


class ScaledClock:
    """Instrument time that follows the event loop's clock, ``scale`` times as fast.

    With ``scale=1`` this is the clock of a real instrument. On a virtual event loop it is
    deterministic, because the loop's own time is.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if not scale > 0:
            raise ValueError(f"time scale must be positive, got {scale}")
        self.scale = scale
        self._start = asyncio.get_running_loop().time()

    def now(self) -> float:
        """Instrument seconds since this clock was made."""
        return (asyncio.get_running_loop().time() - self._start) * self.scale

    async def sleep(self, seconds: float) -> None:
        """Sleep ``seconds`` of instrument time (``seconds / scale`` on the loop)."""
        await asyncio.sleep(max(seconds, 0.0) / self.scale)


class VirtualClock:
    """Instrument time that passes only when somebody sleeps: no waiting on the wall.

    It serves one sequential user; two concurrent sleepers would add up their waits.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Instrument seconds that have been slept so far."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Advance by ``seconds`` at once, letting other tasks run."""
        self._now += max(seconds, 0.0)
        await asyncio.sleep(0)
