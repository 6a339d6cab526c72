"""Looking on while something else is waited for, and breaking that off where it has to be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

#: Wall time (s) for a look that is under way when the work beside it has failed.
PATIENCE_S = 0.5


class Beside:
    """Looks every so often while the body of the context runs.

    What a look raises breaks the body off, as if cancelled, and is raised by the context. A look
    under way at the end of the body is waited for: cut off from its answer, it would cost the
    connection to the instrument.

    Args:
        look: looks once; raises what the body is to be broken off for.
        every_s: pause between two looks (s of the event loop).
    """

    def __init__(self, look: Callable[[], Awaitable[None]], every_s: float) -> None:
        self._look = look
        self._every_s = every_s
        self._over = asyncio.Event()
        self._broke_off = False

    async def __aenter__(self) -> Self:
        worker = asyncio.current_task()
        if worker is None:
            raise RuntimeError("only a task can be broken off")
        self._worker, self._before = worker, worker.cancelling()
        self._looking = asyncio.create_task(self._look_on(), name="looking on")
        self._looking.add_done_callback(self._break_off)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        try:
            await asyncio.wait({self._looking}, timeout=None if error is None else PATIENCE_S)
        finally:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        if self._broke_off and self._worker.uncancel() > self._before:
            # Whoever else has cancelled this task meanwhile must not go unheard.
            return
        trouble = self._trouble()
        if trouble is not None and (error is None or self._broke_off):
            raise trouble from None

    async def _look_on(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._over.wait()
                    return
            await self._look()

    def _break_off(self, _: asyncio.Task[None]) -> None:
        if self._trouble() is not None and not self._over.is_set():
            self._broke_off = True
            self._worker.cancel()

    def _trouble(self) -> BaseException | None:
        return None if self._looking.cancelled() else self._looking.exception()
