"""Taking a look: a scan that is judged while it runs, and cut short when it is hopeless."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from agent.config import LookSettings
from agent.run import Run
from drivers.errors import InstrumentError
from drivers.scan import Frame, Scan, ScanLine, ScanSettings
from policies import observe
from policies.episode import Looked
from policies.report import TipReport
from policies.scorer import Scorer

Judgement = TypeVar("Judgement")


async def look(
    run: Run, scorer: Scorer, settings: LookSettings, frame: Frame, *, whole: bool
) -> Looked:
    """Scan ``frame`` and judge it.

    The scan waits for each judgement, so that the same instrument gives the same look however slow
    this computer is; inference runs in a thread, so that the event loop does not.

    Args:
        run: the repair it belongs to.
        scorer: judges.
        settings: how to scan and when to cut short.
        frame: where.
        whole: take all lines whatever they look like.

    Raises:
        InstrumentError: the instrument failed, sent no line at all, or lines that show nothing.
        Refused: the scan lies outside the envelope.
    """
    scan_settings = settings.scan(frame)
    arrived = await _scan(run, scorer, settings, scan_settings, whole=whole)
    if not arrived:
        raise InstrumentError("the scan ended without a single line; is it stopped elsewhere?")
    scan = Scan.from_lines(scan_settings, arrived, run.microscope.name)
    return await _judged(partial(observe.look, scan, scorer, run.now_s))


async def _scan(
    run: Run, scorer: Scorer, settings: LookSettings, scan_settings: ScanSettings, *, whole: bool
) -> list[ScanLine]:
    arrived: list[ScanLine] = []
    lines = run.microscope.scan(scan_settings)
    try:
        while (line := await run.instrument(anext(lines, None))) is not None:
            arrived.append(line)
            due = len(arrived) % settings.judge_every_lines == 0
            if not due or len(arrived) == settings.lines:
                continue
            scan = Scan.from_lines(scan_settings, arrived)
            report = await _judged(partial(scorer.judge, scan))
            run.tell(replace(run.progress, lines=len(arrived), report=report))
            if not whole and _hopeless(report, settings):
                break
    finally:
        await run.instrument(lines.aclose())
    return arrived


async def _judged(judge: Callable[[], Judgement]) -> Judgement:
    try:
        return await asyncio.to_thread(judge)
    except ValueError as error:
        raise InstrumentError(
            f"the scan shows no surface ({error}); are the feedback and the tip in order?"
        ) from error


def _hopeless(report: TipReport, settings: LookSettings) -> bool:
    seen = report.lines / settings.lines
    return seen >= settings.hopeless_share and report.quality < settings.hopeless_quality
