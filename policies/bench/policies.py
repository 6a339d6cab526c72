"""Every policy on the same simulated tips: how surely and how soon they get one truly good.

The pictures are those of one scan time; what other scan times would cost is worked out from the
lines that were taken, because what happens to a tip is counted in lines. ``quick`` takes fewer
pixels, a limit of 40 actions, and four of the entrants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from drivers.benchmark import BenchOptions, Grid, Report, Row

if TYPE_CHECKING:
    from policies.scorer import Scorer
    from policies.trials.contest import Records
    from policies.trials.course import Course
    from policies.trials.crew import Block

EPISODES, QUICK_EPISODES, SHIFT_EPISODES = 500, 40, 100
#: Repairs during which the learned policy's decisions are timed.
TIMED_EPISODES, QUICK_TIMED_EPISODES = 10, 2
#: Numbers of the episodes; no training or tuning uses these.
FIRST = 1_000_000
#: The learned policy and the best rules, so many in all, take part in the shifted worlds.
BEST = 4
WORKERS = 2
QUICK_ENTRANTS = ("learned policy", "closed loop", "Diao, as published", "informed bound")
QUICK_PIXELS, QUICK_ACTIONS = 64, 40


def run(options: BenchOptions) -> Report:
    """Every policy on the same simulated tips: how surely and how soon each gets one good."""
    from policies.bench.thinking import decisions
    from policies.scorer import Scorer
    from policies.trials import entrants
    from policies.trials.course import RANDOMISED, Course
    from policies.trials.crew import blocks
    from policies.trials.drawing import draw
    from policies.trials.entrants import LEARNED
    from policies.trials.figures import comparisons, grids, ranked, rows, rules
    from policies.trials.statistics import ledgers

    course = _quick_course() if options.quick else Course()
    names = QUICK_ENTRANTS if options.quick else entrants.names()
    episodes = options.episodes or (QUICK_EPISODES if options.quick else EPISODES)
    scorer = Scorer.load()
    path = _store_path(course, scorer, options)
    hall = _Hall(course, path, options, share=1.0 if options.quick else 0.7)
    found = ledgers(hall.hold(blocks(names, RANDOMISED, FIRST, episodes)))
    title = f"{course.preset}, randomised worlds, {episodes} paired episodes"
    best = [LEARNED, *ranked(found, rules(found))[: BEST - 1]]
    figures = [row for name, ledger in found.items() for row in rows(name, ledger)]
    figures += comparisons(found, LEARNED)
    shown = grids(title, found)
    if not options.quick:
        more_rows, more_grids = _shifted(hall, best, min(episodes, SHIFT_EPISODES))
        figures += more_rows
        shown += more_grids
    timed = QUICK_TIMED_EPISODES if options.quick else TIMED_EPISODES
    figures += decisions(course, scorer, timed)
    if options.plot is not None:
        draw(options.plot, found, title)
    return Report("policies", figures, grids=shown)


@dataclass(frozen=True, slots=True)
class _Hall:
    """Where the contest takes place: the same course, file and progress for all of its parts."""

    course: Course
    path: Path
    options: BenchOptions
    share: float

    def hold(self, wanted: Sequence[Block], begun: float = 0.0) -> Records:
        """Carry out what is not yet known of ``wanted``; ``begun`` is the progress before it."""
        from policies.trials.contest import hold
        from policies.trials.store import Store

        def progress(done: int, every: int, block: Block) -> None:
            told = f"{block.entrant}, {block.worlds}"
            self.options.progress(begun + (self.share - begun) * done / every, told)

        return hold(self.course, wanted, Store(self.path), WORKERS, progress)


def _store_path(course: Course, scorer: Scorer, options: BenchOptions) -> Path:
    from policies.trials.store import fingerprint

    folder = options.cache or platformdirs.user_cache_path("tipsmith") / "policies"
    return folder / f"{fingerprint(course, scorer)}.jsonl"


def _shifted(hall: _Hall, best: Sequence[str], episodes: int) -> tuple[list[Row], list[Grid]]:
    """The best in worlds with one hidden parameter outside of its range."""
    from policies.trials.course import SHIFTED, hidden_parameters
    from policies.trials.crew import blocks
    from policies.trials.entrants import LEARNED
    from policies.trials.figures import grids, in_shifted, rows
    from policies.trials.statistics import ledgers

    figures: list[Row] = []
    shown: list[Grid] = []
    names = hidden_parameters(hall.course.preset)
    for index, name in enumerate(names):
        part = 0.3 / len(names)
        later = _Hall(hall.course, hall.path, hall.options, 0.7 + part * (index + 1))
        wanted = blocks(best, SHIFTED + name, FIRST, episodes)
        found = ledgers(later.hold(wanted, begun=0.7 + part * index))
        for entrant, ledger in found.items():
            figures += rows(f"{entrant}, {name} shifted", ledger)
        figures += in_shifted(name, found, LEARNED)
        shown += grids(f"{name} shifted", found)[:1]
    return figures, shown


def _quick_course() -> Course:
    from policies.trials.course import Course

    full = Course()
    plan = full.plan.model_copy(update={"max_actions": QUICK_ACTIONS})
    return full.model_copy(update={"pixels": QUICK_PIXELS, "plan": plan})
