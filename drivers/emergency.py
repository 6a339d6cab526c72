"""How to withdraw a tip without its driver: ready-made requests, and what to make of the answers.

A guardian process that knows no protocol plays them back when the program that drives the
instrument is dead or hangs. Every request may be carried out twice without harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Framing:
    """How replies are cut out of the stream: a head of fixed size, which counts what follows.

    Attributes:
        head_bytes: size of the head.
        size_offset: where in the head the size of the body stands, as a big-endian int32.
    """

    head_bytes: int
    size_offset: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The number that a reply begins with, and where it tells of a withdrawn tip.

    Attributes:
        format: as ``struct`` has it, such as ``>f``.
        good: spans of good values, both ends included; any other value is not good.
    """

    format: str
    good: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its reply.

    Attributes:
        name: for people.
        request: the bytes to send.
        echo: what the head of the reply begins with.
        tail: what the body of a reply of success ends with, after the reading if there is one.
        reading: what the reply tells, or None for a command that only succeeds or fails.
    """

    name: str
    request: bytes
    echo: bytes
    tail: bytes
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Emergency:
    """Everything it takes to withdraw a tip.

    Attributes:
        host: where the instrument listens.
        port: a port that nobody else uses.
        framing: how replies are framed.
        steps: what stops and withdraws, most urgent first.
        checks: readings, all of which are good if and only if the tip is withdrawn.
    """

    host: str
    port: int
    framing: Framing
    steps: tuple[Exchange, ...]
    checks: tuple[Exchange, ...]


@runtime_checkable
class Guardable(Protocol):
    """An instrument whose tip can be withdrawn by somebody who does not have its driver."""

    async def emergency(self) -> Emergency:
        """What that takes, as the instrument stands now; changes nothing.

        Raises:
            InstrumentError: the instrument does not tell what has to be known.
        """
        ...
