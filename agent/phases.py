"""The phases of a repair and the ways between them, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """What a repair is doing."""

    STARTING = "starting"
    DECIDING = "deciding"
    LOOKING = "looking"
    ACTING = "acting"
    WITHDRAWING = "withdrawing"
    ENDED = "ended"


#: From each phase to those that may follow it. Every phase that touches the instrument can be left
#: for the withdrawal, and for the end where somebody else has taken over; nothing but the end
#: follows a withdrawal.
ALLOWED: Mapping[Phase, frozenset[Phase]] = {
    Phase.STARTING: frozenset({Phase.DECIDING, Phase.WITHDRAWING, Phase.ENDED}),
    Phase.DECIDING: frozenset({Phase.LOOKING, Phase.ACTING, Phase.WITHDRAWING, Phase.ENDED}),
    Phase.LOOKING: frozenset({Phase.DECIDING, Phase.WITHDRAWING, Phase.ENDED}),
    Phase.ACTING: frozenset({Phase.DECIDING, Phase.WITHDRAWING, Phase.ENDED}),
    Phase.WITHDRAWING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}


class Phases:
    """Where one repair is, and the guard of the table."""

    def __init__(self) -> None:
        self.current = Phase.STARTING

    def enter(self, phase: Phase) -> None:
        """Go on to ``phase``.

        Raises:
            RuntimeError: the table has no way there; a fault of the program, never of the user.
        """
        if phase not in ALLOWED[self.current]:
            raise RuntimeError(f"no way from phase {self.current} to {phase}")
        self.current = phase
