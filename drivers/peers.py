"""Third-party clients, simulators and tools, unmodified, each in a virtual environment of its own.

The conformance tests and the benchmarks run them as other people would: installed from the package
registry in the pinned version, as a separate process. Each environment is built once and kept in
the user's cache folder, or below the folder that the variable ``TIPSMITH_PEERS`` names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from drivers.errors import UserError

#: Pinned releases, by the name of the distribution.
PEERS = {
    "nanonis-spm": "1.0.9",
    "nanonisTCP": "1.1.5",
    "pip-audit": "2.10.1",
    "scanbot": "4.5.1",
    "spmsimu": "0.0.2",
}
#: What a client imports without declaring it.
_UNDECLARED = {"nanonis-spm": ("numpy<3",)}

_BUILD_TIMEOUT_S = 900.0


def peer_python(name: str) -> Path:
    """Interpreter of the environment that holds the client ``name``, built on first use.

    Raises:
        UserError: the client is unknown, or its environment cannot be built here.
    """
    if name not in PEERS:
        raise UserError(f"unknown client {name!r}; known are {', '.join(PEERS)}")
    requirements = (f"{name}=={PEERS[name]}", *_UNDECLARED.get(name, ()))
    python_version = f"py{sys.version_info.major}{sys.version_info.minor}"
    folder = _cache() / f"{name}-{PEERS[name]}-{python_version}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=_BUILD_TIMEOUT_S):
            # The mark is written last: an interrupted build leaves none and starts afresh.
            mark, wanted = folder / "complete", " ".join(requirements)
            if not (mark.exists() and mark.read_text() == wanted):
                _build(folder, python, requirements)
                mark.write_text(wanted)
    except Timeout:
        raise UserError(f"another process has been installing {name} for too long") from None
    except OSError as error:
        raise UserError(f"cannot install {name} below {folder}: {error}") from None
    return python


def _cache() -> Path:
    named = os.environ.get("TIPSMITH_PEERS")
    return Path(named) if named else platformdirs.user_cache_path("tipsmith") / "peers"


def _build(folder: Path, python: Path, requirements: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], requirements[0])
    _run([str(python), "-m", "pip", "install", "--quiet", *requirements], requirements[0])


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments and no shell
            command, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"cannot install {what}: it took over {_BUILD_TIMEOUT_S:g} s") from None
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise UserError(f"cannot install {what}: {reason}")
