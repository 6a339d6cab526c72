"""The event loop: made here and nowhere else, and how to clean up on one that is being stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


def run(work: Coroutine[None, None, Result]) -> Result:
    """Run ``work`` to its end on a new event loop.

    Ctrl-C, and where the system has it a request to terminate, cancel ``work`` and let it clean up.

    Raises:
        KeyboardInterrupt: after ``work`` was interrupted and has ended.
    """
    # The default loop of Windows cannot watch sockets of other libraries.
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with _terminate_like_interrupt(), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


async def finish(work: Coroutine[None, None, Result]) -> Result:
    """Carry ``work`` to its end even if the caller is cancelled meanwhile; for clean-up only.

    Args:
        work: what must not be left half done; it bounds its own time.

    Raises:
        CancelledError: it ended, and the caller was cancelled meanwhile.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # A failure of the work must not go unnoticed, nor hide that the caller was cancelled.
        raise cancelled from task.exception()
    return task.result()


@contextlib.contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)
