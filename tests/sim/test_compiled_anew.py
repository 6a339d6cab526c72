"""The same seed shows the same picture whether the process compiles the kernels or finds them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, sys
from numba.core import event
from sim.benches.workload import Size
from sim.presets.preset import load_preset
from sim.world import World

with event.install_recorder("numba:compile") as compiled:
    for name in sys.argv[1:]:
        scan = World(load_preset(name), 5).scan(Size(32, 16.0).at(40.0, 5.0))
        print(name, hashlib.sha256(scan.forward.tobytes() + scan.backward.tobytes()).hexdigest())
print("compiled" if compiled.buffer else "found", file=sys.stderr)
"""


def pictures(cache: Path) -> tuple[str, str]:
    """Hashes of the pictures, and whether anything had to be compiled for them."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "au111", "hsi100"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr.split()[-1]


@pytest.mark.timeout(300)
def test_a_process_that_compiles_sees_what_later_ones_see(tmp_path: Path):
    cold, how = pictures(tmp_path)
    warm, how_then = pictures(tmp_path)
    assert (how, how_then) == ("compiled", "found")
    assert cold == warm
