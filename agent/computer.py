"""What this computer tells of itself: room on the disk, memory, and its clocks."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from agent.aside import aside

MIB = 2**20
#: Time between two looks, and how long one may take before it counts as unanswered (s).
LOOK_S = 1.0
PATIENCE_S = 0.25
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Computer:
    """What this computer tells of itself.

    Attributes:
        folder: a folder on the disk that is watched.
    """

    folder: Path

    def disk_mib(self) -> float | None:
        """Room on the disk (MiB), or None where it does not tell."""
        try:
            return shutil.disk_usage(self.folder).free / MIB
        except OSError:
            return None

    def memory_mib(self) -> float | None:
        """Memory that programs can still have (MiB), or None where the system does not tell."""
        try:
            lines = _MEMORY.read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        told = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
        return int(told[0]) / 1024 if told else None

    def clocks(self) -> tuple[float, float]:
        """Time of day, and time that only ever runs on (s)."""
        return time.time(), time.monotonic()


class Lookout:
    """Looks at the computer once a second, from a thread: its disk may hang, the run must not.

    Attributes:
        disk_mib: room on the disk when it was last looked at (MiB), or None if it did not tell.
        memory_mib: memory left then (MiB), or None if the system did not tell.
        jumped_s: how far the clock had jumped since the look before (s).
    """

    def __init__(self, computer: Computer) -> None:
        self._computer = computer
        self._ahead_s = _ahead_s(computer.clocks())
        self._due_s = -math.inf
        self._under_way = False
        self.disk_mib: float | None = None
        self.memory_mib: float | None = None
        self.jumped_s = 0.0

    async def look(self) -> bool:
        """Look, if the last look is a second ago; whether it was."""
        clocks = self._computer.clocks()
        if clocks[1] < self._due_s:
            return False
        self._due_s = clocks[1] + LOOK_S
        before_s, self._ahead_s = self._ahead_s, _ahead_s(clocks)
        self.jumped_s = self._ahead_s - before_s
        self.disk_mib, self.memory_mib = await self._room()
        return True

    async def _room(self) -> tuple[float | None, float | None]:
        # One look that hangs is enough.
        if self._under_way:
            return None, None
        self._under_way = True
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await aside(self._told)
        except TimeoutError:
            return None, None

    def _told(self) -> tuple[float | None, float | None]:
        try:
            return self._computer.disk_mib(), self._computer.memory_mib()
        finally:
            self._under_way = False


def _ahead_s(clocks: tuple[float, float]) -> float:
    day_s, steady_s = clocks
    return day_s - steady_s
