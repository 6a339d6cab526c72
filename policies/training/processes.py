"""Work spread over processes, and its results in the order in which it was asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(work: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """Yield ``work(job)`` for each job, a few jobs ahead of whoever takes them.

    Args:
        work: a function of a module, or a partial of one.
        jobs: what it is called with.
        workers: processes.
    """
    waiting = iter(jobs)
    # Each process has its core: more threads of the linear algebra would wait for each other.
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        # No more than a few: results would fill the memory faster than they are used.
        ahead = deque(pool.submit(work, job) for job in islice(waiting, 2 * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(work, job) for job in islice(waiting, 1))
