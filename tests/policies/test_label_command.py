"""``tipsmith label`` as a process: ended, killed, and started again."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from drivers import Frame, Scan
from drivers.errors import TipsmithError
from drivers.formats import write_sxm
from policies.cli import label

ROOT = Path(__file__).resolve().parents[2]
FRAME = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=24e-9)
PROGRAM = "import typer; from policies.cli import label; typer.run(label)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    z = np.random.default_rng(0).normal(0, 20e-12, (16, 16)).astype(np.float32)
    for name in ("a.sxm", "b.sxm"):
        write_sxm(tmp_path / name, Scan(forward=z, frame=FRAME))
    return tmp_path


class Running:
    """The command in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:(\d+)(/\S+/)$", process.stdout.readline().strip())
        assert address is not None
        self.port, self.path = int(address[1]), address[2]

    def ask(self, method: str, path: str, body: object = None) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json"}
        try:
            connection.request(method, self.path + path, json.dumps(body), headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def press(self, key: str) -> dict:
        return self.ask("POST", "key", {"key": key, "seen": self.ask("GET", "state")["revision"]})

    def end(self, how: signal.Signals) -> tuple[str, str]:
        self.process.send_signal(how)
        return self.process.communicate(timeout=20)


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Running]:
    command = [sys.executable, "-c", PROGRAM, str(folder), "--no-browser", *options]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@pytest.fixture
def run():
    application = typer.Typer()
    application.command()(label)
    return lambda *arguments: CliRunner().invoke(application, [str(one) for one in arguments])


def test_killed_and_started_again_it_goes_on(folder: Path) -> None:
    with running(folder) as first:
        first.press("2")
        assert first.press("save")["position"] == 1
        first.press("3")
        first.end(signal.SIGKILL)
    with running(folder) as second:
        state = second.ask("GET", "state")
        assert (state["position"], state["labelled"]) == (1, 1)
        assert [one["name"] for one in state["classes"] if one["on"]] == ["blunt"]
        out, err = second.end(signal.SIGINT)
        assert second.process.returncode == 0
        assert "1 of 2 scans labelled, 0 skipped; marks on 1 are not saved yet" in out
        assert err == ""
    assert "a.sxm,1,0,1,0,0,0,0," in (folder / "labels.csv").read_text()


def test_a_second_labeller_is_turned_away_and_damage_is_named(folder: Path, run) -> None:
    (folder / "labels.journal.jsonl").write_text("?\n")
    with running(folder, "--classes", "atoms,rows") as first:
        refused = run(folder, "--no-browser")
        assert isinstance(refused.exception, TipsmithError)
        assert "another tipsmith label" in str(refused.exception)
        _, err = first.end(signal.SIGINT)
        assert err.startswith("tipsmith: line 1 of ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nowhere"], "nowhere is no folder"),
        ([".", "--classes", "a,a"], "'a' comes twice"),
        ([".", "--classes", ""], "'' is no name"),
    ],
)
def test_mistakes_are_named(folder: Path, run, monkeypatch, arguments, named: str) -> None:
    monkeypatch.chdir(folder)
    result = run(*arguments, "--no-browser")
    assert isinstance(result.exception, TipsmithError)
    assert named in str(result.exception)


def test_a_port_nobody_may_have_is_a_mistake_of_use(folder: Path, run) -> None:
    assert run(folder, "--port", "80").exit_code == 2


def test_labelling_needs_no_torch() -> None:
    program = (
        "import sys, policies.cli, policies.labelling.server; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT).returncode == 0
