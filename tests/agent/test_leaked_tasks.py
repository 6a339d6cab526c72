"""That the tests themselves notice a task that nobody waits for."""

from __future__ import annotations

import asyncio

import pytest


def test_a_task_left_in_virtual_time_is_noticed(run_virtual):
    async def main() -> None:
        main.task = asyncio.create_task(asyncio.Event().wait(), name="stray")
        await asyncio.sleep(1)

    with pytest.raises(pytest.fail.Exception, match="left tasks running: stray"):
        run_virtual(main)


def test_a_task_that_has_ended_is_none(run_virtual):
    async def main() -> str:
        main.task = asyncio.create_task(asyncio.sleep(1))
        await asyncio.sleep(2)
        return "done"

    assert run_virtual(main) == "done"
