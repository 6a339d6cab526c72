"""A journal written beside the event loop: durable when awaited, and a disk that hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.aside import Lane
from agent.config import RepairSettings
from agent.journal import FILE, Journal, Scribe, new_journal, scribe
from agent.journal.storage import is_held
from agent.record import Intent, Kind
from agent.repair import repair
from drivers.errors import FileError, UserError
from drivers.microscope import Debts
from drivers.outcome import Outcome
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer

INTENT = Intent(DIP, 0.0, 0.0, "blunt", own=True)


class Disk:
    """Takes nothing while it hangs; only then is patience short, as a busy disk may be slow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.turns = threading.Event()
        self.turns.set()
        self.asked = threading.Event()
        append = Journal._append

        def slow(*arguments, **more) -> int:
            self.asked.set()
            self.turns.wait()
            return append(*arguments, **more)

        monkeypatch.setattr(Journal, "_append", slow)

    def hang(self, patience_s: float = scribe.PATIENCE_S) -> None:
        self.asked.clear()
        self.turns.clear()
        self._patch.setattr(scribe, "PATIENCE_S", patience_s)

    @contextmanager
    def hanging(self, patience_s: float = scribe.PATIENCE_S) -> Iterator[None]:
        self.hang(patience_s)
        try:
            yield
        finally:
            self.turns.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.turns.set()


def kinds(folder: Path) -> list[Kind]:
    (path,) = folder.glob(f"*/{FILE}")
    with Journal.open(path) as journal:
        return [record.kind for record in journal.records()]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "journal"]


async def asked(disk: Disk) -> None:
    await asyncio.to_thread(disk.asked.wait)


async def test_what_was_awaited_can_be_read(tmp_path: Path):
    async with new_journal(tmp_path, {"seed": 1}) as journal:
        await journal.note(Kind.STARTED, 0.0, {})
        entry = await journal.intend(INTENT, 1.0)
        assert kinds(tmp_path) == [Kind.STARTED, Kind.INTENT]
        await journal.done(entry, Outcome(1.0, 2.0))
        assert is_held(journal.path.parent)
        (thread,) = threads()
    assert kinds(tmp_path) == [Kind.STARTED, Kind.INTENT, Kind.OUTCOME]
    assert not is_held(journal.path.parent)
    thread.join(30)
    assert threads() == []


async def test_the_loop_goes_on_while_the_disk_hangs(tmp_path: Path, disk: Disk):
    async with new_journal(tmp_path, {}) as journal:
        with disk.hanging():
            writing = asyncio.ensure_future(journal.intend(INTENT, 0.0))
            await asked(disk)
            for _ in range(100):
                await asyncio.sleep(0)
            assert not writing.done()
        assert await writing == 1


async def test_what_waits_is_written_in_its_order_even_if_nobody_waits_for_it(
    tmp_path: Path, disk: Disk
):
    async with new_journal(tmp_path, {}) as journal:
        with disk.hanging():
            first = asyncio.ensure_future(journal.note(Kind.STARTED, 0.0, {}))
            await asked(disk)
            second = asyncio.ensure_future(journal.intend(INTENT, 1.0))
            await asyncio.sleep(0)
            for task in (first, second):
                task.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            assert first.cancelled()
            assert second.cancelled()
        await journal.note(Kind.ERROR, 2.0, {})
    assert kinds(tmp_path) == [Kind.STARTED, Kind.INTENT, Kind.ERROR]


async def test_a_disk_that_hangs_is_given_up(tmp_path: Path, disk: Disk):
    async with new_journal(tmp_path, {}) as journal:
        with disk.hanging(0.05):
            with pytest.raises(FileError, match=r"not taken an entry within 0\.05 s; see what"):
                await journal.note(Kind.STARTED, 0.0, {})
            # No longer waited for, whatever it does from now on.
            disk.turns.set()
            with pytest.raises(FileError, match="not taken an entry"):
                await journal.intend(INTENT, 0.0)
    assert Kind.INTENT not in kinds(tmp_path)


async def test_a_run_ends_although_its_disk_hangs(tmp_path: Path, disk: Disk):
    async with new_journal(tmp_path, {}) as journal:
        disk.hang(0.05)
        with pytest.raises(FileError):
            await journal.note(Kind.STARTED, 0.0, {})


