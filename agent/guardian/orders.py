"""What the guardian is handed: the frames to send, how to read the answers, and how long to wait.

It arrives as JSON, bytes as hexadecimal text; ``drivers.emergency`` says what the fields mean.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What an answer was worth."""

    GOOD = "good"
    NOT_YET = "not yet"
    UNKNOWN = "not understood"
    UNANSWERED = "not answered"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, and what to make of its reply.

    Attributes:
        name: for people.
        request: the bytes to send.
        echo: what the head of the reply begins with.
        tail: what the body of a good reply ends with.
        format: how the number before the tail is packed; empty if there is none.
        good: spans of good numbers, both ends included.
    """

    name: str
    request: bytes
    echo: bytes
    tail: bytes
    format: str = ""
    good: tuple[tuple[float, float], ...] = ()

    def judge(self, body: bytes) -> Verdict:
        """What a reply with this body says; anything unexpected is not understood."""
        size = struct.calcsize(self.format)
        if len(body) != size + len(self.tail) or body[size:] != self.tail:
            return Verdict.UNKNOWN
        if not self.format:
            return Verdict.GOOD
        (value,) = struct.unpack_from(self.format, body)
        good = any(low <= value <= high for low, high in self.good)
        return Verdict.GOOD if good else Verdict.NOT_YET


@dataclass(frozen=True, slots=True)
class Orders:
    """How to withdraw one instrument.

    Attributes:
        host: where it listens.
        port: the port kept for the guardian.
        head_bytes: size of the head of a reply.
        size_offset: where in the head the size of the body stands (big-endian int32).
        steps: what stops and withdraws, in order.
        checks: what is read to see that the tip is withdrawn.
    """

    host: str
    port: int
    head_bytes: int
    size_offset: int
    steps: tuple[Exchange, ...]
    checks: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait for what (s).

    Attributes:
        lost_after_s: silence of the agent after which the tip is withdrawn.
        grace_s: silence allowed once after the guardian itself was not run for a while.
        answer_s: time for an answer of the instrument.
        connect_s: time for a connection to it.
        retry_s: pause between two rounds of withdrawing.
        watch_s: pause between two looks at the instrument otherwise.
        blind_after_s: time without a readable instrument that is told.
    """

    lost_after_s: float
    grace_s: float
    answer_s: float
    connect_s: float
    retry_s: float
    watch_s: float
    blind_after_s: float


def read_orders(raw: Mapping[str, Any]) -> Orders:
    """The orders in what JSON gave.

    Raises:
        ValueError: they are incomplete or malformed.
    """
    try:
        framing = raw["framing"]
        orders = Orders(
            host=str(raw["host"]),
            port=int(raw["port"]),
            head_bytes=int(framing["head_bytes"]),
            size_offset=int(framing["size_offset"]),
            steps=tuple(map(_exchange, raw["steps"])),
            checks=tuple(map(_exchange, raw["checks"])),
        )
    except (KeyError, TypeError, struct.error) as error:
        raise ValueError(f"the emergency frames cannot be read: {error!r}") from None
    if not (orders.steps and orders.checks and 0 <= orders.size_offset <= orders.head_bytes - 4):
        raise ValueError("the emergency frames need steps, checks and a head that holds the size")
    return orders


def read_timing(raw: Mapping[str, Any]) -> Timing:
    """The times in what JSON gave.

    Raises:
        ValueError: one is missing, unknown or not positive.
    """
    names = {field.name for field in fields(Timing)}
    if raw.keys() != names:
        raise ValueError(f"expected the times {sorted(names)}, got {sorted(raw)}")
    try:
        timing = Timing(**{name: float(value) for name, value in raw.items()})
    except TypeError as error:
        raise ValueError(f"a time is no number: {error}") from None
    if not all(0 < getattr(timing, name) < float("inf") for name in names):
        raise ValueError(f"every time must be positive and finite, got {dict(raw)}")
    return timing


def _exchange(raw: Mapping[str, Any]) -> Exchange:
    reading = raw["reading"] or {"format": "", "good": ()}
    numbers = struct.unpack(reading["format"], bytes(struct.calcsize(reading["format"])))
    if len(numbers) != bool(raw["reading"]):
        raise ValueError(f"the reading of {raw['name']} must be one number")
    return Exchange(
        name=str(raw["name"]),
        request=bytes.fromhex(raw["request"]),
        echo=bytes.fromhex(raw["echo"]),
        tail=bytes.fromhex(raw["tail"]),
        format=str(reading["format"]),
        good=tuple((float(low), float(high)) for low, high in reading["good"]),
    )
