"""The event loop, and how signals stop what runs on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.loop import STOPPING, WAIT_TEXT, run


def test_run_gives_the_result():
    async def work() -> int:
        return 7

    assert run(work()) == 7


SIGNALS = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
PROGRAM = """
import asyncio, sys
from agent.loop import run
from drivers.finishing import finish

def tell(word):
    print(word, flush=True)

async def withdraw():
    tell("withdrawing")
    await asyncio.to_thread(sys.stdin.readline)
    tell("withdrawn")

async def work():
    tell("working")
    try:
        await asyncio.Event().wait()
    finally:
        await finish(withdraw())

try:
    run(work())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_cancels_and_lets_clean_up(number: signal.Signals):
    cleaned: list[str] = []

    async def work() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("cleaned")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert cleaned == ["cleaned"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", SIGNALS)
def test_repeated_signals_let_the_clean_up_end(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
):
    steps: list[int] = []

    async def work() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.Event().wait()
        finally:
            for step in range(4):
                signal.raise_signal(number)
                await asyncio.sleep(0)
                steps.append(step)

    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert steps == [0, 1, 2, 3]
    assert capsys.readouterr().err.startswith(WAIT_TEXT)


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Let all signals be heeded: what was started in the background ignores some."""
    with contextlib.ExitStack() as undo:
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_IGN:
                usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                undo.callback(signal.signal, number, signal.signal(number, usual))
        yield


@pytest.fixture
def ignored() -> Iterator[Callable[[signal.Signals], None]]:
    """Have a signal ignored, as a program finds it that was started in the background."""
    with contextlib.ExitStack() as undo:

        def ignore(number: signal.Signals) -> None:
            undo.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))

        yield ignore


def test_termination_is_heeded_where_ctrl_c_is_ignored(ignored: Callable[[signal.Signals], None]):
    async def work() -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.Event().wait(), 1)

    ignored(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(work())


@pytest.mark.parametrize("number", SIGNALS)
def test_what_the_caller_had_ignored_stays_ignored(
    number: signal.Signals, ignored: Callable[[signal.Signals], None]
):
    async def work() -> str:
        signal.raise_signal(number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    ignored(number)
    assert run(work()) == "done"


def test_a_cancellation_that_no_signal_asked_for_stays_one():
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(work())


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot send these to one process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_process_withdraws_however_often_it_is_asked_to_stop(name: str):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    ) as process:
        number = getattr(signal, name)
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        assert process.stdout.readline() == "withdrawing\n"
        process.send_signal(number)
        assert process.stderr.readline() == WAIT_TEXT
        out, err = process.communicate("\n")
    assert (out, err, process.returncode) == ("withdrawn\n", "", 130)
