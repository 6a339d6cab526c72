"""Third-party clients in environments of their own, and a simulated controller to run against."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from drivers.bench import served
from drivers.errors import UserError
from drivers.peers import peer_python

CLIENTS = Path(__file__).parent / "clients"
PEER_OF = {
    "spm_client": "nanonis-spm",
    "tcp_client": "nanonisTCP",
    "scanbot_client": "scanbot",
}
SCALE = "100"
RUN_TIMEOUT_S = 50

_found = pytest.StashKey[dict[str, Path | str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the environments that the collected tests need, before any test's time-out runs."""
    if session.config.option.collectonly:
        return
    needed = {
        PEER_OF[name]
        for item in session.items
        for name in getattr(item, "fixturenames", ())
        if name in PEER_OF
    }
    found = session.config.stash.setdefault(_found, {})
    for peer in sorted(needed):
        try:
            found[peer] = peer_python(peer)
        except UserError as error:
            found[peer] = str(error)


class Client:
    """A client's own program, run to its end."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python = python
        self._folder = folder

    def run(self, program: str, *arguments: str) -> str:
        """Run ``clients/<program>`` and return what it printed."""
        done = subprocess.run(
            [str(self._python), str(CLIENTS / program), *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    python = request.config.stash[_found][PEER_OF[str(request.fixturename)]]
    if isinstance(python, str):
        pytest.skip(python)
    return Client(python, tmp_path)


@pytest.fixture
def spm_client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """The vendor's own client, nanonis-spm."""
    return _client(request, tmp_path)


@pytest.fixture
def tcp_client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """The client nanonisTCP."""
    return _client(request, tmp_path)


@pytest.fixture
def scanbot_client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """Scanbot, which drives an STM through nanonisTCP."""
    return _client(request, tmp_path)


@pytest.fixture
def controller(request: pytest.FixtureRequest) -> object:
    """First port of a simulated controller in another process; options come by parametrisation."""
    with served("--seed", "1", "--time-scale", SCALE, *getattr(request, "param", ())) as port:
        yield port
