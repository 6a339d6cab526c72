"""The journal: durable, replayable, exportable; what a run leaves behind."""

from agent.journal.history import history
from agent.journal.journal import FILE, Journal

__all__ = ["FILE", "Journal", "history"]
