"""Standard error that is never waited for: a terminal that nobody reads must not stop the loop."""

from __future__ import annotations

import asyncio
import io
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from typing import TextIO

#: Pieces of text that are kept while nobody reads; a live screen makes four a second.
KEPT = 256
#: How long one waits at the end for what is still to be written (s).
LAST_WORDS_S = 2.0
_RETRY_S = 0.05

# A mark in the text is told whether all before it was written.
_Mark = Callable[[bool], None]


class Screen(io.TextIOBase):
    """A text stream whose text a thread of its own writes to the file under ``stream``.

    While that takes no more, the newest ``KEPT`` pieces are kept and the oldest dropped.

    Args:
        stream: a stream over a file, a terminal or a pipe; left alone otherwise.

    Raises:
        OSError: ``stream`` is not over any.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        # Past its buffer, whose lock a write that hangs would keep from the end of the program.
        self._descriptor = stream.fileno()
        self._file = open(self._descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115 - kept
        self._terminal = stream.isatty()
        self._encoding = stream.encoding
        self._waiting: queue.SimpleQueue[str | _Mark | None] = queue.SimpleQueue()
        self._complete = True
        self._fault: OSError | None = None
        self._writer = threading.Thread(target=self._work, daemon=True, name="screen")
        self._writer.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How text becomes bytes; a plain attribute in the class above."""
        return self._encoding

    def fileno(self) -> int:
        """The file below."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._terminal

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str, /) -> int:
        """Have ``text`` written; returns at once.

        Raises:
            OSError: the file below has failed before; its terminal is gone.
            TypeError: it is no text; some try that to find out what a stream takes.
        """
        if not isinstance(text, str):
            raise TypeError(f"a screen takes text, not {type(text).__name__}")
        if self._fault is not None:
            raise self._fault
        while self._waiting.qsize() >= KEPT:
            with suppress(queue.Empty):
                self._drop(self._waiting.get_nowait())
        self._waiting.put(text)
        return len(text)

    async def shown(self) -> bool:
        """Wait until all text so far is written; False if any since the last such wait was not."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bool] = loop.create_future()

        def tell(complete: bool) -> None:
            if not told.done():
                told.set_result(complete)

        def mark(complete: bool) -> None:
            # The run may be over by now, and its loop closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, complete)

        self._waiting.put(mark)
        return await told

    def finish(self) -> None:
        """Wait a little for what is still to be written; nothing is written after it."""
        self._waiting.put(None)
        self._writer.join(LAST_WORDS_S)

    def _drop(self, item: str | _Mark | None) -> None:
        self._complete = False
        if callable(item):
            item(False)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, str):
                self._write_through(item.encode(self._encoding, "backslashreplace"))
            else:
                complete, self._complete = self._complete, True
                item(complete)

    def _write_through(self, rest: bytes) -> None:
        try:
            while rest and self._fault is None:
                written = self._file.write(rest)
                if written is None:
                    # Somebody has told the terminal not to let its writers wait.
                    time.sleep(_RETRY_S)
                else:
                    rest = rest[written:]
        except OSError as error:
            self._fault = error


@contextmanager
def unblocked() -> Iterator[Screen | None]:
    """Let nobody wait for standard error while the context lasts; None if no file is under it.

    Logging, warnings and whatever else takes ``sys.stderr`` when it writes go the same way.
    """
    try:
        screen = Screen(sys.stderr)
    except (AttributeError, OSError, ValueError):
        # Whoever has put something else there cannot keep its writers waiting.
        yield None
        return
    with redirect_stderr(screen):
        try:
            yield screen
        finally:
            screen.finish()
