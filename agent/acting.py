"""Carrying out an action: allowed if somebody is asked, its intent durable before its effect.

What is unknown stays unknown.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from time import perf_counter

from agent.approval import Request, Verdict
from agent.config import RepairSettings
from agent.record import Intent, Kind, encode_answer, encode_request
from agent.run import Run
from agent.supervision import Supervision
from agent.wording import spot
from drivers.actions import Action, Approach, CoarseMove, Indentation, MoveTo, Pulse, Wait
from drivers.errors import (
    Alarm,
    ConfigError,
    Denied,
    FileError,
    Refused,
    SettingsChanged,
    TipsmithError,
)
from drivers.outcome import Outcome
from drivers.sample_map import Site
from policies.episode import Act
from policies.history import Acted
from policies.legal import way_back

#: Wall time for which what was seen of the instrument holds (s).
FRESH_S = 1.0


async def act(run: Run, step: Act, settings: RepairSettings) -> Acted:
    """Carry out ``step``, with the way there and, after a coarse move, the way back to the surface.

    Raises:
        Denied: the action was not allowed and not sent.
        Refused: the action lies outside the envelope and was not sent.
        ConfigError: the instrument is not configured for the action; it was not sent.
        InstrumentError: the instrument failed.
    """
    action, site = step.action, step.site
    back: Approach | None = None
    if isinstance(action, CoarseMove):
        back = way_back(action, settings.at, run.microscope.limits)
    if isinstance(action, Pulse | Indentation):
        speed = settings.travel_nm_per_s * 1e-9
        there = MoveTo(x_m=site.x_m, y_m=site.y_m, speed_m_per_s=speed)
        await perform(run, _intent(there, site, "to the spot of the action", own=False))
    outcome = await perform(run, _intent(action, site, step.reason, own=True))
    if back is not None:
        await perform(run, _intent(back, site, "back to the surface", own=False))
    return Acted(action, site.x_m, site.y_m, outcome)


def _intent(action: Action, site: Site, reason: str, *, own: bool) -> Intent:
    return Intent(action, site.x_m, site.y_m, reason, own)


async def perform(run: Run, intent: Intent) -> Outcome:
    """Carry out one action: its intent durable before, its outcome after.

    Every action passes here, so that whoever supervises is asked about each that concerns them.

    Raises:
        Denied: it was not allowed and not sent.
        Refused: it lies outside the envelope and was not sent.
        ConfigError: the instrument is not configured for it; it was not sent.
        SettingsChanged: somebody else has changed what the agent had set; it was not sent.
        Alarm: a watch was set off; it was not sent, or was a wait that was broken off.
        InstrumentError: the instrument failed.
        FileError: the journal cannot be written; if that was the intent, nothing was sent.
    """
    supervision = run.supervision
    if supervision is not None and supervision.concerns(intent.action):
        await _get_allowed(run, supervision, intent)
    # Last of all: while somebody was asked, somebody may have changed something.
    await run.instrument(run.watchdog.inspect())
    looked_s = perf_counter()
    entry = await run.journal.intend(intent, run.now_s)
    if isinstance(intent.action, Wait):
        return await _wait(run, intent.action, entry)
    try:
        if perf_counter() - looked_s > FRESH_S:
            # The disk has kept it waiting, and nobody has looked meanwhile.
            await run.instrument(run.watchdog.inspect())
        outcome = await run.instrument(run.microscope.perform(intent.action))
    except (Alarm, Refused, ConfigError, SettingsChanged) as refusal:
        await _note_refused(run, entry, refusal)
        raise
    # Any other error leaves the intent without an answer: whether the tip was touched is unknown.
    run.watchdog.acted(intent.action)
    await run.journal.done(entry, outcome)
    return outcome


async def _wait(run: Run, action: Wait, entry: int) -> Outcome:
    started_s = run.now_s
    try:
        async with run.watchdog.beside_waiting():
            outcome = await run.instrument(run.microscope.perform(action))
    except Refused as refusal:
        await _note_refused(run, entry, refusal)
        raise
    except (SettingsChanged, Alarm) as error:
        # A wait changes nothing, so how it ended is known.
        broken_off = Outcome(started_s, run.now_s, notes=(f"broken off: {error}",))
        # Why it was broken off decides what becomes of the tip, not what a disk says.
        with suppress(FileError):
            await run.journal.done(entry, broken_off)
        raise
    await run.journal.done(entry, outcome)
    return outcome


async def _note_refused(run: Run, entry: int, refusal: TipsmithError) -> None:
    # Why it was not sent decides what becomes of the tip, not what a disk says.
    with suppress(FileError):
        await run.journal.refused(entry, str(refusal), run.now_s)


async def _get_allowed(run: Run, supervision: Supervision, intent: Intent) -> None:
    """Ask, and use the approval up for what is sent next.

    Raises:
        Denied: there is none.
    """
    loop, approvals = asyncio.get_running_loop(), supervision.approvals
    action, x_m, y_m = intent.action, intent.x_m, intent.y_m
    request = approvals.ask(action, x_m, y_m, intent.reason, loop.time())
    await run.journal.note(Kind.ASKED, run.now_s, encode_request(request))
    run.tell(replace(run.progress, request=request))
    try:
        await _hear(run, supervision, request)
    finally:
        run.tell(replace(run.progress, request=None))
    verdict = approvals.spend(request.id, action, x_m, y_m, loop.time())
    if verdict is not Verdict.ALLOWED:
        raise Denied(
            f"{action.kind} at {spot(x_m, y_m)} was not sent: {_why_not(verdict, request)}; "
            "to go on, approach and start again, with narrower [limits] if it was too much"
        )


async def _hear(run: Run, supervision: Supervision, request: Request) -> None:
    loop, beside = asyncio.get_running_loop(), run.watchdog.beside_waiting()
    try:
        async with beside, asyncio.timeout_at(request.expires_s):
            answer = await run.instrument(supervision.asker.ask(request))
    except TimeoutError:
        await run.journal.note(Kind.EXPIRED, run.now_s, {"request": request.id})
    else:
        verdict = supervision.approvals.answer(answer, loop.time())
        await run.journal.note(Kind.ANSWERED, run.now_s, encode_answer(answer, verdict))


def _why_not(verdict: Verdict, request: Request) -> str:
    if verdict is Verdict.DENIED:
        return "the operator did not allow it"
    if verdict in (Verdict.EXPIRED, Verdict.UNANSWERED):
        return f"nobody allowed it within {request.timeout_s:g} s"
    return f"the approval does not fit it ({verdict})"
