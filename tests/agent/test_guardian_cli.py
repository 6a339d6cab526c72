"""``tipsmith stop`` and ``tipsmith guardian``, with the real process where one is needed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from agent.benches.safety.faults import subject
from agent.guardian.alive import alone
from agent.guardian.asking import ask
from agent.guardian.desk import Answer
from agent.guardian.statefile import Report, write_report
from agent.guardian.states import State
from agent.installation import own_version
from agent.main import main
from agent.places import DEFAULT_STATE, guardian_state
from drivers.bench import served

Tipsmith = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "guardian.json"
    (tmp_path / "tipsmith.toml").write_text(f"[guardian]\nstate = '{path}'\n")
    return path


@pytest.fixture
def tipsmith(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Path
) -> Tipsmith:
    """Run one of the two commands; its exit code and what it said."""
    points = [
        EntryPoint(name, f"agent.guardian_cli:{name}", "tipsmith.commands")
        for name in ("stop", "guardian")
    ]
    monkeypatch.setattr("agent.root.entry_points", lambda group: points)
    monkeypatch.chdir(state.parent)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return run


def whom_it_asks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The state files that are asked from now on; whatever is asked, the tip is withdrawn."""
    asked: list[Path] = []

    def ask(path: Path, _: str, **__: object) -> Answer:
        asked.append(path)
        return Answer(
            done=True, state=State.WITHDRAWN if len(asked) > 1 else State.TRIPPING, reason=""
        )

    monkeypatch.setattr("agent.guardian.asking.ask", ask)
    return asked


def left(state: Path, word: State, port: int = 1) -> None:
    """What a guardian leaves behind that has ended."""
    write_report(state, Report(word, "why", "2026-01-01", 1, port, "token", None))


def test_without_a_guardian_there_is_nothing_to_say_and_nothing_to_stop(tipsmith: Tipsmith):
    assert tipsmith("guardian")[:2] == (
        0,
        "not running; a run on an instrument that can be guarded starts it\n",
    )
    assert tipsmith("guardian", "--rearm")[0] == 0
    code, out, err = tipsmith("stop")
    assert (code, out) == (3, "")
    assert err.startswith("tipsmith: no guardian guards a run")
    assert "another is given by --state" in err
    assert err.endswith("withdraw at the instrument\n")


UNUSABLE = {
    "no TOML": b"[guardian\nstate = ",
    "no text": b"\xff\xfe",
    "deep": b"a = " + 5000 * b"[",
    "no section": b"guardian = 3",
    "no name": b"[guardian]\nstate = 3",
}


@pytest.mark.parametrize("config", UNUSABLE.values(), ids=UNUSABLE)
def test_stop_is_not_refused_for_what_a_configuration_holds(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch, config: bytes
):
    asked = whom_it_asks(monkeypatch)
    usual = state.with_name("usual.json")
    monkeypatch.setattr("agent.guardian_cli.DEFAULT_STATE", usual)
    (state.parent / "tipsmith.toml").write_bytes(config)
    code, out, err = tipsmith("stop")
    assert (code, asked) == (0, [usual, usual])
    assert out.startswith("the tip is withdrawn")
    assert err.startswith("tipsmith: tipsmith.toml ")
    assert err.endswith(f"; asking by {usual} instead\n")
    # Whose latch it would end, nobody knows.
    for arguments in (("guardian",), ("guardian", "--rearm")):
        code, out, err = tipsmith(*arguments)
        assert (code, out) == (2, "")
        assert err.endswith("correct it, or give the state file by --state\n")
    assert len(asked) == 2


