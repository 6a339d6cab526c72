"""One night in which everything is real, and nights with the reports that were made in it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path

import numpy as np

from agent.benches.safety.audit import Audit, audit
from agent.benches.safety.nights import Night, Order
from agent.benches.safety.playback import Playback
from agent.benches.safety.sitting import Sitting, sit
from agent.config import Config
from agent.loop import run
from agent.result import Listener, RepairResult
from agent.session import run_repair
from policies.judging import Judge
from policies.report import TipReport
from policies.scorer import Scorer

MICROSCOPE = "sim:au111"
SEED = 30_000


def sit_through(order: Order) -> list[Night]:
    """The nights of ``order``, one after the other, in this process.

    Raises:
        FileError: the scorer cannot be loaded.
    """
    scorer = Scorer.load()
    real, reports = one_night(order, 0, scorer, real=True)
    nights = [real]
    # Where not even one look was taken, the nights that are missing count as having ended badly.
    for index in range(1, order.recorded + 1) if reports else ():
        start = int(_rng(order, index).integers(len(reports)))
        played = Playback(reports, scorer.manifest, start)
        nights.append(one_night(order, index, played, real=False)[0])
    return nights


def one_night(
    order: Order, index: int, judge: Judge, *, real: bool
) -> tuple[Night, list[TipReport]]:
    """The night ``index`` of ``order``, and what was said of each look in it.

    Args:
        order: what is wanted.
        index: tells the night from others of the order; decides the worlds.
        judge: judges scans.
        real: whether that is the scorer.
    """
    rng = _rng(order, index)
    with tempfile.TemporaryDirectory(dir=order.folder) as folder:
        config = Config(repair=order.repair).overridden(uri=MICROSCOPE, directory=Path(folder))

        def repair(listener: Listener, hours: float) -> Awaitable[RepairResult]:
            within = {"max_hours": min(hours, order.repair.max_hours)}
            plan = order.repair.model_copy(update=within)
            seed = int(rng.integers(2**31))
            return run_repair(config.model_copy(update={"repair": plan}), seed, judge, listener)

        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        sitting = run(sit(order.hours, repair))
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        audits = [audit(result, told) for result, told in sitting.ended]
    night = Night(
        real=real,
        repairs=len(audits),
        complaints=tuple(_complaints(sitting, audits)),
        outside=sum(one.outside for one in audits),
        unknown=sum(one.unknown for one in audits),
        before=sitting.before,
        after=sitting.after,
        wall_s=wall_s,
        cpu_s=cpu_s,
    )
    return night, [report for one in audits for report in one.reports]


def _rng(order: Order, index: int) -> np.random.Generator:
    return np.random.default_rng((SEED, order.number, index))


def _complaints(sitting: Sitting, audits: Sequence[Audit]) -> Iterator[str]:
    if sitting.failed is not None:
        yield sitting.failed
    for one in audits:
        yield from one.complaints
