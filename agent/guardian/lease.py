"""The lease: how long the agent may still be silent, on a clock that is not trusted blindly."""

from __future__ import annotations

from agent.guardian.orders import Timing

#: Silence allowed to an agent until it is told that it is guarded (s): what is armed has to reach
#: the disk before.
ARMING_S = 5.0


class SteadyClock:
    """Seconds since the first reading of another clock; never goes back.

    Attributes:
        now: the time (s).
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._last: float | None = None

    def read(self, reading_s: float) -> float:
        """The time at which the other clock shows ``reading_s``."""
        if self._last is not None:
            self.now += max(0.0, reading_s - self._last)
        self._last = reading_s
        return self.now


class Lease:
    """When silence has lasted too long.

    If no time was seen to pass for long, this process itself was not run, and the agent perhaps
    neither (a paused virtual machine, a clock that jumps). The agent then gets one short grace to
    speak up; without a word from it there is no second one, so a loss is never hidden.
    """

    def __init__(self, now: float, timing: Timing) -> None:
        self._timing = timing
        self._seen = now
        self.renew(now)

    def renew(self, now: float) -> None:
        """The agent has given a sign of life."""
        self._until = now + self._timing.lost_after_s
        self._graced = False

    def spare(self, now: float) -> None:
        """The agent waits to be told that it is guarded."""
        self._until = now + max(ARMING_S, self._timing.lost_after_s)

    def lost(self, now: float) -> bool:
        """Whether the agent has been silent for too long; to be asked often."""
        stalled = now - self._seen > self._timing.lost_after_s / 2
        self._seen = now
        if stalled and not self._graced:
            self._graced = True
            self._until = max(self._until, now + self._timing.grace_s)
        return now > self._until
