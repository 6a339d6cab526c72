"""What a guardian can be doing, and the ways between as one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """What the guardian is doing.

    ``BLIND`` holds a lease but cannot read the instrument; ``UNREACHABLE`` withdraws and gets no
    answer; ``WITHDRAWN`` has read from the instrument that the tip is withdrawn; ``UNKNOWN`` has
    been left a file that does not say how to withdraw what was guarded.
    """

    DISARMED = "disarmed"
    BLIND = "blind"
    ARMED = "armed"
    TRIPPING = "tripping"
    UNREACHABLE = "unreachable"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"


#: The states of a lease that is held.
GUARDING = frozenset({State.BLIND, State.ARMED})
#: The states that only a human ends.
LATCHED = frozenset({State.TRIPPING, State.UNREACHABLE, State.WITHDRAWN, State.UNKNOWN})

#: From each state to those that may follow it. Only a verified withdrawal can be re-armed, or
#: what no guardian can withdraw.
ALLOWED: Mapping[State, frozenset[State]] = {
    State.DISARMED: frozenset({State.BLIND, State.TRIPPING, State.UNKNOWN}),
    State.BLIND: frozenset({State.ARMED, State.TRIPPING, State.DISARMED}),
    State.ARMED: frozenset({State.BLIND, State.TRIPPING, State.DISARMED}),
    State.TRIPPING: frozenset({State.UNREACHABLE, State.WITHDRAWN}),
    State.UNREACHABLE: frozenset({State.TRIPPING, State.WITHDRAWN}),
    State.WITHDRAWN: frozenset({State.TRIPPING, State.DISARMED}),
    State.UNKNOWN: frozenset({State.DISARMED}),
}
