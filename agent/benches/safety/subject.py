"""An agent to do harm to: opens a microscope under a guardian and reads it until it is hurt.

Its arguments are the address of the microscope and the guardian's state file. It says ``armed``,
and the first line that it is sent then blocks its event loop.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from agent.config import GuardianSettings
from agent.guarding import guarded
from drivers.registry import open_microscope

BLOCKED_S = 5.0
_READ_S = 0.05


def main() -> None:
    """Run until something ends it."""
    uri, state = sys.argv[1:]
    asyncio.run(_work(uri, GuardianSettings(state=state)))


async def _work(uri: str, settings: GuardianSettings) -> None:
    microscope = await open_microscope(uri)
    async with guarded(microscope, settings) as guard, guard.kept():
        _say("armed")
        told = _told()
        while not told.is_set():
            await microscope.state()
            await asyncio.sleep(_READ_S)
        _say(repr(time.monotonic()))
        time.sleep(BLOCKED_S)  # noqa: ASYNC251 - a loop that is blocked is what is wanted


def _told() -> threading.Event:
    """Set when a line has come; a daemon waits for it, so that nothing else has to."""
    told = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        told.set()

    threading.Thread(target=wait, daemon=True).start()
    return told


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
