"""What every test relies on: no leaked tasks, and virtual time on request."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Set

import async_solipsism
import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.insert(0, "no_leaked_tasks")


@pytest.fixture
async def no_leaked_tasks() -> AsyncGenerator[None]:
    """Fail an asynchronous test that leaves a task behind."""
    before = asyncio.all_tasks()
    yield
    fail_for_leaked(before)


def fail_for_leaked(before: Set[asyncio.Task[object]]) -> None:
    """Fail if tasks run that did not run ``before``."""
    leaked = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
    for task in leaked:
        task.cancel()
    if leaked:
        names = ", ".join(task.get_name() for task in leaked)
        pytest.fail(f"the test left tasks running: {names}")


@pytest.fixture
def run_virtual() -> Callable[..., object]:
    """Run a coroutine function to its end on a loop whose time jumps ahead instead of waiting."""

    async def checked(main: Callable[[], Coroutine[None, None, object]]) -> object:
        result = await main()
        fail_for_leaked(set())
        return result

    def run(main: Callable[[], Coroutine[None, None, object]]) -> object:
        with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
            return runner.run(checked(main))

    return run
