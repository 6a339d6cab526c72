"""Keeping the watches: looks at instrument and computer, and does what the table says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NoReturn

from agent.beside import Beside
from agent.computer import Computer, Lookout
from agent.config import WatchdogSettings
from agent.hands import Left
from agent.watches import WATCHES, Reaction, Sighting, Watch
from drivers.actions import Action, TunnellingPoint
from drivers.clock import VirtualClock
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import Alarm, SettingsChanged
from drivers.microscope import MicroscopeState
from drivers.scan import ScanLine, ScanSettings

#: Wall time between two looks at the instrument during a scan, and while something is waited for.
SCAN_LOOK_S = 1.0
WAIT_LOOK_S = 3.0
#: Wall time for which trouble has to last during a scan (s).
LASTING_S = 0.25


class Watchdog:
    """Watches one run.

    Args:
        microscope: the instrument.
        settings: when the watches are set off.
        computer: the computer that this runs on.
        notify: told the name of a watch and its complaint where nothing else happens.
    """

    def __init__(
        self,
        microscope: EnvelopedMicroscope,
        settings: WatchdogSettings,
        computer: Computer,
        notify: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._microscope = microscope
        self._settings = settings
        self._lookout = Lookout(computer)
        self._notify = notify
        self._left: Left | None = None
        self._range_m = 0.0
        self._told: set[str] = set()

    async def begin(self) -> MicroscopeState:
        """Take the instrument for left as it is found; returns how.

        Raises:
            Alarm: it does not answer.
        """
        state = await self._state()
        self._left = Left.found(state)
        self._range_m = math.hypot(*state.range_m[:2])
        return state

    async def inspect(self) -> None:
        """Look at everything; called before every scan and every action.

        Raises:
            SettingsChanged: somebody else has changed what the agent had set.
            Alarm: another watch was set off.
        """
        await self._lookout.look()
        await self._judge(self._sighting(await self._state()))

    def beside_waiting(self) -> Beside:
        """Inspect every few seconds while the context runs, in which nothing is done.

        The context raises what ``inspect`` does, and breaks off what is waited for.
        """
        return Beside(self.inspect, WAIT_LOOK_S)

    def beside_scan(self) -> AbstractAsyncContextManager[object]:
        """Look at the instrument every second while the context runs, in which it scans.

        The context raises an Alarm if a watch was set off, and breaks the scan off.
        """
        # Where time passes only for who waits, nothing happens behind a scan's back, and a reading
        # more or less, by the clock on the wall, would make each run another one.
        if isinstance(self._microscope.clock, VirtualClock):
            return nullcontext()
        return Beside(self._glance, SCAN_LOOK_S)

    async def next_line(
        self, lines: AsyncGenerator[ScanLine], settings: ScanSettings, *, first: bool
    ) -> ScanLine | None:
        """Wait for the next line of a scan; None at its end. Looks at the computer every second.

        Raises:
            Alarm: no line came in time, or a watch over the computer was set off.
        """
        allowed_s = max(self._settings.stall_s, self._settings.stall_lines * settings.line_s)
        if first:
            # The tip may have to cross the whole range, at the speed of the scan.
            allowed_s += self._range_m / settings.speed_m_per_s
        try:
            async with asyncio.timeout(allowed_s):
                line = await anext(lines, None)
        except TimeoutError:
            await self._fail(Sighting(overdue_s=allowed_s))
        if await self._lookout.look():
            await self._judge(self._sighting(None))
        return line

    def scanned(self, point: TunnellingPoint) -> None:
        """Remember that a scan at ``point`` has ended."""
        if self._left is not None:
            self._left = self._left.after_scan(point)

    def acted(self, action: Action) -> None:
        """Remember that ``action`` was carried out."""
        if self._left is not None:
            self._left = self._left.after(action)

    async def _glance(self) -> None:
        if self._set_off_under_way(await self._state()):
            # Bias and setpoint of the scan may just be set, or the tip may cross a bump.
            await asyncio.sleep(LASTING_S)
            for watch, complaint in self._set_off_under_way(await self._state()):
                await self._react(watch, complaint)

    def _set_off_under_way(self, state: MicroscopeState) -> list[tuple[Watch, str]]:
        # The computer is looked at between the lines.
        seen = Sighting(state, self._left, under_way=True)
        complaints = ((watch, watch.complain(seen, self._settings)) for watch in WATCHES)
        return [(watch, complaint) for watch, complaint in complaints if complaint is not None]

    async def _state(self) -> MicroscopeState:
        silent_s = self._settings.silent_s
        try:
            async with asyncio.timeout(silent_s):
                return await self._microscope.state()
        except TimeoutError:
            await self._fail(Sighting(silent_s=silent_s))

    def _sighting(self, state: MicroscopeState | None) -> Sighting:
        return Sighting(
            state=state,
            left=self._left,
            jumped_s=self._lookout.jumped_s,
            disk_mib=self._lookout.disk_mib,
            memory_mib=self._lookout.memory_mib,
        )

    async def _judge(self, seen: Sighting) -> None:
        for watch in WATCHES:
            complaint = watch.complain(seen, self._settings)
            if complaint is None:
                self._told.discard(watch.name)
            else:
                await self._react(watch, complaint)

    async def _react(self, watch: Watch, complaint: str) -> None:
        match watch.reaction:
            case Reaction.WITHDRAW:
                raise Alarm(complaint)
            case Reaction.PAUSE:
                raise SettingsChanged(complaint)
            case Reaction.NOTIFY if watch.name not in self._told:
                # Once, and again only after it was well in between.
                self._told.add(watch.name)
                await self._notify(watch.name, complaint)

    async def _fail(self, seen: Sighting) -> NoReturn:
        await self._judge(seen)
        raise RuntimeError("no watch was set off by a time that had run out")
