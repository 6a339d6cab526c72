"""What the guardian's core wants done; the process around it does it."""

from __future__ import annotations

from dataclasses import dataclass

from agent.guardian.states import State


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a new connection to the instrument."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send bytes to the instrument."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection at once; nothing that still arrives on it counts."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Write down and say aloud what has become of the guardian."""

    state: State
    reason: str


Effect = Connect | Send | Drop | Tell
