"""What all parts of one repair share: the instrument, the journal, the phase, and the time kept."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from time import perf_counter
from typing import TypeVar

from agent.computer import Computer
from agent.config import WatchdogSettings
from agent.journal import Scribe
from agent.phases import Phase, Phases
from agent.record import Kind
from agent.result import Listener, Progress
from agent.supervision import Supervision
from agent.watching import Watchdog
from drivers.enveloped import EnvelopedMicroscope
from drivers.microscope import Debts
from policies.report import TipReport

Reply = TypeVar("Reply")


class Run:
    """One repair under way.

    Attributes:
        microscope: the instrument, inside its envelope.
        journal: where everything is written.
        supervision: who is asked before actions, or None.
        progress: the latest glance.
        watchdog: keeps the watches.
    """

    def __init__(
        self,
        microscope: EnvelopedMicroscope,
        journal: Scribe,
        listener: Listener,
        watchdogs: WatchdogSettings,
        supervision: Supervision | None = None,
    ) -> None:
        self.microscope = microscope
        self.journal = journal
        self.supervision = supervision
        self.progress = Progress(Phase.STARTING)
        self._phases = Phases()
        self._listener = listener
        self._listener_failed = False
        self._began_s = microscope.clock.now()
        self._began_wall_s = perf_counter()
        self._waited_s = 0.0
        computer = Computer(journal.path.parent)
        self.watchdog = Watchdog(microscope, watchdogs, computer, self._notice)

    @property
    def now_s(self) -> float:
        """Instrument time (s)."""
        return self.microscope.clock.now()

    @property
    def ended(self) -> bool:
        """Whether the repair is over."""
        return self._phases.current is Phase.ENDED

    @property
    def wall_s(self) -> float:
        """Wall time since the beginning (s)."""
        return perf_counter() - self._began_wall_s

    @property
    def overhead_s(self) -> float:
        """Wall time since the beginning that was not spent waiting for the instrument (s)."""
        return self.wall_s - self._waited_s

    @property
    def instrument_s(self) -> float:
        """Instrument time since the beginning (s)."""
        return self.now_s - self._began_s

    async def take_account(self) -> None:
        """From now on what has to be put back at the instrument is in the journal first.

        Raises:
            FileError: it cannot be written.
        """
        await self.microscope.account_to(self._note_owed)

    async def instrument(self, call: Awaitable[Reply]) -> Reply:
        """Wait for the instrument, or for an operator, and keep account of the wait."""
        started = perf_counter()
        try:
            return await call
        finally:
            self._waited_s += perf_counter() - started

    def enter(self, phase: Phase) -> None:
        """Go on to ``phase`` and tell so."""
        self._phases.enter(phase)
        self.tell(replace(self.progress, phase=phase))

    def say(self, sentence: str) -> None:
        """Let the listener see ``sentence``, once."""
        progress = self.progress
        self.tell(replace(progress, note=sentence))
        self.tell(progress)

    def tell(self, progress: Progress) -> None:
        """Let the listener see ``progress``, with the time filled in."""
        self._show(replace(progress, instrument_s=self.instrument_s))

    def tell_lines(self, lines: int, report: TipReport | None) -> None:
        """Let the listener see how far the running scan is, and what it says so far."""
        time_s = self.instrument_s
        self._show(replace(self.progress, instrument_s=time_s, lines=lines, report=report))

    def _show(self, progress: Progress) -> None:
        self.progress = progress
        try:
            self._listener(self.progress)
        # A terminal that is gone, or whatever else it is: the tip cannot wait for it.
        except Exception as error:
            self._note_failed_listener(error)

    def _note_failed_listener(self, error: Exception) -> None:
        # The last entry of a journal tells how the run has ended: nothing but what is put back then
        # may follow it.
        if self._listener_failed or self.ended:
            return
        self._listener_failed = True
        complaint = f"progress could not be shown ({type(error).__name__}: {error})"
        # Told or not, the run goes on.
        self.journal.mention(Kind.NOTICED, self.now_s, {"watch": "display", "complaint": complaint})

    async def _note_owed(self, debts: Debts) -> None:
        if self.ended:
            # All is only put back now, and that must not wait for a disk.
            self.journal.mention(Kind.OWED, self.now_s, debts)
        else:
            await self.journal.note(Kind.OWED, self.now_s, debts)

    async def _notice(self, watch: str, complaint: str) -> None:
        await self.journal.note(Kind.NOTICED, self.now_s, {"watch": watch, "complaint": complaint})
        self.say(complaint)
