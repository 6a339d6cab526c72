"""Work beside the event loop, in threads that nobody has to wait for.

Unlike the threads of the event loop's own pool, one that hangs keeps neither the loop nor the
program from ending: whoever gives up waiting leaves it behind.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


async def aside(work: Callable[[], Result]) -> Result:
    """Do ``work`` in a thread of its own."""
    return await asyncio.get_running_loop().run_in_executor(_Daemons(), work)


class _Daemons(Executor):
    """One daemon thread for each piece of work."""

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        future, work = _prepared(lambda: fn(*args, **kwargs))
        threading.Thread(target=work, daemon=True, name="aside").start()
        return future


class Lane(Executor):
    """One daemon thread that does one piece of work after the other, in the order given.

    What was given is done even if whoever waits for it is cancelled.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name=name).start()

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Have ``fn`` done when all that was given before is."""
        future, work = _prepared(lambda: fn(*args, **kwargs))
        self._waiting.put(work)
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the thread end after what it was given; nobody waits for it, whatever is asked."""
        self._waiting.put(None)

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            work()


def _prepared(work: Callable[[], Result]) -> tuple[Future[Result], Callable[[], None]]:
    """A future, and what makes it come true."""
    future: Future[Result] = Future()
    # From here on nobody can cancel it, so its end can always be told.
    future.set_running_or_notify_cancel()

    def carry_out() -> None:
        try:
            result = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    return future, carry_out
