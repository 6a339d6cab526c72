"""Work beside the event loop, and a judgement that does not come."""

from __future__ import annotations

import asyncio
import threading
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


def test_what_hangs_keeps_nothing_from_ending():
    begun, go_on, ended = asyncio.Event(), threading.Event(), threading.Event()

    def hang(loop: asyncio.AbstractEventLoop) -> None:
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

    try:
        # It comes back although the thread goes on.
        asyncio.run(main())
        (left,) = (thread for thread in threading.enumerate() if thread.name == "aside")
        assert left.daemon
        assert not ended.is_set()
    finally:
        go_on.set()
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
