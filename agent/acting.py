"""Carrying out an action: the intent is durable first, and what is unknown stays unknown."""

from __future__ import annotations

from agent.config import RepairSettings
from agent.record import Intent
from agent.run import Run
from drivers.actions import Action, Approach, CoarseMove, Indentation, MoveTo, Pulse
from drivers.errors import Refused
from drivers.outcome import Outcome
from drivers.sample_map import Site
from policies.episode import Act
from policies.history import Acted


async def act(run: Run, step: Act, settings: RepairSettings) -> Acted:
    """Carry out ``step``, with the way there and, after a coarse move, the way back to the surface.

    Raises:
        Refused: the action lies outside the envelope and was not sent.
        InstrumentError: the instrument failed.
    """
    action, site = step.action, step.site
    if isinstance(action, Pulse | Indentation):
        speed = settings.travel_nm_per_s * 1e-9
        there = MoveTo(x_m=site.x_m, y_m=site.y_m, speed_m_per_s=speed)
        await perform(run, _intent(there, site, "to the spot of the action", own=False))
    outcome = await perform(run, _intent(action, site, step.reason, own=True))
    if isinstance(action, CoarseMove):
        back = Approach(at=settings.at)
        await perform(run, _intent(back, site, "back to the surface", own=False))
    return Acted(action, site.x_m, site.y_m, outcome)


def _intent(action: Action, site: Site, reason: str, *, own: bool) -> Intent:
    return Intent(action, site.x_m, site.y_m, reason, own)


async def perform(run: Run, intent: Intent) -> Outcome:
    """Carry out one action: its intent durable before, its outcome after.

    Raises:
        Refused: it lies outside the envelope and was not sent.
        InstrumentError: the instrument failed.
        FileError: the journal cannot be written; if that was the intent, nothing was sent.
    """
    entry = run.journal.intend(intent, run.now_s)
    try:
        outcome = await run.instrument(run.microscope.perform(intent.action))
    except Refused as refusal:
        run.journal.refused(entry, str(refusal), run.now_s)
        raise
    # Any other error leaves the intent without an answer: whether the tip was touched is unknown.
    run.journal.done(entry, outcome)
    return outcome
