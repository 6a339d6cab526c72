"""The one simulated microscope behind all ports, kept in step with the clock.

The world computes an action at once and is then ahead of the clock by what the action takes;
whoever asked for it waits until the clock has caught up. What others read meanwhile comes from the
trace of the action.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.clock import ScaledClock
from drivers.errors import InstrumentError
from drivers.outcome import Trace
from sim.world import World

T = TypeVar("T")
Samples = NDArray[np.float32]

#: Instrument time that counts as none: far below what a clock of float seconds can tell apart.
_NO_TIME_S = 1e-6
_KEPT_TRACES = 32
# Fast instruments ask for more samples than there is time to draw noise for; it then repeats.
_FRESH_READINGS = 256

_log = logging.getLogger(__name__)


class Instrument:
    """The world and its clock.

    Attributes:
        world: the simulated microscope.
        clock: instrument time.
        before_change: called before every change of the world.
        on_change: called after every change of the world.
        on_trace: called with the trace of every action.
    """

    def __init__(self, world: World, clock: ScaledClock) -> None:
        self.world = world
        self.clock = clock
        self.before_change: list[Callable[[], None]] = []
        self.on_change: list[Callable[[], None]] = []
        self.on_trace: list[Callable[[Trace], None]] = []
        self._traces: deque[tuple[float, Trace]] = deque(maxlen=_KEPT_TRACES)
        self._driven = 0
        # The world's time when the clock started: episodes do not begin at 0.
        self._epoch_s = world.time_s - clock.now()

    def now(self) -> float:
        """Instrument time on the world's scale (s)."""
        return self._epoch_s + self.clock.now()

    def settled_until(self) -> float:
        """Instrument time up to which it is decided what happens (s)."""
        # An activity on a slow machine lets the clock run ahead of the world.
        return min(self.now(), self.world.time_s) if self._driven else self.now()

    def catch_up(self) -> None:
        """Let the time pass in the world that has passed on the clock."""
        # Never backwards: after an action the world is ahead, and waits for the clock instead.
        behind_s = self.now() - self.world.time_s
        if behind_s > _NO_TIME_S and not self._driven:
            self.world.advance(behind_s)

    @contextlib.contextmanager
    def driven(self) -> Iterator[None]:
        """While an activity runs that lets the world's time pass itself.

        On a machine too slow for the time scale the activity then simply takes longer; reading the
        instrument meanwhile does not change its outcome.
        """
        self.catch_up()
        self._driven += 1
        try:
            yield
        finally:
            self._driven -= 1

    async def until(self, time_s: float) -> None:
        """Wait until the clock shows ``time_s`` of the world's scale."""
        # Other connections get their turn even where nothing has to be waited for.
        await asyncio.sleep(0)
        # A timer may fire a little early, and the next line must not begin before this one ends.
        while (left_s := time_s - self.now()) > _NO_TIME_S:
            await self.clock.sleep(left_s)

    async def settle(self) -> None:
        """Wait until the clock has caught up with the world."""
        await self.until(self.world.time_s)

    async def until_or_timeout(self, time_s: float, timeout_ms: int) -> None:
        """Wait until ``time_s``, or for ``timeout_ms`` of instrument time unless that is -1."""
        if timeout_ms >= 0:
            time_s = min(time_s, self.now() + timeout_ms * 1e-3)
        await self.until(time_s)

    def wall_s(self, timeout_ms: int) -> float | None:
        """The wall time of a controller's time-out; None if it never runs out."""
        # The controller counts milliseconds of its own time, which the clock scales.
        return None if timeout_ms < 0 else timeout_ms * 1e-3 / self.clock.scale

    def act(self, action: Callable[[World], T]) -> T:
        """Do something to the world now; the clock may then have to catch up."""
        self.catch_up()
        for listener in self.before_change:
            listener()
        started_s, rest = self.world.time_s, (self.world.read_current_a(), self.world.read_z_m())
        result = action(self.world)
        if isinstance(result, Trace):
            self._traces.append((started_s, result))
            for watcher in self.on_trace:
                watcher(result)
        elif self.world.time_s > started_s:
            # What is asked about this time later must not be told how things stood afterwards.
            self._traces.append((started_s, _flat(self.world.time_s - started_s, rest)))
        self.changed()
        return result

    async def perform(self, action: Callable[[World], T]) -> T:
        """Do something to the world and wait for as long as it takes."""
        result = self.act(action)
        await self.settle()
        return result

    def changed(self) -> None:
        """Tell whoever wants to know that the world has changed."""
        for listener in self.on_change:
            listener()

    def reading(self) -> tuple[float, float]:
        """Tunnelling current (A) and height (m) at this moment."""
        now = self.now()
        for started_s, trace in self._traces:
            elapsed_s = now - started_s
            if 0 <= elapsed_s <= trace.time_s[-1]:
                at = int(np.searchsorted(trace.time_s, elapsed_s))
                return float(trace.current_a[at]), float(trace.z_m[at])
        self.catch_up()
        return self.world.read_current_a(), self.world.read_z_m()

    def recorded(self, times_s: NDArray[np.float64], averaged: int) -> tuple[Samples, Samples]:
        """Current (A) and height (m) at ``times_s``, none of them after ``settled_until``.

        What an action recorded is given as it was, each value averaged over so many samples;
        at other times the readings of this moment stand, with fresh noise.
        """
        self.catch_up()
        drawn = min(times_s.size, _FRESH_READINGS)
        current = [self.world.read_current_a() for _ in range(drawn)]
        z = [self.world.read_z_m() for _ in range(drawn)]
        samples = (
            np.resize(np.array(current, np.float32), times_s.size),
            np.resize(np.array(z, np.float32), times_s.size),
        )
        for started_s, trace in self._traces:
            elapsed_s = times_s - started_s
            inside = (elapsed_s >= 0) & (elapsed_s <= trace.time_s[-1])
            if inside.any():
                last = np.searchsorted(trace.time_s, elapsed_s[inside], side="right")
                for sample, values in zip(samples, (trace.current_a, trace.z_m), strict=True):
                    sample[inside] = _averaged(values, last, averaged)
        return samples


