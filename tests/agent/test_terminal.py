"""Asking in a real terminal: what counts as an answer, and what does not."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from agent.approval import Answer, Approvals, Request
from agent.display import Display
from agent.installation import own_version
from agent.journal import Journal
from agent.journal.replay import replay
from agent.phases import Phase
from agent.record import Kind
from agent.result import Progress
from agent.terminal import Terminal
from agent.wording import describe
from drivers.actions import Approach, CoarseMove, MoveTo, Pulse
from drivers.errors import ConfigError
from tests.agent.scripted import AT, DIP

pty = pytest.importorskip("pty")

#: With a scorer that takes heights in metres for qualities: to it every tip is bad.
PROGRAM = """
from policies.scorer import Scorer
from tests.agent.scripted import ScriptedScorer
Scorer.load = ScriptedScorer
from agent.main import main
main()
"""
ROOT = Path(__file__).resolve().parents[2]


class Screen(io.StringIO):
    """Tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


class Desk:
    """A terminal with somebody before it.

    Attributes:
        screen: what was written.
        terminal: what the agent asks in.
    """

    def __init__(self) -> None:
        self._keyboard, self.descriptor = pty.openpty()
        self.screen = Screen()
        console = Console(file=self.screen, width=200, color_system=None)
        self.terminal = Terminal(self.descriptor, console)
        self._approvals = Approvals(120.0)

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def hang_up(self) -> None:
        os.close(self._keyboard)
        self._keyboard = -1

    def request(self) -> Request:
        now = asyncio.get_running_loop().time()
        return self._approvals.ask(DIP, 12e-9, -30e-9, "blunt: indent 1.00 nm", now)

    @property
    def prompts(self) -> int:
        return self.screen.getvalue().count("y/N, ")

    async def until_asked(self, times: int = 1) -> None:
        while self.prompts < times:
            self.screen.written.clear()
            await self.screen.written.wait()

    def leave(self) -> None:
        if self._keyboard >= 0:
            self.hang_up()
        # Whoever still reads would take what is typed into the next terminal of this number.
        if self.terminal._reader is not None:
            self.terminal._reader.join(10)
            assert not self.terminal._reader.is_alive()
        os.close(self.descriptor)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.leave()


async def answer(desk: Desk, *typed: str) -> tuple[Request, Answer]:
    request, before = desk.request(), desk.prompts
    asking = asyncio.create_task(desk.terminal.ask(request))
    for number, text in enumerate(typed, start=before + 1):
        await desk.until_asked(number)
        desk.type(text)
    return request, await asking


@pytest.mark.parametrize("typed", ["y\n", "Y\n", "yes\n", "  y \n"])
async def test_a_yes(desk: Desk, typed: str):
    request, said = await answer(desk, typed)
    assert (said.id, said.digest, said.allowed) == (request.id, request.digest, True)
    assert said.by


@pytest.mark.parametrize("typed", ["n\n", "No\n", "\n", "\x04"])
async def test_a_no(desk: Desk, typed: str):
    assert not (await answer(desk, typed))[1].allowed


async def test_what_is_not_understood_is_asked_again(desk: Desk):
    _, said = await answer(desk, "yep\n", "j\n", "y\n")
    assert said.allowed
    assert desk.screen.getvalue().count(" s left (until ") == 3


async def test_what_was_typed_before_is_no_answer(desk: Desk):
    desk.type("y\ny")
    _, said = await answer(desk, "\n")
    assert not said.allowed
    # The reader waits by now, and takes in what nobody asked for.
    taken, take = asyncio.Event(), desk.terminal._take
    desk.terminal._take = lambda typed: (take(typed), taken.set())
    desk.type("y\n")
    await taken.wait()
    _, said = await answer(desk, "n\n")
    assert not said.allowed


async def test_a_terminal_that_is_gone_says_no(desk: Desk):
    request = desk.request()
    asking = asyncio.create_task(desk.terminal.ask(request))
    await desk.until_asked()
    desk.hang_up()
    assert (await asking).by == "nobody: the terminal is gone"
    assert not (await desk.terminal.ask(desk.request())).allowed


