"""Waiting for the next time something happens."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Happening(Generic[T]):
    """Something that happens again and again; each time, all who wait are told."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[T]] = set()

    def tell(self, what: T) -> None:
        """It happens now."""
        for future in self._waiting:
            if not future.done():
                future.set_result(what)

    async def next(self, timeout_s: float | None) -> T | None:
        """What happens next, or None if nothing does within ``timeout_s`` of wall time."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            self._waiting.discard(future)
