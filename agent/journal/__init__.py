"""The journal: durable, replayable, exportable; what a run leaves behind."""

from agent.journal.history import history
from agent.journal.journal import FILE, Journal
from agent.journal.scribe import Scribe, new_journal

__all__ = ["FILE", "Journal", "Scribe", "history", "new_journal"]
