"""Writing down and saying aloud, beside the event loop: a hung disk must not stop a withdrawal."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from agent.guardian.statefile import Report, write_report
from agent.guardian.states import State

#: How long one waits for what is still to be told.
LAST_WORDS_S = 2.0
#: Pause before what could not be written is tried again, and between two looks at what was.
RETRY_S = 5.0

_Telling = tuple[Report, bool, Callable[[str | None], object]]


class Teller:
    """Tells reports in their order, from a thread of its own.

    Args:
        path: the state file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._latest: Report | None = None
        #: What tells the file as it was written from any other; None if it could not be written.
        self._mark: tuple[int, ...] | None = None
        self._waiting: queue.SimpleQueue[_Telling | threading.Event | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="teller").start()

    def tell(self, report: Report, *, aloud: bool, written: Callable[[str | None], object]) -> None:
        """Write ``report`` down, and say it on standard error if ``aloud``; returns at once.

        What cannot be written is tried again every few seconds until there is something newer. So
        is, while somebody may have to reach the guardian, what does not stand there any more.

        Args:
            report: what is to be told.
            aloud: whether to say it, too.
            written: called from another thread after the first try, with what was wrong or None.
        """
        self._waiting.put((report, aloud, written))

    def flush(self) -> None:
        """Wait a little for what is still to be told."""
        done = threading.Event()
        self._waiting.put(done)
        done.wait(LAST_WORDS_S)

    def finish(self) -> None:
        """Wait a little for what is still to be told; after that nothing is."""
        self.flush()
        self._waiting.put(None)

    def _work(self) -> None:
        while True:
            try:
                told = self._waiting.get(timeout=RETRY_S if self._cares else None)
            except queue.Empty:
                self._keep()
                continue
            if told is None:
                return
            if isinstance(told, threading.Event):
                told.set()
            else:
                self._tell(*told)

    @property
    def _cares(self) -> bool:
        """Whether the file is not as it should be, or has to stay so."""
        latest = self._latest
        return latest is not None and (self._mark is None or latest.state is not State.DISARMED)

    def _tell(self, report: Report, aloud: bool, written: Callable[[str | None], object]) -> None:
        if aloud:
            _say(f"{report.since_utc}: {report.state}: {report.reason}")
        problem = self._write(report)
        if problem is not None:
            _say(f"{self._path} cannot be written: {problem}; tried again every {RETRY_S:g} s")
        # Whoever wants to know may have ended by now.
        with contextlib.suppress(RuntimeError):
            written(problem)

    def _keep(self) -> None:
        """Write the latest report again if it does not stand there."""
        lost = self._mark is None or self._found() != self._mark
        if lost and self._latest is not None and self._write(self._latest) is None:
            _say(f"{self._path} is written again")

    def _write(self, report: Report) -> str | None:
        """What was wrong, or None."""
        self._latest, self._mark = report, None
        try:
            write_report(self._path, report)
        except OSError as error:
            return str(error)
        self._mark = self._found()
        return None

    def _found(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _say(text: str) -> None:
    # Its terminal may be gone by now, and nobody left to be told.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"tipsmith guardian, {text}\n")
        sys.stderr.flush()
