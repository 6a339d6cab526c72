"""Writes a journal from the event loop, which waits for no disk: its commits have a thread.

An entry is durable when it was awaited, as before; only what else the loop has to do, the lease on
the guardian first, goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from agent.aside import Lane
from agent.journal.journal import Journal
from agent.record import Intent, Kind, Payload
from drivers.errors import FileError
from drivers.finishing import finish
from drivers.outcome import Outcome
from policies.episode import Look
from policies.history import Looked

Result = TypeVar("Result")

#: Wall time for the disk to take an entry (s): many times what one takes that only starts turning.
PATIENCE_S = 10.0


class Scribe:
    """Writes the entries of one run in their order.

    A disk that does not take an entry in ``PATIENCE_S`` is given up: whatever comes after is
    refused at once. Whether that one entry is durable is then unknown.

    Args:
        journal: nobody else writes to it meanwhile.
        lane: does one commit after the other.
    """

    def __init__(self, journal: Journal, lane: Executor) -> None:
        self._journal = journal
        self._lane = lane
        self._hangs = False

    @property
    def path(self) -> Path:
        """Path of the journal."""
        return self._journal.path

    async def expect_unused(self) -> None:
        """Make sure that no run has begun in the journal.

        Raises:
            UserError: one has.
        """
        await self._written(self._journal.expect_unused)

    async def note(self, kind: Kind, instrument_s: float, payload: Payload) -> None:
        """Write an entry that needs no words of its own.

        Raises:
            FileError: it cannot be written, or not in time; so with every other entry.
        """
        await self._written(lambda: self._journal.note(kind, instrument_s, payload))

    def mention(self, kind: Kind, instrument_s: float, payload: Payload) -> None:
        """Have an entry written if it can be; nobody waits for it or learns of its failure."""
        self._lane.submit(self._journal.note, kind, instrument_s, payload)

    async def last_word(self, kind: Kind, instrument_s: float, payload: Payload) -> None:
        """Have it written how the run has ended, whatever the disk does.

        One that hangs may turn again, and what was given before is then written, too.
        """
        if self._hangs:
            self.mention(kind, instrument_s, payload)
            return
        with suppress(FileError):
            await self.note(kind, instrument_s, payload)

    async def look_started(self, look: Look, instrument_s: float) -> None:
        """Note that a scan begins."""
        await self._written(lambda: self._journal.look_started(look, instrument_s))

    async def looked(self, looked: Looked) -> None:
        """Note what was seen."""
        await self._written(lambda: self._journal.looked(looked))

    async def intend(self, intent: Intent, instrument_s: float) -> int:
        """Note an action that is about to be sent; send it only after this has returned.

        Returns:
            The sequence of the entry.

        Raises:
            FileError: as for ``note``, or the outcome of the action before is unknown.
        """
        return await self._written(lambda: self._journal.intend(intent, instrument_s))

    async def done(self, intent: int, outcome: Outcome) -> None:
        """Note what the action of entry ``intent`` did."""
        await self._written(lambda: self._journal.done(intent, outcome))

    async def refused(self, intent: int, reason: str, instrument_s: float) -> None:
        """Note that the action of entry ``intent`` was not sent."""
        await self._written(lambda: self._journal.refused(intent, reason, instrument_s))

    async def close(self) -> None:
        """Let go of the file after what is still to be written; of a disk that hangs, later."""
        if self._hangs:
            self._lane.submit(self._journal.close)
            return
        with suppress(FileError):
            await self._written(self._journal.close)

    async def _written(self, write: Callable[[], Result]) -> Result:
        if self._hangs:
            raise self._hanging()
        try:
            return await _in_time(self._lane, write)
        except TimeoutError:
            self._hangs = True
            raise self._hanging() from None

    def _hanging(self) -> FileError:
        return FileError(
            f"the journal {self.path} has not taken an entry within {PATIENCE_S:g} s; "
            "see what keeps its disk"
        )


@asynccontextmanager
async def new_journal(directory: Path, about: Mapping[str, object]) -> AsyncGenerator[Scribe]:
    """The journal of a new run, closed at the end of the context.

    Args:
        directory: folder that gets a folder for this run.
        about: what is known of the run beforehand.

    Raises:
        FileError: it cannot be started, or not in time.
    """
    lane = Lane("journal")
    try:
        scribe = Scribe(await _started(lane, directory, about), lane)
        try:
            yield scribe
        finally:
            await finish(scribe.close())
    finally:
        lane.shutdown()


async def _started(lane: Lane, directory: Path, about: Mapping[str, object]) -> Journal:
    try:
        return await _in_time(lane, lambda: Journal.create(directory, about))
    except TimeoutError:
        raise FileError(
            f"no journal could be started in {directory} within {PATIENCE_S:g} s; "
            "see what keeps its disk"
        ) from None


async def _in_time(lane: Executor, work: Callable[[], Result]) -> Result:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.get_running_loop().run_in_executor(lane, work)
