"""The event loop: made here and nowhere else, and how it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")

#: Ctrl-C, a request to terminate, a closed terminal or dropped connection, and Ctrl-Break.
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
WAIT_TEXT = "tipsmith: stopping already; please wait until the tip is withdrawn\n"


def run(work: Coroutine[None, None, Result]) -> Result:
    """Run ``work`` to its end on a new event loop.

    The first signal that asks to stop cancels ``work`` and lets it clean up; while it does, further
    ones are only answered on standard error.

    Raises:
        KeyboardInterrupt: after ``work`` was stopped by a signal and has ended.
    """
    stop = _Stop()
    with asyncio.Runner() as runner:
        try:
            return runner.run(stop.heeded_by(work))
        except asyncio.CancelledError:
            if stop.asked:
                raise KeyboardInterrupt from None
            raise


class _Stop:
    """Whether a signal has asked the main task to stop."""

    def __init__(self) -> None:
        self.asked = False

    async def heeded_by(self, work: Coroutine[None, None, Result]) -> Result:
        """Do ``work`` as the main task, which signals cancel."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def cancel() -> None:
            # A second cancellation could cut a command to the instrument off from its answer, and
            # with the link gone the tip could not be withdrawn.
            if self.asked:
                _say_wait()
            elif task is not None:
                self.asked = True
                task.cancel()

        def handler(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(cancel)

        with _handled(handler):
            return await work


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.ExitStack() as undo:
        for number in (getattr(signal, name) for name in STOPPING if hasattr(signal, name)):
            before = signal.getsignal(number)
            # What the caller had ignored stays so: Ctrl-C for a job in the background, a closed
            # terminal under nohup.
            if before not in (signal.SIG_IGN, None):
                signal.signal(number, handler)
                undo.callback(signal.signal, number, before)
        yield


def _say_wait() -> None:
    # After its terminal is gone, nobody is left to be told.
    with contextlib.suppress(OSError):
        sys.stderr.write(WAIT_TEXT)
        sys.stderr.flush()
