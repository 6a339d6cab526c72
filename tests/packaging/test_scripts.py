"""The two commands of the README, as far as they run without installing anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "run.py"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if not list((ROOT / ".venv").glob("installed-*")):
        pytest.skip("scripts/test.py has not made .venv yet")


def test_extra_arguments_are_passed_on() -> None:
    result = run("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("tipsmith ")


def test_the_exit_code_is_passed_back_and_the_reason_is_one_line(tmp_path: Path) -> None:
    result = run("score", "missing.sxm", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "missing.sxm" in result.stderr


def test_a_folder_called_agent_where_the_user_stands_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text("raise RuntimeError('not this one')")
    assert run("--version", cwd=tmp_path).returncode == 0
