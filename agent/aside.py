"""Work beside the event loop, in threads that nobody has to wait for.

Unlike the threads of the event loop's own pool, one that hangs keeps neither the loop nor the
program from ending: whoever gives up waiting leaves it behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")
#: Does something, and returns how to tell what came of it.
Work = Callable[[], Callable[[], None]]


class Lane(Executor):
    """One daemon thread that does one piece of work after the other, in the order given.

    What was given is done even if whoever waits for it is cancelled.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        Thread(target=_serve, args=(self._waiting,), daemon=True, name=name).start()

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Have ``fn`` done when all that was given before is."""
        future: Future[Result] = Future()
        # From here on nobody can cancel it, so its end can always be told.
        future.set_running_or_notify_cancel()

        def work() -> Callable[[], None]:
            try:
                return partial(future.set_result, fn(*args, **kwargs))
            except BaseException as error:
                return partial(future.set_exception, error)

        self._waiting.put(work)
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the thread end after what it was given; nobody waits for it, whatever is asked."""
        self._waiting.put(None)


async def aside(work: Callable[[], Result]) -> Result:
    """Do ``work`` in a thread of its own.

    One that has done its work is used again: torch works out anew in each thread how to do what it
    is asked for.
    """
    lane = _idle.pop() if _idle else Lane("aside")
    doing = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(lane, work))
    try:
        return await doing
    finally:
        if doing.cancelled() or _idle:
            # What was given up may go on for ever; nothing must wait behind it.
            lane.shutdown()
        else:
            _idle.append(lane)


#: The lane that waits for more work, if there is one.
_idle: deque[Lane] = deque()


def _serve(waiting: SimpleQueue[Work | None]) -> None:
    while _serves_on(waiting.get()):
        pass


def _serves_on(work: Work | None) -> bool:
    """Do ``work``; whether there may be more.

    A function of its own, so that nothing is kept of the work while more is waited for.
    """
    if work is None:
        return False
    work()()
    return True
