"""What this process holds at one moment, as far as the system tells it: memory, tasks, handles."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
_PAGES = Path("/proc/self/statm")
_OPEN = Path("/dev/fd")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds.

    Attributes:
        memory_mib: resident memory (MiB), or None where it cannot be told.
        tasks: tasks of the running event loop.
        handles: open files, sockets and pipes, or None where it cannot be told.
        threads: threads that Python knows of.
    """

    memory_mib: float | None
    tasks: int
    handles: int | None
    threads: int

    @classmethod
    def now(cls) -> Holdings:
        """What this process holds now, less what only waits to be collected.

        Raises:
            RuntimeError: no event loop runs.
        """
        gc.collect()
        return cls(
            resident_mib(), len(asyncio.all_tasks()), _open_handles(), threading.active_count()
        )


def resident_mib() -> float | None:
    """Resident memory of this process (MiB): as Linux tells it, or else as ``ps`` does."""
    try:
        return int(_PAGES.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    except OSError:
        return _as_ps_says()


def _as_ps_says() -> float | None:
    command = ["/bin/ps", "-o", "rss=", "-p", str(os.getpid())]
    try:
        told = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - no shell
        return int(told.stdout) / 1024
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _open_handles() -> int | None:
    # Listing takes one more, always.
    try:
        return len(os.listdir(_OPEN))
    except OSError:
        return None


def change(before: float | None, after: float | None) -> float | None:
    """How much more there is, or None where either is unknown."""
    return None if before is None or after is None else after - before
