"""How long the learned policy takes for one decision, on histories of simulated repairs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from drivers.benchmark import Row, judged
from policies.acceptance import Acceptance
from policies.history import History
from policies.proposal import Policy, Proposal
from policies.scorer import Scorer
from policies.threads import single_thread
from policies.trials.course import Course
from policies.trials.entrants import LEARNED, Bout, enter
from policies.trials.eye import answer
from policies.trials.trial import Trial

#: Numbers of the episodes; apart from those that decide who is better.
FIRST = 3_000_000
MOST_MS = 5.0


class _Timed:
    """A policy whose decisions are timed (s)."""

    def __init__(self, policy: Policy, taken_s: list[float]) -> None:
        self._policy, self._taken_s = policy, taken_s

    def propose(self, history: History) -> Proposal:
        started = time.perf_counter()
        proposal = self._policy.propose(history)
        self._taken_s.append(time.perf_counter() - started)
        return proposal


def decisions(course: Course, scorer: Scorer, episodes: int) -> list[Row]:
    """Time for one decision of the learned policy over ``episodes`` repairs.

    Raises:
        FileError: its weights are missing or damaged.
    """
    taken_s: list[float] = []

    def timed(name: str, bout: Bout) -> tuple[Policy, Acceptance]:
        policy, acceptance = enter(name, bout)
        return _Timed(policy, taken_s), acceptance

    with single_thread():
        for number in range(FIRST, FIRST + episodes):
            _repair(Trial(course, LEARNED, number, scorer.manifest.stop, timed), scorer)
    return _rows(taken_s)


def _repair(trial: Trial, scorer: Scorer) -> None:
    running = trial.run()
    try:
        question = next(running)
        while True:
            question = running.send(answer(scorer, [question])[0])
    except StopIteration:
        return


def _rows(taken_s: Sequence[float]) -> list[Row]:
    p50, p99 = (float(np.percentile(taken_s, percent)) * 1e3 for percent in (50, 99))
    note = f"{len(taken_s)} decisions, one core"
    return [
        Row(f"{LEARNED}, one decision, p50", p50, "ms", note=note),
        judged(f"{LEARNED}, one decision, p99", p99, "ms", f"<= {MOST_MS:g}"),
    ]
