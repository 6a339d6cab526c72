"""How long the first scan takes after the import, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from drivers.errors import UserError

_PROGRAM = """
import time
from sim.benches.workload import SMALL, bench_preset
from sim.world import World
started = time.perf_counter()
World(bench_preset(), 1).scan(SMALL.at(0.0, 0.0))
print(time.perf_counter() - started)
"""
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class FirstScan:
    """Seconds to the end of the first scan, with nothing compiled yet and with everything."""

    cold_s: float
    warm_s: float


def first_scan() -> FirstScan:
    """Scan once with an empty cache of compiled code, then again with what that left.

    Raises:
        UserError: the scan cannot be taken in a process of its own.
    """
    with tempfile.TemporaryDirectory() as cache:
        return FirstScan(cold_s=_scan(cache), warm_s=_scan(cache))


def _scan(cache: str) -> float:
    done = subprocess.run(  # noqa: S603 - our own program, no shell
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UserError(f"a first scan in a process of its own failed: {last}")
    return float(done.stdout)
