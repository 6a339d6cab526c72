"""Taking a look: a scan that is judged while it runs, and cut short when it is hopeless."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.aside import aside
from agent.config import LookSettings
from agent.run import Run
from drivers.errors import Alarm, InstrumentError
from drivers.scan import Scan, ScanLine, ScanSettings
from policies import observe
from policies.episode import Look
from policies.history import Looked
from policies.judging import Judge
from policies.scorer.lines import Setting

#: Wall time (s) to judge a scan, which takes a fraction of a second where this computer is well.
JUDGING_TIMEOUT_S = 60.0


async def look(run: Run, scorer: Judge, settings: LookSettings, step: Look) -> Looked:
    """Scan the frame of ``step`` and judge it.

    The scan waits for each judgement, so that the same instrument gives the same look however slow
    this computer is. A line takes a fraction of a millisecond to judge, the whole scan runs in a
    thread, so that the event loop does not wait.

    Args:
        run: the repair it belongs to.
        scorer: judges.
        settings: how to scan and when to cut short.
        step: where, and whether all lines are taken whatever they look like.

    Raises:
        InstrumentError: the instrument failed, sent no line at all, or lines that show nothing.
        SettingsChanged: somebody else has changed what the agent had set.
        Alarm: a watch was set off, or the judgement did not come in ``JUDGING_TIMEOUT_S``.
        Refused: the scan lies outside the envelope.
    """
    scan_settings = settings.scan(step.frame)
    arrived = await _scan(run, scorer, settings, scan_settings, whole=step.whole)
    if not arrived:
        raise InstrumentError("the scan ended without a single line; is it stopped elsewhere?")
    scan = Scan.from_lines(scan_settings, arrived, run.microscope.name)
    finished_s = run.now_s
    seen = await _in_time(lambda: observe.look(scan, scorer, finished_s, of_imprint=step.imprint))
    if seen.report.not_assessable:
        raise InstrumentError(
            f"the scan shows no surface: {seen.report.not_assessable}; "
            "are the feedback and the tip in order?"
        )
    return seen


async def _in_time(judge: Callable[[], Looked]) -> Looked:
    # The event loop turns meanwhile and renews the lease: no guardian would notice.
    try:
        async with asyncio.timeout(JUDGING_TIMEOUT_S):
            return await aside(judge)
    except TimeoutError:
        raise Alarm(
            f"the scan was not judged within {JUDGING_TIMEOUT_S:g} s; "
            "see what keeps this computer busy"
        ) from None


async def _scan(
    run: Run, scorer: Judge, settings: LookSettings, scan_settings: ScanSettings, *, whole: bool
) -> list[ScanLine]:
    arrived: list[ScanLine] = []
    stream = scorer.stream(_setting(scan_settings))
    await run.instrument(run.watchdog.inspect())
    async with run.watchdog.beside_scan():
        lines = run.microscope.scan(scan_settings)
        try:
            while line := await run.instrument(
                run.watchdog.next_line(lines, scan_settings, first=not arrived)
            ):
                arrived.append(line)
                report = stream.read(line)
                run.tell_lines(len(arrived), report)
                enough = len(arrived) >= settings.least_share * settings.lines
                if settings.stop_early and not whole and enough and stream.stop_early():
                    break
        finally:
            await run.instrument(lines.aclose())
    run.watchdog.scanned(scan_settings.at)
    return arrived


def _setting(settings: ScanSettings) -> Setting:
    return Setting(settings.pixels, settings.lines, settings.frame.width_m, scale_known=True)
