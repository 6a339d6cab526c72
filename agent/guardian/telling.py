"""Writing down and saying aloud, beside the event loop: a hung disk must not stop a withdrawal."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from pathlib import Path

from agent.guardian.statefile import Report, write_report

#: How long one waits for what is still to be told.
LAST_WORDS_S = 2.0


class Teller:
    """Tells reports in their order, from a thread of its own.

    Args:
        path: the state file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: queue.SimpleQueue[tuple[Report, bool] | threading.Event] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._work, daemon=True, name="teller").start()

    def tell(self, report: Report, *, aloud: bool) -> None:
        """Write ``report`` down, and say it on standard error if ``aloud``; returns at once."""
        self._waiting.put((report, aloud))

    def flush(self) -> None:
        """Wait a little for what is still to be told."""
        done = threading.Event()
        self._waiting.put(done)
        done.wait(LAST_WORDS_S)

    def _work(self) -> None:
        while True:
            told = self._waiting.get()
            if isinstance(told, threading.Event):
                told.set()
            else:
                self._tell(*told)

    def _tell(self, report: Report, aloud: bool) -> None:
        if aloud:
            _say(f"{report.since_utc}: {report.state}: {report.reason}")
        try:
            write_report(self._path, report)
        except OSError as error:
            _say(f"{self._path} cannot be written: {error}")


def _say(text: str) -> None:
    # Its terminal may be gone by now, and nobody left to be told.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"tipsmith guardian, {text}\n")
        sys.stderr.flush()
