"""Work beside the event loop, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


async def aside(work: Callable[[], Result]) -> Result:
    """Do ``work`` in a thread of its own.

    Unlike the threads of the event loop's own pool, one that hangs keeps neither the loop nor the
    program from ending: whoever gives up waiting leaves it behind.
    """
    return await asyncio.get_running_loop().run_in_executor(_Daemons(), work)


class _Daemons(Executor):
    """One daemon thread for each piece of work."""

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        future: Future[Result] = Future()
        # From here on nobody can cancel it, so its end can always be told.
        future.set_running_or_notify_cancel()

        def work() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, daemon=True, name="aside").start()
        return future
