"""A terminal that nobody reads: what is shown waits for it, and nothing else does."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from rich.console import Console

from agent.approval import Approvals
from agent.display import Display
from agent.phases import Phase
from agent.result import Progress
from agent.screen import KEPT, Screen, unblocked
from agent.terminal import Terminal
from tests.agent.scripted import DIP

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

PROGRAM = "from agent.main import main; main()"
ROOT = Path(__file__).resolve().parents[2]


class Stopped:
    """A terminal that was stopped as by Ctrl-S.

    Attributes:
        stream: the program's end of it.
        screen: writes to it.
    """

    def __init__(self) -> None:
        self.keyboard, descriptor = pty.openpty()
        self.stream = os.fdopen(descriptor, "w")
        termios.tcflow(descriptor, termios.TCOOFF)
        self.screen = Screen(self.stream)

    def go_on(self) -> None:
        termios.tcflow(self.stream.fileno(), termios.TCOON)

    def read_until(self, text: str) -> str:
        shown = ""
        while text not in shown:
            shown += os.read(self.keyboard, 4096).decode()
        return shown

    def leave(self) -> None:
        # Lets go of whoever still writes.
        os.close(self.keyboard)
        self.screen.finish()
        self.stream.close()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopped]:
    monkeypatch.setattr("agent.screen.LAST_WORDS_S", 0.2)
    stopped = Stopped()
    yield stopped
    stopped.leave()


async def test_the_loop_goes_on_under_a_live_screen_that_nobody_reads(
    stopped: Stopped, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stderr", stopped.screen)
    log = logging.getLogger("tests.screen")
    log.propagate = False
    monkeypatch.setattr(log, "handlers", [logging._StderrHandler()])
    console = Console(stderr=True, force_terminal=True, width=120)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    beating = asyncio.create_task(beat())
    with Display(console) as display:
        for line in range(2 * KEPT):
            display.show(Progress(Phase.LOOKING, float(line), lines=line, note=f"note {line}"))
            log.warning("withdrawing again: %d", line)
            await asyncio.sleep(0)
    beating.cancel()
    assert beats >= 2 * KEPT
    started = time.monotonic()
    stopped.screen.finish()
    assert time.monotonic() - started < 10
    # The last is kept, the one that was under way, and in between the oldest are gone.
    stopped.go_on()
    shown = stopped.read_until(f"withdrawing again: {2 * KEPT - 1}")
    assert f"note {2 * KEPT - 1}" in shown
    assert "note 20\r" not in shown


def test_what_is_read_is_all_there_and_in_order(stopped: Stopped):
    stopped.go_on()
    for number in range(KEPT):
        stopped.screen.write(f"{number}\n")
    shown = stopped.read_until(f"\n{KEPT - 1}\r\n")
    assert shown.split() == [str(number) for number in range(KEPT)]


async def test_a_question_that_cannot_be_seen_cannot_be_answered(stopped: Stopped):
    screen, keyboard = stopped.screen, stopped.keyboard
    terminal = Terminal(stopped.stream.fileno(), Console(file=screen, width=200), screen)
    now = asyncio.get_running_loop().time()
    request = Approvals(120.0).ask(DIP, 0.0, 0.0, "blunt", now)
    asking = asyncio.create_task(terminal.ask(request))
    await asyncio.sleep(0)
    os.write(keyboard, b"y\n")
    # Now it is pushed out by what comes after it, and has to be asked anew.
    for number in range(2 * KEPT):
        screen.write(f"{number}\n")
    await asyncio.sleep(0)
    assert not asking.done()
    stopped.go_on()
    shown = await asyncio.to_thread(stopped.read_until, "s left (until ")
    assert "May this be done" in shown
    os.write(keyboard, b"n\n")
    assert not (await asking).allowed
    os.close(keyboard)
    terminal._reader.join(10)
    assert not terminal._reader.is_alive()
    stopped.keyboard = os.open(os.devnull, os.O_RDONLY)


def test_a_terminal_that_is_gone_is_told_to_whoever_writes(stopped: Stopped):
    stopped.screen.write("hello")
    os.close(stopped.keyboard)
    stopped.keyboard = os.open(os.devnull, os.O_RDONLY)
    stopped.screen.finish()
    assert not stopped.screen._writer.is_alive()
    with pytest.raises(OSError, match=r"\[Errno 5\]"):
        stopped.screen.write("anybody?")


def test_standard_error_is_left_alone_where_no_file_is_under_it(monkeypatch: pytest.MonkeyPatch):
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    with unblocked() as screen:
        assert screen is None
        assert sys.stderr is text


def test_all_of_standard_error_goes_the_same_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with unblocked() as screen:
            assert sys.stderr is screen
            sys.stderr.write("Grüße\n")
            typer.echo("and more", err=True)
        assert sys.stderr is stream
        assert (tmp_path / "log").read_text(encoding="utf-8") == "Grüße\nand more\n"
    assert not [one for one in threading.enumerate() if one.name == "screen"]


@pytest.mark.timeout(240)
def test_a_repair_in_a_terminal_that_nobody_reads_comes_to_its_end(tmp_path: Path):
    settings = '[repair]\npixels = 16\nlines = 24\n[policy]\nname = "escalation"\n'
    (tmp_path / "tipsmith.toml").write_text(settings)
    keyboard, terminal = pty.openpty()
    termios.tcflow(terminal, termios.TCOOFF)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "repair", "--json", "--seed", "3", "--max-actions", "0"],
        stdin=subprocess.DEVNULL,
        stderr=terminal,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    os.close(keyboard)
    os.close(terminal)
    result = json.loads(ended.stdout)
    assert (ended.returncode, result["outcome"]) == (1, "gave_up")
