"""From the entries of a journal back to the history that the repair decided on."""

from __future__ import annotations

from agent.journal.journal import Journal
from agent.record import Intent, Kind, Record, decode_intent, decode_looked, decode_outcome
from policies.history import Acted, Event


class Unfolding:
    """Folds entries, one after the other, into the history of the repair.

    Attributes:
        events: the history so far, exactly as it was when the last entry was written.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._intent: Intent | None = None

    def take(self, record: Record) -> None:
        """Take in the next entry."""
        match record.kind:
            case Kind.LOOKED:
                self.events.append(decode_looked(record.payload))
            case Kind.INTENT:
                self._intent = decode_intent(record.payload)
            case Kind.OUTCOME if self._intent is not None and self._intent.own:
                # One intent at a time: an answer belongs to the last one.
                done = self._intent
                outcome = decode_outcome(record.payload, record.trace)
                self.events.append(Acted(done.action, done.x_m, done.y_m, outcome))


def history(journal: Journal) -> list[Event]:
    """The history of the repair, exactly as it was when the last entry was written."""
    unfolding = Unfolding()
    for record in journal.records():
        unfolding.take(record)
    return unfolding.events