def test_stop_looks_at_nothing_but_the_state_file(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = whom_it_asks(monkeypatch)
    wrong = "[limits]\nmax_depth_nm = 1e9\n[repair]\nlines = -1\n[unheard_of]\n"
    with (state.parent / "tipsmith.toml").open("a") as file:
        file.write(wrong)
    assert tipsmith("stop")[::2] == (0, "")
    assert asked.pop() == state


def test_stop_takes_a_state_file_by_hand_from_any_folder(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = whom_it_asks(monkeypatch)
    (state.parent / "tipsmith.toml").write_text("no TOML")
    other = state.with_name("other.json")
    assert tipsmith("stop", "--state", str(other))[::2] == (0, "")
    assert asked == [other, other]


def test_a_missing_configuration_is_told_only_if_it_was_named(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = whom_it_asks(monkeypatch)
    monkeypatch.setattr("agent.guardian_cli.DEFAULT_STATE", state)
    code, _, err = tipsmith("stop", "--config", "nowhere.toml")
    assert (code, err) == (0, f"tipsmith: nowhere.toml is missing; asking by {state} instead\n")
    assert asked.pop() == state
    (state.parent / "tipsmith.toml").unlink()
    assert guardian_state() == DEFAULT_STATE


def test_guardian_takes_a_state_file_by_hand(tipsmith: Tipsmith, state: Path):
    other = state.with_name("other.json")
    left(other, State.WITHDRAWN)
    assert tipsmith("guardian", "--state", str(other))[1].startswith("not running; it ended")
    assert tipsmith("guardian", "--rearm", "--state", str(other))[0] == 0
    assert not other.exists()


def test_nothing_slow_is_loaded_before_a_stop_is_sent(tmp_path: Path):
    """What a command loads is part of the time from the operator's hand to the withdrawal."""
    program = (
        "import sys, typer, agent.guardian.asking as asking\n"
        "def ask(*_, **__):\n"
        "    print(sorted({'drivers', 'numpy', 'policies', 'agent.config'} & set(sys.modules)))\n"
        "asking.ask = ask\n"
        "from agent.guardian_cli import stop\n"
        "from agent.main import main\n"
        "app = typer.Typer()\n"
        "app.command()(stop)\n"
        "import agent.root\n"
        "agent.root.gather = lambda _: app\n"
        "main(['--state', sys.argv[1]])\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "guardian.json")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 3), done.stderr


def test_a_latch_outlives_its_guardian_until_a_human_ends_it(tipsmith: Tipsmith, state: Path):
    left(state, State.WITHDRAWN)
    assert tipsmith("guardian")[1] == "not running; it ended withdrawn: why\n"
    assert state.exists()
    code, out, _ = tipsmith("guardian", "--rearm")
    assert (code, out) == (0, "the guardian that had ended (withdrawn: why) is re-armed\n")
    assert not state.exists()


def test_a_port_that_is_a_strangers_by_now_is_no_guardian(tipsmith: Tipsmith, state: Path):
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def greet() -> None:
            for _ in range(2):
                connection, _ = stranger.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"220 who are you?\r\n")

        left(state, State.ARMED, stranger.getsockname()[1])
        with ThreadPoolExecutor(1) as pool:
            pool.submit(greet)
            assert tipsmith("guardian")[1] == "not running; it ended armed: why\n"
            assert tipsmith("guardian", "--rearm")[0] == 0
    assert not state.exists()


def test_a_silent_program_at_the_port_keeps_nobody_from_rearming(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("agent.guardian.asking.ASK_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        left(state, State.ARMED, stranger.getsockname()[1])
        assert tipsmith("guardian")[1] == "not running; it ended armed: why\n"
        assert tipsmith("stop")[0] == 3
        with alone(state):
            assert tipsmith("stop")[2].endswith("withdraw at the instrument\n")
            code, _, err = tipsmith("guardian", "--rearm")
            assert (code, "cannot be asked: timed out" in err) == (3, True)
        assert tipsmith("guardian", "--rearm")[0] == 0
    assert not state.exists()


@pytest.mark.parametrize("answered", [0, 1])
def test_stop_says_what_to_do_when_the_guardian_does_not_answer(
    tipsmith: Tipsmith, monkeypatch: pytest.MonkeyPatch, answered: int
):
    answers = answered * [Answer(done=True, state=State.TRIPPING, reason="")]

    def ask(*_: object, **__: object) -> Answer:
        if answers:
            return answers.pop()
        raise TimeoutError("timed out")

    monkeypatch.setattr("agent.guardian.asking.ask", ask)
    code, out, err = tipsmith("stop")
    assert (code, out) == (3, "")
    assert err.startswith("tipsmith: the guardian is there and cannot be asked (timed out)")
    assert err.endswith("; withdraw at the instrument\n")


def test_stop_waits_for_a_state_file_that_was_taken_away(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch
):
    tripping = Answer(done=True, state=State.TRIPPING, reason="")
    answers = [None, None, tripping, Answer(done=True, state=State.WITHDRAWN, reason="")]
    monkeypatch.setattr("agent.guardian.asking.ask", lambda *_, **__: answers.pop(0))
    with alone(state):
        code, out, err = tipsmith("stop")
    assert (code, answers) == (0, [])
    assert out.startswith("the tip is withdrawn")
    assert err == f"tipsmith: waiting for the guardian's state file {state}\n"


@pytest.mark.parametrize("damaged", [False, True])
def test_stop_does_not_wait_for_ever_for_a_state_file(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
):
    monkeypatch.setattr("agent.guardian_cli.RESTORED_S", 0.0)
    if damaged:
        state.write_text('{"a": 1}')
    with alone(state):
        code, out, err = tipsmith("stop")
        assert (code, out) == (3, "")
        told = f"a guardian runs, and its state file {state} is gone or damaged"
        assert err.endswith(f"tipsmith: {told}; withdraw at the instrument\n")
        if not damaged:
            assert tipsmith("guardian")[1].startswith(f"running; its state file {state} is gone")


def test_a_torn_file_is_one_sentence_until_a_human_rearms(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("agent.guardian.alive.PATIENCE_S", 0.0)
    state.write_text("{}")
    for command in ("guardian", "stop"):
        code, _, err = tipsmith(command)
        assert code == 3
        assert err.count("\n") == 1
        assert "see at the instrument that the tip is withdrawn" in err
    with alone(state):
        code, _, err = tipsmith("guardian", "--rearm")
    assert (code, state.read_text()) == (3, "{}")
    assert "cannot be re-armed: another guardian runs" in err
    kept = state.with_name("guardian.json.torn")
    code, out, _ = tipsmith("guardian", "--rearm")
    assert code == 0
    assert out.endswith(f"re-armed; the torn file is kept as {kept}\n")
    assert (state.exists(), kept.read_text()) == (False, "{}")
    assert tipsmith("guardian")[1].startswith("not running; a run")


def test_a_file_is_not_taken_from_a_guardian_that_starts(
    tipsmith: Tipsmith, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("agent.guardian.alive.PATIENCE_S", 0.0)
    left(state, State.ARMED)
    with alone(state):
        code, _, err = tipsmith("guardian", "--rearm")
    assert (code, state.exists()) == (3, True)
    assert "cannot be re-armed: another guardian runs" in err


@pytest.mark.skipif(own_version() == "unknown", reason="the distribution is not installed")
@pytest.mark.skipif(os.name != "posix", reason="its guardian is inspected by signals elsewhere")
async def test_stop_withdraws_and_ends_the_agent(tipsmith: Tipsmith, state: Path):
    with served("--seed", "1") as port:
        async with subject(port, state) as agent:
            assert tipsmith("guardian")[1].startswith("armed: ")
            code, _, err = tipsmith("guardian", "--rearm")
            assert code == 3
            assert "once the withdrawal is verified" in err
            code, out, _ = await asyncio.to_thread(tipsmith, "stop")
            assert code == 0
            assert out.startswith("the tip is withdrawn")
            assert await asyncio.wait_for(agent.wait(), 10.0) != 0
            assert tipsmith("guardian")[1] == "withdrawn: the operator's stop\n"
        assert ask(state, "state") is None