async def test_the_loop_goes_on_while_nobody_answers(desk: Desk):
    asking = asyncio.create_task(desk.terminal.ask(desk.request()))
    await desk.until_asked()
    assert not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_time_that_is_left_is_told_again(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.terminal.REMIND_S", 0.001)
    _, said = await answer(desk, "", "", "y\n")
    assert said.allowed


async def test_all_of_the_action_is_shown(desk: Desk):
    await answer(desk, "n\n")
    text = desk.screen.getvalue()
    assert "May this be done at (12, -30) nm?" in text
    assert "indentation: at bias 0.5 V, setpoint 50 pA, depth 1 nm, approach time 0.1 s" in text
    assert "because: blunt: indent 1.00 nm" in text
    assert "y/N, 120 s left (until " in text


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (
            Pulse(at=AT, bias_v=-4.0, width_s=0.1),
            "pulse: at bias 0.5 V, setpoint 50 pA, bias -4 V, width 0.1 s, feedback held, "
            "reference absolute, z offset 0 nm",
        ),
        (
            CoarseMove(x_steps=5, y_steps=-3, retract_steps=50),
            "coarse_move: x steps 5, y steps -3, retract steps 50",
        ),
        (MoveTo(x_m=1e-9, y_m=0.0, speed_m_per_s=2e-7), "move_to: x 1 nm, y 0 nm, speed 200 nm/s"),
        (
            Approach(at=AT),
            "approach: at bias 0.5 V, setpoint 50 pA, max steps 500, timeout 600 s, "
            "max drift 0.01 nm/s, settle timeout 600 s",
        ),
    ],
)
def test_every_field_of_an_action_has_words(action: object, words: str):
    assert describe(action) == words


def test_without_a_terminal_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch, desk: Desk):
    with pytest.raises(ConfigError, match="standard input or standard error is none; start it"):
        Terminal.open()
    with os.fdopen(os.dup(desk.descriptor)) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        assert isinstance(Terminal.open(), Terminal)
        monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
        with pytest.raises(ConfigError, match="a job in the background cannot read it"):
            Terminal.open()


async def test_a_question_has_the_screen_to_itself(desk: Desk):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    with Display(console) as display:
        display.show(Progress(Phase.ACTING, request=desk.request()))
        before = screen.getvalue()
        display.show(Progress(Phase.ACTING, lines=1, request=desk.request()))
        assert screen.getvalue() == before
        display.show(Progress(Phase.ACTING))
    assert screen.getvalue() != before


@pytest.mark.skipif(own_version() == "unknown", reason="the distribution is not installed")
@pytest.mark.timeout(240)
def test_a_repair_in_a_terminal_asks_each_time(tmp_path: Path):
    settings = '[repair]\npixels = 16\nlines = 24\n[policy]\nname = "escalation"\n'
    (tmp_path / "tipsmith.toml").write_text(settings)
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, "repair", "--supervised", "--json", "--seed", "3"]
    with subprocess.Popen(
        command,
        stdin=terminal,
        stderr=terminal,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as agent:
        os.close(terminal)
        first = _read_until(keyboard, "s left (until ")
        os.write(keyboard, b"y\n")
        second = _read_until(keyboard, "s left (until ")
        os.write(keyboard, b"n\n")
        rest = _read_until(keyboard, None)
        out = agent.stdout.read()
    os.close(keyboard)
    assert "indentation: at bias 0.5 V" in first
    assert "May this be done" in second
    assert "the operator did not allow it" in rest
    result = json.loads(out)
    assert (agent.returncode, result["outcome"], result["actions"]) == (1, "stopped", 1)
    with Journal.open(Path(tmp_path / result["journal"])) as journal:
        answers = [one.payload for one in journal.records() if one.kind is Kind.ANSWERED]
        assert [one["allowed"] for one in answers] == [True, False]
        assert replay(journal).difference is None


def _read_until(keyboard: int, text: str | None) -> str:
    """What the terminal shows, up to ``text`` or to its end."""
    shown = ""
    while text is None or text not in shown:
        try:
            shown += os.read(keyboard, 4096).decode(errors="replace")
        except OSError:
            break
    return shown
