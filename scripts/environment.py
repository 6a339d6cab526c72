"""Make the project's own virtual environment and run commands in it; standard library only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
CONSTRAINTS = ROOT / "scripts" / "constraints.txt"
OLDEST_PYTHON = (3, 11)


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    windows = os.name == "nt"
    return environment / ("Scripts/python.exe" if windows else "bin/python")


def prepare(extra: str = "") -> Path:
    """Make ``.venv`` with the project installed and return its interpreter.

    Args:
        extra: optional dependencies to install as well, such as ``dev``.

    A fingerprint of what was installed makes the second call return at once.
    """
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        sys.exit(f"tipsmith needs Python {wanted} or newer; this is {sys.version.split()[0]}")
    python = python_of(ENVIRONMENT)
    fingerprint = _fingerprint()
    stamps = [ENVIRONMENT / f"installed-{extra}"] if extra else ENVIRONMENT.glob("installed-*")
    if python.exists() and any(_holds(stamp, fingerprint) for stamp in stamps):
        return python
    if not python.exists():
        print(f"making a virtual environment in {ENVIRONMENT}", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=ENVIRONMENT.exists())
    print("installing tipsmith and what it needs (a few minutes the first time)", file=sys.stderr)
    target = f"{ROOT}[{extra}]" if extra else str(ROOT)
    install = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS)]
    run([*install, "--editable", target], "installing the project failed; is there a network?")
    (ENVIRONMENT / f"installed-{extra or 'base'}").write_text(fingerprint, encoding="utf-8")
    return python


def run(command: list[str], failure: str) -> None:
    """Run ``command`` from the root; leave with its exit code and one line if it fails."""
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        print(f"{failure} (exit code {code})", file=sys.stderr)
        sys.exit(code)


def _holds(stamp: Path, fingerprint: str) -> bool:
    return stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint


def _fingerprint() -> str:
    parts = [sys.version, str(ROOT)]
    parts += [path.read_text(encoding="utf-8") for path in (ROOT / "pyproject.toml", CONSTRAINTS)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
