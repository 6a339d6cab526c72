"""Approvals: one action, shown to somebody, allowed once, within its time, or not at all.

A state machine without clock, terminal or socket. Whatever is not exactly as it was asked (another
action, another spot, another request, too late, a second time, of an earlier run) is denied. It
knows no limits: an action that was allowed still has to pass the envelope.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from drivers.actions import Action

ID_BYTES = 16


class Verdict(StrEnum):
    """What became of a request; only the first lets an action pass."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNANSWERED = "unanswered"
    EXPIRED = "expired"
    ALTERED = "altered"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Request:
    """A question to somebody.

    Attributes:
        id: random, so that nobody can answer what was not asked.
        digest: of the action and its spot.
        action: what is to be done.
        x_m: where (m).
        y_m: where (m).
        reason: why, in one line.
        timeout_s: how long there is to answer (s).
        expires_s: end of that time, on the clock that is passed in (s).
    """

    id: str
    digest: str
    action: Action
    x_m: float
    y_m: float
    reason: str
    timeout_s: float
    expires_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request.

    Attributes:
        id: of the request.
        digest: of what was shown to whoever answers.
        allowed: whether it may be done.
        by: who says so.
    """

    id: str
    digest: str
    allowed: bool
    by: str


@dataclass(slots=True)
class _Asked:
    request: Request
    verdict: Verdict = Verdict.UNANSWERED


def digest(action: Action, x_m: float, y_m: float) -> str:
    """SHA-256 of the exact action and its spot, as hexadecimal digits."""
    exact = {"action": action.model_dump(mode="json"), "x_m": float(x_m), "y_m": float(y_m)}
    text = json.dumps(exact, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def random_id() -> str:
    """An id that cannot be guessed."""
    return secrets.token_hex(ID_BYTES)


class Approvals:
    """The approvals of one run; at most one request is open, and all others are unknown.

    Args:
        timeout_s: how long a request, with its answer, is good for (s).
        new_id: source of ids that do not repeat.
    """

    def __init__(self, timeout_s: float, new_id: Callable[[], str] = random_id) -> None:
        self._timeout_s = timeout_s
        self._new_id = new_id
        self._asked: _Asked | None = None

    def ask(self, action: Action, x_m: float, y_m: float, reason: str, now: float) -> Request:
        """Open a request for exactly this; the one before it is closed.

        Args:
            action: what is to be done.
            x_m: where (m).
            y_m: where (m).
            reason: why, in one line.
            now: time on a clock that never goes back (s), the same one in all calls.
        """
        request = Request(
            id=self._new_id(),
            digest=digest(action, x_m, y_m),
            action=action,
            x_m=x_m,
            y_m=y_m,
            reason=reason,
            timeout_s=self._timeout_s,
            expires_s=now + self._timeout_s,
        )
        self._asked = _Asked(request)
        return request

    def answer(self, answer: Answer, now: float) -> Verdict:
        """Take in an answer; only the first one that fits the open request counts.

        Returns:
            ``ALLOWED`` or ``DENIED`` if it counts, otherwise why it does not.
        """
        asked = self._asked
        if asked is None or asked.request.id != answer.id:
            return Verdict.UNKNOWN
        if now >= asked.request.expires_s:
            return Verdict.EXPIRED
        if asked.request.digest != answer.digest:
            return Verdict.ALTERED
        if asked.verdict is not Verdict.UNANSWERED:
            return Verdict.UNKNOWN
        asked.verdict = Verdict.ALLOWED if answer.allowed else Verdict.DENIED
        return asked.verdict

    def spend(self, request_id: str, action: Action, x_m: float, y_m: float, now: float) -> Verdict:
        """Whether exactly this may be done now; whatever the answer, the request is closed.

        Returns:
            ``ALLOWED``, once, or why not.
        """
        asked, self._asked = self._asked, None
        if asked is None or asked.request.id != request_id:
            return Verdict.UNKNOWN
        if now >= asked.request.expires_s:
            return Verdict.EXPIRED
        if asked.request.digest != digest(action, x_m, y_m):
            return Verdict.ALTERED
        return asked.verdict
