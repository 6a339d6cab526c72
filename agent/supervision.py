"""Supervised mode: which actions somebody is asked about, and who that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent.approval import Answer, Approvals, Request, random_id
from agent.config import ApprovalSettings
from drivers.actions import Action


class Asker(Protocol):
    """A way to put a question to somebody."""

    async def ask(self, request: Request) -> Answer:
        """Show ``request`` and wait for the answer; cancelled when its time is over."""
        ...


class Supervision:
    """Who is asked, and about what.

    Args:
        settings: which kinds of action, and how long there is to answer.
        asker: puts the questions.
        new_id: source of the requests' ids.
    """

    def __init__(
        self, settings: ApprovalSettings, asker: Asker, new_id: Callable[[], str] = random_id
    ) -> None:
        self._kinds = frozenset(settings.ask)
        self.asker = asker
        self.approvals = Approvals(settings.timeout_s, new_id)

    def concerns(self, action: Action) -> bool:
        """Whether somebody is asked before ``action``."""
        return action.kind in self._kinds
