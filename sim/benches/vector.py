"""Steps per second and memory of many environments at once, in a process of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from drivers.errors import UserError
from sim.environments.vector import VectorTipConditioning

WORLDS, WORKERS = 64, 2
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class VectorFigures:
    """What was measured.

    Attributes:
        rates: environment steps per second of wall time, one figure per turn.
        memory_gb: of all processes together, shared pages counted once; None where the system does
            not tell.
    """

    rates: list[float]
    memory_gb: float | None


def vector_figures(turns: int, steps: int) -> VectorFigures:
    """Measure in a fresh process, so that nothing else counts as its memory.

    Raises:
        UserError: the environments do not run there.
    """
    program = f"from sim.benches.vector import tell; tell({turns}, {steps})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(  # noqa: S603 - our own program, no shell
        command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UserError(f"the environments failed in a process of their own: {last}")
    return VectorFigures(**json.loads(done.stdout))


def tell(turns: int, steps: int) -> None:
    """Write ``measure`` to standard output as JSON."""
    sys.stdout.write(json.dumps(asdict(measure(turns, steps))))


def measure(turns: int, steps: int, worlds: int = WORLDS, workers: int = WORKERS) -> VectorFigures:
    """Random legal actions in all worlds, for so many steps in each of so many turns."""
    rng = np.random.default_rng(0)
    environments = VectorTipConditioning(worlds, workers=workers)
    try:
        environments.reset(seed=0)
        rates = []
        # The first turn compiles, and fills what fills with time.
        for _ in range(turns + 1):
            started = time.perf_counter()
            for _ in range(steps):
                environments.step(_legal(environments.action_masks(), rng))
            rates.append(worlds * steps / (time.perf_counter() - started))
        return VectorFigures(rates[1:], _memory_gb())
    finally:
        environments.close()


def _legal(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One allowed choice per world, all equally likely."""
    return np.asarray((rng.random(masks.shape) * masks).argmax(axis=1))


def _memory_gb() -> float | None:
    """Proportional set size of this process and its workers."""
    numbers = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    try:
        texts = [Path(f"/proc/{number}/smaps_rollup").read_text() for number in numbers]
    except OSError:
        return None
    lines = (line for text in texts for line in text.splitlines() if line.startswith("Pss:"))
    return sum(int(line.split()[1]) for line in lines) * 1024 / 1e9
