"""All blocks of a benchmark, over several processes, each kept as soon as it is finished."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context

from drivers.errors import TipsmithError
from policies.scorer import Scorer
from policies.trials.course import Course
from policies.trials.crew import Block, carry_out
from policies.trials.record import Record
from policies.trials.store import Store
from sim.dataset.run import start_worker

Progress = Callable[[int, int, Block], None]
Records = Mapping[str, Sequence[Record]]


def hold(
    course: Course,
    wanted: Sequence[Block],
    store: Store,
    workers: int,
    progress: Progress = lambda _done, _all, _block: None,
) -> Records:
    """Carry out the blocks that the store does not know, and return the records of all.

    Args:
        course: what is the same for all.
        wanted: the blocks.
        store: keeps what is finished.
        workers: processes; 0 stays in this one.
        progress: told how many blocks are done, of how many, and which was the last.

    Returns:
        The records of each entrant in the order of ``wanted``.

    Raises:
        FileError: a result cannot be kept.
        TipsmithError: a process was ended from outside.
    """
    missing = [block for block in wanted if store.get(block) is None]
    done = len(wanted) - len(missing)
    for block, records in _carried_out(course, missing, workers):
        store.add(block, records)
        done += 1
        progress(done, len(wanted), block)
    found: dict[str, list[Record]] = defaultdict(list)
    for block in wanted:
        found[block.entrant] += store.get(block) or []
    return found


def _carried_out(
    course: Course, missing: Sequence[Block], workers: int
) -> Iterator[tuple[Block, list[Record]]]:
    if not workers or not missing:
        for block in missing:
            yield block, _errand(course, block)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        jobs = {pool.submit(_errand, course, block): block for block in missing}
        running: set[Future[list[Record]]] = set(jobs)
        try:
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for job in ended:
                    yield jobs[job], job.result()
        except BrokenProcessPool:
            raise TipsmithError(
                "a worker was ended from outside; run the same command again to go on"
            ) from None
        finally:
            # Whoever stops listening wants nothing more: what runs is lost, the rest never starts.
            pool.shutdown(wait=False, cancel_futures=True)


def _errand(course: Course, block: Block) -> list[Record]:
    return carry_out(course, block, _scorer())


@cache
def _scorer() -> Scorer:
    return Scorer.load()


def _start_worker() -> None:
    """One core, one thread; an interruption ends it at once, and so does the end of its parent."""
    import torch

    torch.set_num_threads(1)
    start_worker()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
