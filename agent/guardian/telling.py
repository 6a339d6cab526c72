"""Writing down and saying aloud, beside the event loop: a hung disk must not stop a withdrawal."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from agent.guardian.statefile import Report, write_report

#: How long one waits for what is still to be told.
LAST_WORDS_S = 2.0
#: Pause before a report that could not be written is tried again.
RETRY_S = 5.0

_Telling = tuple[Report, bool, Callable[[str | None], object]]


class Teller:
    """Tells reports in their order, from a thread of its own.

    Args:
        path: the state file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: queue.SimpleQueue[_Telling | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="teller").start()

    def tell(self, report: Report, *, aloud: bool, written: Callable[[str | None], object]) -> None:
        """Write ``report`` down, and say it on standard error if ``aloud``; returns at once.

        What cannot be written is tried again every few seconds until there is something newer.

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

    def _work(self) -> None:
        owed: Report | None = None
        while True:
            try:
                told = self._waiting.get(timeout=None if owed is None else RETRY_S)
            except queue.Empty:
                owed = self._again(owed)
                continue
            if isinstance(told, threading.Event):
                told.set()
            else:
                owed = self._tell(*told)

    def _tell(
        self, report: Report, aloud: bool, written: Callable[[str | None], object]
    ) -> Report | None:
        """Tell it; what is to be tried again."""
        if aloud:
            _say(f"{report.since_utc}: {report.state}: {report.reason}")
        problem = self._write(report)
        if problem is not None:
            _say(f"{self._path} cannot be written: {problem}; tried again every {RETRY_S:g} s")
        # Whoever wants to know may have ended by now.
        with contextlib.suppress(RuntimeError):
            written(problem)
        return None if problem is None else report

    def _again(self, owed: Report | None) -> Report | None:
        if owed is None or self._write(owed) is not None:
            return owed
        _say(f"{self._path} is written again")
        return None

    def _write(self, report: Report) -> str | None:
        """What was wrong, or None."""
        try:
            write_report(self._path, report)
        except OSError as error:
            return str(error)
        return None


def _say(text: str) -> None:
    # Its terminal may be gone by now, and nobody left to be told.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"tipsmith guardian, {text}\n")
        sys.stderr.flush()
