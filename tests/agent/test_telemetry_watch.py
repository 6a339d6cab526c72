"""Watching: what is shown and printed, silence, the end, and why nothing is heard."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from rich.console import Console

from agent.main import main
from agent.telemetry import following
from agent.telemetry.following import Silence, follow
from agent.telemetry.glance import Glance, Mention, decode, encode
from agent.telemetry.keys import ViewerKeys, new_keys, viewer_keys
from agent.telemetry.publisher import Publisher
from agent.telemetry.view import View
from tests.agent.telling_world import ENDED, LOOKING, RESULT, free_address, saying, told

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], float]]:
    """A clock on which every look takes two seconds, and looks that take next to none."""
    monkeypatch.setattr(following, "POLL_S", 0.01)
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += 2.0
        return now_s

    return clock


def test_a_run_is_followed_to_its_end():
    address = free_address()
    warned = replace(ENDED, result=replace(RESULT, warning="look at SafeTip"))
    glances = [LOOKING, replace(LOOKING, note="so"), ENDED, warned]
    with told(address, saying(glances)):
        assert list(follow(address)) == glances


def test_silence_is_told_until_it_ends(quick: Callable[[], float]):
    address, heard_enough = free_address(), threading.Event()

    def play(send: Callable[[bytes], None]) -> None:
        send(encode(LOOKING))
        assert heard_enough.wait(20)
        send(encode(ENDED))

    with told(address, play):
        heard = follow(address, clock=quick)
        silence: list[float] = []
        for one in heard:
            if isinstance(one, Silence):
                silence.append(one.seconds)
            if len(silence) == 3:
                heard_enough.set()
        assert silence[:3] == [6.0, 8.0, 10.0]


def test_a_run_that_ends_but_does_not_go_is_left(quick: Callable[[], float]):
    address, left = free_address(), threading.Event()

    def play(send: Callable[[bytes], None]) -> None:
        send(encode(ENDED))
        assert left.wait(20)

    with told(address, play):
        assert list(follow(address, clock=quick)) == [ENDED]
        left.set()


def test_the_next_run_at_the_same_address_is_followed_as_well():
    address = free_address()
    first, second = threading.Event(), threading.Event()

    def broken_off(send: Callable[[bytes], None]) -> None:
        send(encode(LOOKING))
        assert first.wait(20)

    def work() -> None:
        with told(address, broken_off):
            pass
        with told(address, saying([replace(ENDED, run="b")])):
            second.set()

    running = threading.Thread(target=work)
    running.start()
    heard: list[str] = []
    for one in follow_when_there(address):
        heard.append(one.run)
        first.set()
    running.join()
    assert heard == ["a", "b"]


def follow_when_there(address: str) -> Iterator[Glance]:
    return (one for one in follow(address) if isinstance(one, Glance))


def test_nobody_there(quick: Callable[[], float]):
    address = free_address()
    with pytest.raises(ConnectionError, match=f"nobody tells a run at {address} within 10 s"):
        next(follow(address, clock=quick))


@pytest.mark.parametrize("address", ["", "127.0.0.1:6510", "tcp://127.0.0.1", "tcp://a:b", "x://y"])
def test_what_is_no_address(address: str):
    with pytest.raises(ValueError, match="is no address to watch"):
        next(follow(address))


def test_what_cannot_be_read():
    address = free_address()
    with told(address, lambda send: send(b"{}")), pytest.raises(ConnectionError) as caught:
        next(follow(address))
    assert str(caught.value).startswith(f"{address}: this is no glance at a run")


async def refusal(address: str, keys: ViewerKeys | None) -> str:
    with pytest.raises(ConnectionError) as caught:
        await asyncio.to_thread(lambda: next(follow(address, keys)))
    return str(caught.value)


async def test_why_nothing_is_heard(tmp_path: Path):
    known = viewer_keys(new_keys(tmp_path / "keys"))
    others = viewer_keys(new_keys(tmp_path / "others"))
    address, plain = free_address(), free_address()
    async with Publisher(address, str(tmp_path / "keys")), Publisher(plain):
        stranger, misled = (
            replace(others, server=known.server),
            replace(known, server=others.server),
        )
        told = {
            "refuses this viewer's key": await refusal(address, stranger),
            "the key of the run among the keys": await refusal(address, misled),
            "asks for keys": await refusal(address, None),
            "uses no keys": await refusal(plain, known),
        }
        assert isinstance(await asyncio.to_thread(lambda: next(follow(address, known))), Glance)
    for why, sentence in told.items():
        assert why in sentence
        for keys in (known, others):
            assert keys.own.secret.decode() not in sentence


def shown(*heard: Glance | Silence, terminal: bool) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120, color_system=None)
    with View(console, "tcp://127.0.0.1:6510") as view:
        for one in heard:
            view.show(one)
    return screen.getvalue()


def test_a_screen_shows_what_goes_on():
    text = shown(replace(LOOKING, asking=True), terminal=True)
    assert "1:23  looking  see what it is like  (12, -8) nm, line 40" in text
    assert "25%" in text
    assert "blunt" in text
    assert "a question waits for an answer" in text


def test_a_screen_before_anything_is_heard():
    assert "listening at tcp://127.0.0.1:6510" in shown(terminal=True)


def test_a_screen_shows_silence_until_something_is_heard():
    assert "silent for 7 s" in shown(LOOKING, Silence(7.2), terminal=True)
    assert "silent" not in shown(LOOKING, Silence(7.2), LOOKING, terminal=True)


def test_a_log_file_gets_lines():
    event = Mention("indentation", (1e-9, 2e-9), "z jump +3 pm")
    glances = [LOOKING, replace(LOOKING, event=event), replace(LOOKING, note="so"), ENDED]
    lines = shown(Silence(5.2), Silence(6.2), *glances, terminal=False).splitlines()
    assert lines[0] == "silent for 5 s"
    assert lines[1].split() == ["1:23", "indentation", "(1,", "2)", "nm", "z", "jump", "+3", "pm"]
    assert lines[2].split() == ["1:23", "so"]
    assert lines[3].split() == ["outcome", "good"]


def tipsmith(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


def test_each_message_is_a_line(capsys: pytest.CaptureFixture[str]):
    address = free_address()
    glances = [LOOKING, replace(LOOKING, note="a\nb"), ENDED]
    with told(address, saying(glances)):
        assert tipsmith("watch", address, "--json") in (0, None)
    lines = capsys.readouterr().out.splitlines()
    assert [decode(line.encode()) for line in lines] == [decode(encode(one)) for one in glances]


def test_a_bad_end_of_the_run_is_a_good_end_of_watching(capsys: pytest.CaptureFixture[str]):
    address = free_address()
    stopped = replace(ENDED, result=replace(RESULT, outcome="stopped", exit_code=3))
    with told(address, saying([stopped])):
        assert tipsmith("watch", address) in (0, None)
    assert "stopped" in capsys.readouterr().out


def test_silence_is_no_message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    heard = [Silence(5.0), Silence(6.0), LOOKING, Silence(5.0), ENDED]
    monkeypatch.setattr(following, "follow", lambda *_: iter(heard))
    assert tipsmith("watch", "--json") in (0, None)
    out, err = capsys.readouterr()
    assert [json.loads(line)["phase"] for line in out.splitlines()] == ["looking", "ended"]
    assert err == "tipsmith: silent for 5 s\n" * 2


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ConnectionError("nobody"), 3, "tipsmith: nobody\n"),
        (ValueError("no address"), 2, "tipsmith: no address\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_watching_fails(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    code: int,
    said: str,
):
    def failing(*_: object) -> Iterator[Glance]:
        raise raised
        yield

    monkeypatch.setattr(following, "follow", failing)
    assert tipsmith("watch") == code
    assert capsys.readouterr().err.endswith(said)


def test_keys_are_made_and_missed(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    folder = tmp_path / "keys"
    assert tipsmith("keys", "new", str(folder)) in (0, None)
    assert tipsmith("keys", "viewer", str(folder), "anna") in (0, None)
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith(f"to watch, take {folder / 'hand_out' / 'anna'} to where")
    assert tipsmith("keys", "new", str(folder)) == 2
    assert "already" in capsys.readouterr().err
    assert tipsmith("watch", "--keys", str(tmp_path)) == 2
    assert "viewer.key_secret is missing" in capsys.readouterr().err


def test_a_viewer_loads_neither_networks_nor_drivers():
    program = (
        "import sys, agent.telemetry.cli, agent.telemetry.view, agent.telemetry.keys\n"
        "print(*{'torch', 'numpy', 'scipy', 'pydantic', 'asyncio', 'policies', 'drivers'}"
        ".intersection(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert ran.stdout.split() == []


def test_no_context_is_left_behind():
    made: list[zmq.Context[zmq.Socket[bytes]]] = []
    address = free_address()
    real = zmq.Context

    def noting() -> zmq.Context[zmq.Socket[bytes]]:
        made.append(real())
        return made[-1]

    with told(address, saying([ENDED])), pytest.MonkeyPatch.context() as patch:
        patch.setattr(following.zmq, "Context", noting)
        assert list(follow(address)) == [ENDED]
    assert [context.closed for context in made] == [True]
