"""Environments of third-party clients: built once, and said clearly where they cannot be."""

from __future__ import annotations

import subprocess
import sys

import pytest

from drivers.errors import UserError
from drivers.peers import PEERS, peer_python


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The commands that would have been run, all of them with success."""
    ran = []

    def run(command, **_):
        ran.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("TIPSMITH_PEERS", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", run)
    # What pip would have made.
    for name, version in PEERS.items():
        python = f"py{sys.version_info.major}{sys.version_info.minor}"
        (tmp_path / f"{name}-{version}-{python}").mkdir()
    return ran


@pytest.fixture
def no_clean_up(monkeypatch):
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)


@pytest.mark.usefixtures("no_clean_up")
def test_an_environment_is_built_once_from_the_pinned_release(commands, tmp_path):
    python = peer_python("scanbot")
    assert python.is_relative_to(tmp_path)
    assert [command[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]
    assert commands[1][0] == str(python)
    assert commands[1][-1] == f"scanbot=={PEERS['scanbot']}"
    assert peer_python("scanbot") == python
    assert len(commands) == 2


def test_what_went_wrong_is_said_and_tried_again(commands, monkeypatch):
    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, "", "warning\nno such package\n")

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        with pytest.raises(UserError, match=r"^cannot install nanonisTCP==1.1.5: no such package$"):
            peer_python("nanonisTCP")
    assert len(commands) == 2


def test_unknown_clients_are_refused():
    with pytest.raises(UserError, match="unknown client 'gxsm'; known are nanonis-spm"):
        peer_python("gxsm")
