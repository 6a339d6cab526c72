"""That ``scripts/run.py`` leaves signals and exit codes to the command it starts."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

RUN = Path(__file__).resolve().parents[2] / "scripts" / "run.py"
#: In place of the one that makes a virtual environment.
ENVIRONMENT = """
import sys

def prepare():
    return sys.executable
"""
#: In place of the agent: it answers a signal only after it was told to go on.
AGENT = """
import signal, sys

def main():
    signal.signal(int(sys.argv[1]), withdraw)
    print("working", flush=True)
    signal.pause()

def withdraw(number, frame):
    print("withdrawing", flush=True)
    sys.stdin.readline()
    print("withdrawn", flush=True)
    sys.exit(7)
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot send these to one process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_the_script_reaches_the_agent_which_takes_its_time(
    tmp_path: Path, name: str
) -> None:
    number = getattr(signal, name)
    shutil.copy(RUN, tmp_path)
    (tmp_path / "environment.py").write_text(ENVIRONMENT)
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").touch()
    (tmp_path / "agent" / "main.py").write_text(AGENT)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), str(int(number))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    ) as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        assert process.stdout.readline() == "withdrawing\n"
        out, _ = process.communicate("\n")
    assert (out, process.returncode) == ("withdrawn\n", 7)


def test_where_no_process_can_be_replaced_ctrl_c_does_not_end_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[int | None] = [None, None, 5]

    class Process:
        def __init__(self, command: list[str]) -> None:
            assert command == ["python", "-c", ""]

        def wait(self) -> int:
            code = waits.pop(0)
            if code is None:
                raise KeyboardInterrupt
            return code

    monkeypatch.syspath_prepend(str(RUN.parent))
    spec = importlib.util.spec_from_file_location("scripts_run", RUN)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(script, "subprocess", SimpleNamespace(Popen=Process))
    with pytest.raises(SystemExit) as caught:
        script.hand_over(["python", "-c", ""])
    assert caught.value.code == 5
