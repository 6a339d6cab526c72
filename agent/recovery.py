"""Taking up where an earlier run broke off: withdraw, approach, look; never repeat.

What it had changed at the instrument is put back: SafeTip at once, the operator's settings at the
end of the run that takes it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.acting import perform
from agent.journal.past import Past, Standing, latest_owed, latest_run
from agent.record import Intent, Kind, encode_intent
from agent.run import Run
from drivers.actions import TunnellingPoint
from drivers.enveloped import EnvelopedMicroscope
from policies.legal import approach


@dataclass(frozen=True, slots=True)
class Found:
    """What the run before has left.

    Attributes:
        run: its name.
        standing: how it stands.
        entries: how many entries its journal holds.
        in_contact: whether the tip may still be in contact, with whatever ran then.
        unknown: the action of unknown outcome, or None.
    """

    run: str
    standing: Standing
    entries: int
    in_contact: bool
    unknown: Intent | None

    @property
    def sentence(self) -> str:
        """What was found and what is done about it, for people."""
        parts = [f"the run {self.run} before this one is {self.standing}"]
        if self.unknown is not None:
            action = self.unknown.action.kind
            parts.append(f"the outcome of its last action ({action}) is unknown")
        if self.in_contact:
            parts.append("the tip is withdrawn and approached again")
        return "; ".join([*parts, "it is looked at before anything else, and nothing is repeated"])


def look_back(directory: Path, microscope: str) -> Found | None:
    """What the run before on ``microscope`` has left, or None if it was left in order.

    Raises:
        FileError: the runs in ``directory`` cannot be read.
    """
    past = latest_run(directory, microscope)
    if past is None:
        return None
    found = Found(past.name, past.standing, past.entries, _in_contact(past), past.unknown)
    return found if found.in_contact or found.unknown is not None else None


def _in_contact(past: Past) -> bool:
    # A run that was stopped says whether it could withdraw; one that declared was in order, and
    # one that paused has left the tip to somebody who was there.
    if past.standing is Standing.STOPPED:
        return not past.withdrawn
    return past.standing in (Standing.BROKEN_OFF, Standing.UNREADABLE)


async def recover(run: Run, found: Found, at: TunnellingPoint) -> None:
    """Note and tell what was found; bring a tip that may be anywhere into contact anew.

    That it is looked at next needs no word here: every repair begins so.

    Args:
        run: the repair that takes over.
        found: what the one before has left.
        at: tunnelling point to approach with.

    Raises:
        InstrumentError: the tip could not be withdrawn, or not be approached again.
        FileError: the journal cannot be written.
    """
    intent = None if found.unknown is None else encode_intent(found.unknown)
    payload = {
        "run": found.run,
        "standing": found.standing.value,
        "entries": found.entries,
        "in_contact": found.in_contact,
        "intent": intent,
    }
    await run.journal.note(Kind.FOUND, run.now_s, payload)
    run.say(found.sentence)
    if not found.in_contact:
        return
    await run.instrument(run.microscope.withdraw())
    await run.journal.note(Kind.WITHDRAWN, run.now_s, {})
    # What broke off may have been in the middle of changing the instrument.
    state = await run.instrument(run.watchdog.begin())
    back = approach(at, run.microscope.limits)
    await perform(run, Intent(back, state.x_m, state.y_m, "back to the surface", own=False))


async def take_up_debts(
    microscope: EnvelopedMicroscope, directory: Path, address: str
) -> str | None:
    """Let the driver owe what an earlier run changed and did not put back.

    Returns:
        What that is, for people; None if it is nothing.

    Raises:
        InstrumentError: SafeTip was left off and cannot be switched on, or the instrument fails.
        FileError: the runs in ``directory`` cannot be read.
    """
    past = latest_owed(directory, address) if microscope.lends else None
    if past is None or not past.owed:
        return None
    await microscope.take_up(past.owed)
    return (
        f"what the run {past.name} changed and did not put back ({', '.join(past.owed)}) is put "
        "back at the end of this one, SafeTip at once, unless somebody has changed it since"
    )
