"""Work that must not be left half done, whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

Result = TypeVar("Result")


async def finish(
    work: Coroutine[None, None, Result], cancelled: asyncio.CancelledError | None = None
) -> Result:
    """Carry ``work`` to its end however often the caller is cancelled; for clean-up only.

    Args:
        work: what must not be left half done; it bounds its own time.
        cancelled: how the caller was cancelled before, if it was.

    Raises:
        CancelledError: ``work`` ended, and the caller was cancelled before or meanwhile.
    """
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # A failure of the work must not go unnoticed, nor hide that the caller was cancelled.
        raise cancelled from task.exception()
    return task.result()