def _flat(seconds: float, rest: tuple[float, float]) -> Trace:
    """Nothing happening for a while: current and height stay as they are."""
    current_a, z_m = (np.full(2, value, np.float32) for value in rest)
    return Trace(np.array([0.0, seconds]), current_a, z_m)


def _averaged(values: Samples, last: NDArray[np.intp], count: int) -> Samples:
    """Means of up to ``count`` values that end before each index ``last``."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=float)])
    first = np.maximum(last - count, 0)
    means: Samples = ((total[last] - total[first]) / (last - first)).astype(np.float32)
    return means


class Activity:
    """Something that goes on by itself, can be waited for and be stopped."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._task is not None and not self._task.done()

    def start(self, activity: Coroutine[Any, Any, None]) -> None:
        """Begin ``activity``; what went on before is stopped."""
        self.stop()
        self._task = asyncio.create_task(activity)
        self._task.add_done_callback(_report)

    def stop(self) -> None:
        """End it now; what it has done stays done."""
        if self._task is not None:
            self._task.cancel()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for its end, at most ``timeout_s`` of wall time; False when that ran out.

        Raises:
            InstrumentError: it failed.
        """
        task = self._task
        if task is None:
            return True
        # ``asyncio.wait`` leaves the activity alone when whoever waits is cancelled.
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        if done and not task.cancelled():
            task.result()
        return bool(done)


def _report(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    # Nobody may be waiting; an error that is never looked at would only surface much later.
    error = task.exception()
    if isinstance(error, InstrumentError):
        _log.info("an activity failed: %s", error)
    elif error is not None:
        _log.error("an activity failed", exc_info=error)
