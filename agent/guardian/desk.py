"""What others may ask of the guardian: one JSON object a line, one line of answer each.

``ask`` is one of ``ASKABLE``; every request carries the token. ``arm`` also carries ``orders`` and
``timing``, ``trip`` its ``reason``. The answer tells ``done``, ``state`` and ``reason``. That to
``arm`` comes once the orders are written down: a guardian that dies before has nothing to pass on.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.guardian.core import Guardian
from agent.guardian.orders import read_orders, read_timing
from agent.guardian.states import GUARDING, State

ASKABLE = ("state", "arm", "renew", "disarm", "trip", "rearm")
#: Longer lines are nobody's.
MAX_LINE = 2**20
WRONG_TOKEN = "the token is wrong"  # noqa: S105 - no secret


@dataclass(frozen=True, slots=True)
class Answer:
    """What the guardian answers.

    Attributes:
        done: whether it did what was asked.
        state: what it is doing now.
        reason: why, or what was wrong with the question.
    """

    done: bool
    state: State
    reason: str


class Visitor(Protocol):
    """Somebody at the desk; told apart from others by identity."""

    def reply(self, line: bytes) -> None:
        """Give an answer for which the visitor has waited."""
        ...


class Desk:
    """Answers visitors on behalf of a guardian.

    Attributes:
        handed: the orders and times of the lease as they came, or None.
    """

    def __init__(self, guardian: Guardian, token: str) -> None:
        self.handed: Mapping[str, Any] | None = None
        self._guardian = guardian
        # Whose the lease is: a visitor of an earlier lease has no say in a later one.
        self._holder: Visitor | None = None
        self._arming = False
        self._token = token.encode()

    def answer(self, now: float, line: bytes, visitor: Visitor) -> bytes | None:
        """The line that answers ``line``, whatever it is; None if ``written`` will answer."""
        try:
            request = json.loads(line)
            if not hmac.compare_digest(str(request["token"]).encode(), self._token):
                return self._reply(done=False, reason=WRONG_TOKEN)
            done = self._do(now, request, visitor)
            return None if done is None else self._reply(done=done)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return self._reply(done=False, reason=f"the question cannot be read: {error}")

    def written(
        self, now: float, handed: Mapping[str, Any] | None, problem: str | None
    ) -> tuple[Visitor, bytes] | None:
        """A report was written, or could not be; the answer for which somebody has waited, if so.

        Args:
            now: time of a monotonic clock (s).
            handed: the orders and times in the report.
            problem: why it could not be written, or None if it was.
        """
        if not self._arming or self._holder is None or handed is not self.handed:
            return None
        self._arming = False
        if problem is None:
            self._guardian.renew(now)
        else:
            self._guardian.refuse(
                now,
                f"the state file cannot be written ({problem}), and a guardian that is started "
                "after a crash would not know how to withdraw; see to room and rights there",
            )
        return self._holder, self._reply(done=self._guardian.state in GUARDING)

    def left(self, now: float, visitor: Visitor) -> None:
        """The visitor is gone; with a lease that was not given back, the agent is dead."""
        if visitor is self._holder:
            self._guardian.trip(now, "the agent has died")

    def _do(self, now: float, request: Mapping[str, Any], visitor: Visitor) -> bool | None:
        guardian, holds = self._guardian, visitor is self._holder
        match request["ask"]:
            case "state":
                return True
            case "arm":
                return self._arm(now, request, visitor)
            case "renew" if holds:
                guardian.renew(now)
                return True
            case "disarm" if holds:
                return guardian.disarm(now)
            case "trip":
                return guardian.trip(now, str(request["reason"]))
            case "rearm":
                return guardian.rearm(now)
        return False

    def _arm(self, now: float, request: Mapping[str, Any], visitor: Visitor) -> bool | None:
        handed = {"orders": request["orders"], "timing": request["timing"]}
        orders, timing = read_orders(handed["orders"]), read_timing(handed["timing"])
        if not self._guardian.arm(now, orders, timing):
            return False
        self.handed = handed
        self._holder = visitor
        self._arming = True
        return None

    def _reply(self, *, done: bool, reason: str | None = None) -> bytes:
        answer = {
            "done": done,
            "state": self._guardian.state,
            "reason": self._guardian.reason if reason is None else reason,
        }
        return json.dumps(answer).encode() + b"\n"


def encode_request(ask: str, token: str, **more: object) -> bytes:
    """The line that asks; bytes in it become hexadecimal text."""
    request = {"ask": ask, "token": token, **more}
    return json.dumps(request, default=bytes.hex).encode() + b"\n"


def decode_answer(line: bytes) -> Answer:
    """The answer in a line.

    Raises:
        ValueError: the line holds none.
    """
    try:
        raw = json.loads(line)
        return Answer(bool(raw["done"]), State(raw["state"]), str(raw["reason"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no answer of a guardian: {error!r}") from None
