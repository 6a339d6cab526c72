"""Clean-up that is carried to its end, whoever is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from drivers.finishing import finish


async def test_finish_survives_every_cancellation():
    steps: list[int] = []

    async def work() -> None:
        for step in range(5):
            await asyncio.sleep(0)
            steps.append(step)

    task = asyncio.create_task(finish(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == [0, 1, 2, 3, 4]


async def test_finish_passes_on_what_the_work_raises():
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await finish(work())


async def test_who_was_cancelled_before_still_is_afterwards():
    before = asyncio.CancelledError("before")

    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(asyncio.CancelledError, match="before") as cancelled:
        await finish(work(), before)
    assert isinstance(cancelled.value.__cause__, ValueError)
