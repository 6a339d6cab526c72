"""A round of exchanges with the instrument, one at a time over one connection, without sockets.

An exchange that is not answered in time costs its connection, as its late answer must not be taken
for the next one; the round goes on with the next exchange over a new connection, so that no module
that hangs keeps the tip from being withdrawn. A round ends early if no connection can be had.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto

from agent.guardian.effects import Connect, Drop, Effect, Send
from agent.guardian.orders import Exchange, Orders, Timing, Verdict

#: Bodies larger than this are none.
MAX_BODY = 2**20
_SIZE = struct.Struct(">i")


class Link(Enum):
    """The connection to the instrument."""

    DOWN = auto()
    CONNECTING = auto()
    UP = auto()


class Rounds:
    """Carries out rounds of exchanges; times are seconds on one steady clock.

    Args:
        orders: how replies are framed.
        timing: how long to wait.
        effects: gets what has to be done.

    Attributes:
        verdicts: what each exchange of the round came to, in order, as far as it has got.
    """

    def __init__(self, orders: Orders, timing: Timing, effects: deque[Effect]) -> None:
        self.verdicts: list[tuple[Exchange, Verdict]] = []
        self._orders = orders
        self._timing = timing
        self._effects = effects
        self._queue: deque[Exchange] = deque()
        self._asked: Exchange | None = None
        self._stale = False
        self._deadline = 0.0
        self._link = Link.DOWN
        self._received = b""

    @property
    def busy(self) -> bool:
        """Whether the round still goes on."""
        return bool(self._queue) or self._asked is not None

    def begin(self, now: float, exchanges: Sequence[Exchange]) -> None:
        """Begin a round; of one that goes on, the answer on its way is waited for but not kept."""
        self.verdicts = []
        self._queue = deque(exchanges)
        self._stale = self._asked is not None
        if self._asked is None:
            self._go_on(now)

    def tick(self, now: float) -> None:
        """Give up what has taken too long."""
        if now < self._deadline:
            return
        if self._link is Link.CONNECTING:
            self.disconnected(now)
        elif self._asked is not None:
            self._drop()
            self._answered(now, Verdict.UNANSWERED)

    def connected(self, now: float) -> None:
        """The connection asked for is there."""
        self._link = Link.UP
        self._go_on(now)

    def disconnected(self, now: float) -> None:
        """There is no connection, or none any more."""
        refused = self._link is Link.CONNECTING
        self._drop()
        if refused:
            self.verdicts += [(exchange, Verdict.UNANSWERED) for exchange in self._queue]
            self._queue.clear()
        elif self._asked is not None:
            self._answered(now, Verdict.UNANSWERED)

    def received(self, now: float, data: bytes) -> None:
        """Bytes have arrived on the connection."""
        asked, head = self._asked, self._orders.head_bytes
        if asked is None:
            self._drop()
            return
        self._received += data
        if len(self._received) < head:
            return
        (size,) = _SIZE.unpack_from(self._received, self._orders.size_offset)
        whole = head + size
        in_step = self._received.startswith(asked.echo) and 0 <= size <= MAX_BODY
        if not in_step or len(self._received) > whole:
            self._drop()
            self._answered(now, Verdict.UNKNOWN)
        elif len(self._received) == whole:
            self._answered(now, asked.judge(self._received[head:]))

    def close(self) -> None:
        """End the round and the connection."""
        self._queue.clear()
        self._asked = None
        self._drop()

    def _answered(self, now: float, verdict: Verdict) -> None:
        if self._asked is not None and not self._stale:
            self.verdicts.append((self._asked, verdict))
        self._asked, self._stale = None, False
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        if not self._queue or self._asked is not None:
            return
        if self._link is Link.DOWN:
            self._link = Link.CONNECTING
            self._deadline = now + self._timing.connect_s
            self._effects.append(Connect(self._orders.host, self._orders.port))
        elif self._link is Link.UP:
            self._asked = self._queue.popleft()
            self._received = b""
            self._deadline = now + self._timing.answer_s
            self._effects.append(Send(self._asked.request))

    def _drop(self) -> None:
        if self._link is not Link.DOWN:
            self._link = Link.DOWN
            self._effects.append(Drop())
