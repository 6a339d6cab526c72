"""The entries of a journal and their way into JSON and back, without losing a digit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from agent.approval import Answer, Request, Verdict
from drivers.actions import ACTION, Action
from drivers.outcome import Outcome, Trace
from policies.history import Looked

#: What JSON holds: the payload of an entry.
Payload = Mapping[str, Any]

LOOKED: TypeAdapter[Looked] = TypeAdapter(Looked)
NUMBERS = ("started_s", "finished_s", "z_before_m", "z_after_m", "z_jump_m")
SAMPLE_BYTES = 16


class Kind(StrEnum):
    """What an entry tells; ``FOUND`` is what the run before has left out of order.

    ``ASKED``, ``ANSWERED`` and ``EXPIRED`` tell of requests for approval.
    ``PAUSED`` is the end of a run at whose instrument somebody else was found; ``NOTICED`` is what
    a watch has told. ``OWED`` is what has to be put back at the instrument; it comes after the end
    of a run as well, while that is done.
    """

    STARTED = "started"
    LOOK_STARTED = "look_started"
    LOOKED = "looked"
    INTENT = "intent"
    OUTCOME = "outcome"
    REFUSED = "refused"
    DECLARED = "declared"
    ERROR = "error"
    FOUND = "found"
    WITHDRAWN = "withdrawn"
    ASKED = "asked"
    ANSWERED = "answered"
    EXPIRED = "expired"
    PAUSED = "paused"
    NOTICED = "noticed"
    OWED = "owed"


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a journal.

    Attributes:
        sequence: 1, 2, 3, ... without a gap.
        kind: what it tells.
        instrument_s: instrument time (s).
        written_utc: wall time, a label for people.
        payload: the details.
        intent: for outcomes and refusals, the sequence of the intent they answer.
        trace: the bytes of a trace, where there is one.
    """

    sequence: int
    kind: Kind
    instrument_s: float
    written_utc: str
    payload: Payload
    intent: int | None = None
    trace: bytes | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """An action that is about to be sent.

    Attributes:
        action: what.
        x_m: where (m).
        y_m: where (m).
        reason: why, in one line.
        own: whether a step of the repair asked for it, rather than the way to that step.
    """

    action: Action
    x_m: float
    y_m: float
    reason: str
    own: bool


def encode_looked(looked: Looked) -> dict[str, Any]:
    """A look as JSON holds it."""
    encoded: dict[str, Any] = LOOKED.dump_python(looked, mode="json")
    return encoded


def decode_looked(payload: Payload) -> Looked:
    """The look that ``encode_looked`` took apart."""
    return LOOKED.validate_python(payload)


def encode_intent(intent: Intent) -> dict[str, Any]:
    """An intent as JSON holds it."""
    return {
        "action": intent.action.model_dump(mode="json"),
        "x_m": intent.x_m,
        "y_m": intent.y_m,
        "reason": intent.reason,
        "own": intent.own,
    }


def decode_intent(payload: Payload) -> Intent:
    """The intent that ``encode_intent`` took apart."""
    return Intent(**{**payload, "action": ACTION.validate_python(payload["action"])})


def encode_request(request: Request) -> dict[str, Any]:
    """A question as JSON holds it."""
    return {
        "request": request.id,
        "sha256": request.digest,
        "action": request.action.model_dump(mode="json"),
        "x_m": request.x_m,
        "y_m": request.y_m,
        "reason": request.reason,
        "timeout_s": request.timeout_s,
    }


def encode_answer(answer: Answer, verdict: Verdict) -> dict[str, Any]:
    """An answer, and what it came to, as JSON holds it."""
    return {
        "request": answer.id,
        "sha256": answer.digest,
        "allowed": answer.allowed,
        "by": answer.by,
        "verdict": verdict.value,
    }


def encode_outcome(outcome: Outcome) -> tuple[dict[str, Any], bytes | None]:
    """The numbers and notes of an outcome as JSON holds them, and the bytes of its trace."""
    numbers = {name: getattr(outcome, name) for name in NUMBERS}
    if outcome.notes:
        numbers["notes"] = list(outcome.notes)
    return numbers, None if outcome.trace is None else encode_trace(outcome.trace)


def decode_outcome(payload: Payload, trace: bytes | None) -> Outcome:
    """The outcome that ``encode_outcome`` took apart."""
    # Earlier versions wrote no notes.
    notes = tuple(payload.get("notes", ()))
    numbers = {name: payload[name] for name in NUMBERS}
    return Outcome(**numbers, trace=None if trace is None else decode_trace(trace), notes=notes)


def encode_trace(trace: Trace) -> bytes:
    """A trace as little-endian bytes: all times (8 each), all currents (4), all heights (4)."""
    columns = ((trace.time_s, "<f8"), (trace.current_a, "<f4"), (trace.z_m, "<f4"))
    return b"".join(np.ascontiguousarray(column, dtype).tobytes() for column, dtype in columns)


def decode_trace(content: bytes) -> Trace:
    """The trace that ``encode_trace`` took apart."""
    samples = len(content) // SAMPLE_BYTES
    return Trace(
        time_s=np.frombuffer(content, "<f8", samples),
        current_a=np.frombuffer(content, "<f4", samples, offset=8 * samples),
        z_m=np.frombuffer(content, "<f4", samples, offset=12 * samples),
    )
