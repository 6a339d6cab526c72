"""The event loop and clean-up on it."""

from __future__ import annotations

import asyncio
import signal

import pytest

from agent.loop import finish, run


def test_run_gives_the_result():
    async def work() -> int:
        return 7

    assert run(work()) == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_lets_clean_up(number: signal.Signals):
    cleaned: list[str] = []

    async def work() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("cleaned")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert cleaned == ["cleaned"]
    assert signal.getsignal(signal.SIGTERM) is before


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