async def test_a_journal_that_cannot_be_started_in_time_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    turns = threading.Event()
    monkeypatch.setattr(Journal, "create", lambda *_: turns.wait())
    monkeypatch.setattr(scribe, "PATIENCE_S", 0.05)
    with pytest.raises(FileError, match=r"no journal could be started in .* within 0\.05 s"):
        async with new_journal(tmp_path, {}):
            pytest.fail("there is none")
    turns.set()


async def test_nobody_learns_of_what_was_only_mentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with new_journal(tmp_path, {}) as journal:
        journal.mention(Kind.NOTICED, 0.0, {"watch": "display"})
        await journal.note(Kind.STARTED, 0.0, {})
        monkeypatch.setattr(Journal, "note", lambda *_: 1 // 0)
        journal.mention(Kind.NOTICED, 0.0, {"watch": "display"})
    assert kinds(tmp_path) == [Kind.NOTICED, Kind.STARTED]


async def test_a_used_journal_is_told(tmp_path: Path):
    async with new_journal(tmp_path, {}) as journal:
        await journal.expect_unused()
        entry = await journal.intend(INTENT, 0.0)
        with pytest.raises(UserError, match="unknown outcome"):
            await journal.expect_unused()
        await journal.refused(entry, "too deep", 1.0)
        with pytest.raises(UserError, match="holds a run already"):
            await journal.expect_unused()


async def test_an_action_whose_intent_is_not_on_the_disk_is_not_sent(
    tmp_path: Path, disk: Disk, settings: RepairSettings
):
    microscope = ScriptedMicroscope([0.1])

    def hang_when_looked_at(_: object) -> None:
        # The second entry of the second step: a look has been judged, an action follows.
        if microscope.lines == [settings.lines]:
            disk.hang(0.05)

    async with new_journal(tmp_path, {}) as journal:
        result = await repair(
            microscope.enveloped(),
            ScriptedScorer(),
            Always(DIP),
            settings,
            journal,
            hang_when_looked_at,
        )
        disk.turns.set()
    assert (result.outcome, result.exit_code) == ("stopped", 2)
    assert "has not taken an entry within" in result.reason
    assert microscope.calls == ["scan", "withdraw"]


async def test_a_lane_does_one_thing_after_the_other():
    lane, loop = Lane("lane"), asyncio.get_running_loop()
    go_on, done = threading.Event(), []
    first = loop.run_in_executor(lane, lambda: (go_on.wait(), done.append(1)))
    second = loop.run_in_executor(lane, done.append, 2)
    go_on.set()
    await asyncio.gather(first, second)
    assert done == [1, 2]
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(lane, lambda: 1 // 0)
    lane.shutdown()


def test_a_scribe_tells_where_it_writes(tmp_path: Path):
    lane = Lane("lane")
    with Journal.create(tmp_path, {}, "night") as journal:
        assert Scribe(journal, lane).path == journal.path
    lane.shutdown()


async def test_how_a_run_ended_is_written_once_a_disk_turns_again(tmp_path: Path, disk: Disk):
    async with new_journal(tmp_path, {}) as journal:
        disk.hang(0.05)
        with pytest.raises(FileError):
            await journal.note(Kind.DECLARED, 0.0, {})
        await journal.last_word(Kind.ERROR, 1.0, {})
        (thread,) = threads()
    disk.turns.set()
    thread.join(30)
    assert kinds(tmp_path) == [Kind.DECLARED, Kind.ERROR]
    assert not is_held(journal.path.parent)


async def test_the_last_word_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise FileError("the disk is full")

    async with new_journal(tmp_path, {}) as journal:
        monkeypatch.setattr(Journal, "_append", full)
        await journal.last_word(Kind.ERROR, 1.0, {})
    assert kinds(tmp_path) == []


async def test_putting_back_waits_for_no_disk(tmp_path: Path, disk: Disk, settings: RepairSettings):
    microscope = Lender([0.9])
    async with new_journal(tmp_path, {}) as journal:
        await repair(microscope.enveloped(), ScriptedScorer(), Always(DIP), settings, journal)
        with disk.hanging():
            await microscope.told({"point": None})
    assert kinds(tmp_path)[-2:] == [Kind.DECLARED, Kind.OWED]


class Lender(ScriptedMicroscope):
    """Tells what it has to put back."""

    async def account_to(self, told: Callable[[Debts], Awaitable[None]]) -> None:
        self.told = told

    async def take_up(self, debts: Debts) -> None:
        pass
