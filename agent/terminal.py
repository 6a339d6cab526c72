"""The terminal that the agent was started in, as the place where an operator is asked."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TextIO

from rich.console import Console
from rich.text import Text

from agent.approval import Answer, Request, digest
from agent.screen import Screen
from agent.wording import describe, spot
from drivers.errors import ConfigError

if sys.platform == "win32":
    import msvcrt
else:
    import termios

WORDS = {"y": True, "yes": True, "n": False, "no": False, "": False}
#: How often the time that is left is told.
REMIND_S = 30.0
_LINE_BYTES = 1024


class Terminal:
    """Asks in a terminal: one line is an answer, and only ``y`` or ``yes`` is a yes.

    Lines are read in a thread, because waiting for one must not hold up the control loop, and not
    every event loop can wait for a terminal. What is typed while nothing is asked is forgotten: it
    cannot be an answer.

    Args:
        descriptor: of the terminal, for reading.
        console: where questions are written.
        screen: what ``console`` writes to, if that may lag behind.
    """

    def __init__(self, descriptor: int, console: Console, screen: Screen | None = None) -> None:
        self._descriptor = descriptor
        self._console = console
        self._screen = screen
        self._reader: threading.Thread | None = None
        self._heard: asyncio.Queue[bytes] | None = None
        self._gone = False

    @classmethod
    def open(cls, screen: Screen | None = None) -> Terminal:
        """The terminal of this process.

        Args:
            screen: what stands for its standard error, if anything does.

        Raises:
            ConfigError: it has none, or may not read from it.
        """
        if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
            raise ConfigError(
                "supervised mode asks in the terminal, and standard input or standard error is "
                "none; start it in a terminal, or without --supervised"
            )
        if not _in_foreground(sys.stdin.fileno()):
            raise ConfigError(
                "supervised mode asks in the terminal, and a job in the background cannot read "
                "it; start it in the foreground, or without --supervised"
            )
        return cls(sys.stdin.fileno(), Console(stderr=True, highlight=False), screen)

    async def ask(self, request: Request) -> Answer:
        """Show ``request`` and wait for a line that answers it; a terminal that is gone says no."""
        await self._show(_question(request))
        _forget_typed(self._descriptor)
        self._listen()
        # What the thread has read already is taken in, and dropped, before an answer can come.
        await asyncio.sleep(0)
        self._heard = asyncio.Queue()
        try:
            while (said := await self._said(request, self._heard)) is None:
                pass
        finally:
            self._heard = None
        # Of what was shown: an answer is to that and to nothing else.
        shown = digest(request.action, request.x_m, request.y_m)
        by = "nobody: the terminal is gone" if self._gone else _operator()
        return Answer(request.id, shown, said, by)

    async def _show(self, question: str) -> None:
        """Show ``question``; returns once it stands there: nobody can answer what they cannot see.

        If it was dropped before it got there, it is shown again.
        """
        self._console.print(Text(question))
        while self._screen is not None and not await self._screen.shown():
            self._console.print(Text(question))

    async def _said(self, request: Request, heard: asyncio.Queue[bytes]) -> bool | None:
        """Yes, no, or nothing that could be understood before the next reminder."""
        if self._gone:
            return False
        loop = asyncio.get_running_loop()
        self._console.print(Text(_prompt(request.expires_s - loop.time())), end="")
        try:
            async with asyncio.timeout(REMIND_S):
                typed = await heard.get()
        except TimeoutError:
            self._console.print()
            return None
        return WORDS.get(typed.decode(errors="replace").strip().lower())

    def _listen(self) -> None:
        if self._reader is None:
            loop = asyncio.get_running_loop()
            # Nothing can wake it up, so nothing may wait for its end.
            self._reader = threading.Thread(target=self._read, args=(loop,), daemon=True)
            self._reader.start()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        typed = b"\n"
        while typed:
            try:
                # Past sys.stdin, whose lock a thread that reads for ever would take to the grave.
                typed = os.read(self._descriptor, _LINE_BYTES)
            except OSError:
                typed = b""
            try:
                loop.call_soon_threadsafe(self._take, typed)
            except RuntimeError:
                return  # The run is over, and its loop closed.

    def _take(self, typed: bytes) -> None:
        self._gone = self._gone or not typed
        if self._heard is not None:
            self._heard.put_nowait(typed)


def _question(request: Request) -> str:
    return (
        f"May this be done at {spot(request.x_m, request.y_m)}?\n"
        f"  {describe(request.action)}\n"
        f"  because: {request.reason}"
    )


def _prompt(left_s: float) -> str:
    until = datetime.now().astimezone() + timedelta(seconds=left_s)
    return f"  y/N, {left_s:.0f} s left (until {until:%H:%M:%S}): "


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _in_foreground(descriptor: int) -> bool:
    if sys.platform != "win32":
        # A terminal that controls no jobs can be read by all.
        with suppress(OSError):
            return os.tcgetpgrp(descriptor) == os.getpgrp()
    return True


def _forget_typed(descriptor: int) -> None:
    """Drop what was typed before: not even half a line of it may become an answer."""
    if sys.platform == "win32":
        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        with suppress(termios.error):
            termios.tcflush(descriptor, termios.TCIFLUSH)


def _operator() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody at the terminal"
