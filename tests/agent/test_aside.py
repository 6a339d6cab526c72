"""Work beside the event loop, and a judgement that does not come."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from functools import partial
from pathlib import Path

import pytest

from agent.aside import aside
from agent.config import RepairSettings
from agent.journal import Journal
from agent.looking import JUDGING_TIMEOUT_S
from agent.repair import repair
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe


async def test_what_is_done_aside_is_heard_of():
    here = threading.get_ident()
    assert await aside(threading.get_ident) != here
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0)


async def test_a_thread_is_used_again():
    threads = {await aside(threading.get_ident) for _ in range(100)}
    assert len(threads) == 1


async def test_nothing_is_kept_of_work_that_is_done():
    kept = Scrap()
    gone = weakref.ref(kept)
    await aside(partial(isinstance, kept, Scrap))
    del kept
    gc.collect()
    assert gone() is None


class Scrap:
    """Something that is worked on."""


async def test_of_several_threads_one_is_kept():
    together = threading.Barrier(3, timeout=30)

    def meet() -> threading.Thread:
        together.wait()
        return threading.current_thread()

    threads = await asyncio.gather(*(aside(meet) for _ in range(3)))
    kept = await aside(threading.current_thread)
    assert kept in threads
    for thread in set(threads) - {kept}:
        thread.join()


def test_what_hangs_keeps_nothing_from_ending():
    begun, go_on, ended = asyncio.Event(), threading.Event(), threading.Event()
    hanging: list[threading.Thread] = []

    def hang(loop: asyncio.AbstractEventLoop) -> None:
        hanging.append(threading.current_thread())
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()
        ended.set()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(aside(lambda: hang(loop)))
        await begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # What comes next does not wait behind it.
        assert await aside(threading.current_thread) not in hanging

    try:
        # It comes back although the thread goes on.
        asyncio.run(main())
        (left,) = hanging
        assert left.daemon
        assert left.is_alive()
        assert not ended.is_set()
    finally:
        go_on.set()
    # Another waits already.
    left.join()
    assert ended.is_set()


def test_a_judgement_that_does_not_come_ends_the_run(
    run_virtual, settings: RepairSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        microscope = ScriptedMicroscope([0.1])
        started = asyncio.get_running_loop().time()
        with Journal.create(tmp_path, {}, "night") as journal:
            result = await repair(
                microscope.enveloped(),
                ScriptedScorer(),
                Always(DIP),
                settings,
                scribe(journal),
            )
        assert (result.outcome, result.exit_code) == ("stopped", 3)
        assert result.reason.startswith("the scan was not judged within 60 s; see what keeps")
        assert microscope.calls == ["scan", "withdraw"]
        passed = asyncio.get_running_loop().time() - started
        assert passed == pytest.approx(JUDGING_TIMEOUT_S)

    monkeypatch.setattr("agent.looking.aside", hang)
    run_virtual(main)
