"""What is installed: exactly four packages, one console script, and commands that load."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = ("tipsmith.commands", "tipsmith.benches", "tipsmith.microscopes")


def test_the_wheel_holds_the_four_rooms_and_nothing_else() -> None:
    include = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = find_packages(str(ROOT), include=include)
    assert {name.partition(".")[0] for name in packages} == {"agent", "drivers", "policies", "sim"}


def test_every_folder_with_code_is_a_package() -> None:
    include = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = set(find_packages(str(ROOT), include=include))
    for room in ("agent", "drivers", "policies", "sim"):
        for path in (ROOT / room).rglob("*.py"):
            assert ".".join(path.parent.relative_to(ROOT).parts) in packages, path


@pytest.mark.parametrize("group", GROUPS)
def test_entry_points_load(group: str) -> None:
    points = distribution("tipsmith").entry_points.select(group=group)
    assert {point.name for point in points} == set(PROJECT["project"]["entry-points"][group])
    for point in points:
        assert callable(point.load()), point


@pytest.mark.parametrize("module", ["drivers", "sim.world", "sim.cli", "agent.main", "agent.cli"])
def test_starting_up_does_not_import_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT).returncode == 0
