"""Worlds side by side, in this process or in another, on one memory."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Literal, Protocol

import numpy as np

from drivers.errors import ConnectionLost
from sim.environments.catalogue import NM
from sim.environments.episode import Episode
from sim.environments.memory import Memory, Shapes, over
from sim.environments.setup import Setup, StopRule

Phase = Literal["act", "scan", "report"]
#: How long a process is given to end by itself (s).
PATIENCE_S = 5.0


class Crew(Protocol):
    """Some of the worlds, wherever they live."""

    def post(self, phases: Sequence[Phase]) -> None:
        """Begin to go through ``phases``."""
        ...

    def wait(self) -> None:
        """Return when the phases posted last are done.

        Raises:
            ConnectionLost: the process that they ran in is gone.
        """
        ...

    def close(self) -> None:
        """Let go of the worlds."""
        ...


class Batch:
    """Worlds in this process, one per row of ``memory``."""

    def __init__(self, setup: Setup, memory: Memory) -> None:
        self._setup = setup
        self._memory = memory
        self._episodes: dict[int, Episode] = {}

    def post(self, phases: Sequence[Phase]) -> None:
        """Go through ``phases`` at once."""
        for phase in phases:
            match phase:
                case "act":
                    self._act()
                case "scan":
                    self._scan()
                case "report":
                    for row, episode in self._episodes.items():
                        episode.report(self._memory, row)

    def wait(self) -> None:
        """Nothing is left to wait for."""

    def close(self) -> None:
        """Nothing is held."""

    def _act(self) -> None:
        memory = self._memory
        for row, number in enumerate(memory.start):
            if number >= 0:
                self._episodes[row] = Episode(self._setup, int(number))
            else:
                self._episodes[row].act(int(memory.actions[row]))
            memory.scanning[row] = self._episodes[row].scanning

    def _scan(self) -> None:
        memory = self._memory
        for row in map(int, np.flatnonzero(memory.scanning)):
            memory.lines[row] = self._episodes[row].advance(memory.heights[row])


class RemoteBatch:
    """A ``Batch`` in a process of its own, on shared memory.

    Args:
        context: how processes are made.
        setup: the kind of episodes.
        plan: shapes of the whole memory.
        buffers: where it lies, shared.
        part: rows of the memory that this process works on.
    """

    def __init__(
        self,
        context: SpawnContext,
        setup: Setup,
        plan: Shapes,
        buffers: dict[str, object],
        part: slice,
    ) -> None:
        self._here, there = context.Pipe()
        self._process = context.Process(
            target=_work, args=(there, setup, plan, buffers, part), daemon=True
        )
        self._process.start()
        there.close()

    def post(self, phases: Sequence[Phase]) -> None:
        """Tell the process to go through ``phases``."""
        self._tell(tuple(phases))

    def wait(self) -> None:
        """Return when the process is done.

        Raises:
            ConnectionLost: it is gone; why is on its standard error.
        """
        try:
            self._here.recv()
        except EOFError:
            raise ConnectionLost(
                "a process of the vector environment has ended with an error of its own (see its "
                "standard error); make a new environment"
            ) from None

    def close(self) -> None:
        """End the process."""
        self._tell(())
        self._process.join(PATIENCE_S)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        self._here.close()

    def _tell(self, phases: tuple[Phase, ...]) -> None:
        try:
            self._here.send(phases)
        except (BrokenPipeError, ConnectionResetError):
            # It is gone already; whoever waits for it is told.
            return


def _work(
    pipe: Connection, setup: Setup, plan: Shapes, buffers: dict[str, object], part: slice
) -> None:
    """What a process does: go through phases until there are none."""
    batch = Batch(setup, over(plan, buffers).rows(part))
    while phases := pipe.recv():
        batch.post(phases)
        pipe.send(None)


def play(crews: Sequence[Crew], setup: Setup, memory: Memory, stop_rule: StopRule | None) -> None:
    """One step of all worlds: act, scan as long as it is worth it, report."""
    first: tuple[Phase, ...] = ("act",)
    for end in setup.ends[:-1]:
        _all(crews, (*first, "scan"))
        first = ()
        running = np.flatnonzero(memory.scanning)
        if stop_rule is not None and running.size:
            pictures = memory.heights[running, :end].swapaxes(1, 2) * np.float32(NM)
            memory.scanning[running] = np.logical_not(stop_rule(pictures))
    _all(crews, (*first, "scan", "report"))


def _all(crews: Sequence[Crew], phases: Sequence[Phase]) -> None:
    for crew in crews:
        crew.post(phases)
    for crew in crews:
        crew.wait()
