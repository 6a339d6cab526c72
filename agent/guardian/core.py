"""The guardian without clock, socket or file: time and events in, effects out.

Whoever drives it hands it every event with the time of a monotonic clock, ticks it many times
within the shortest of its times, and carries out the effects in their order.
"""

from __future__ import annotations

from collections import deque

from agent.guardian.effects import Effect, Tell
from agent.guardian.lease import Lease, SteadyClock
from agent.guardian.orders import Orders, Timing, Verdict
from agent.guardian.rounds import Rounds
from agent.guardian.states import ALLOWED, GUARDING, State

_READABLE = frozenset({Verdict.GOOD, Verdict.NOT_YET})


class _Duty:
    """One instrument to withdraw."""

    def __init__(self, now: float, orders: Orders, timing: Timing, effects: deque[Effect]) -> None:
        self.orders = orders
        self.timing = timing
        self.lease = Lease(now, timing)
        self.rounds = Rounds(orders, timing, effects)
        self.judged = True
        self.readable_at = now
        self.next_round = now


class Guardian:
    """Watches one lease and withdraws one tip.

    Attributes:
        state: what it is doing.
        reason: why, in one line.
    """

    def __init__(self) -> None:
        self.state = State.DISARMED
        self.reason = "nothing is guarded"
        self._cause = ""
        self._clock = SteadyClock()
        self._effects: deque[Effect] = deque()
        self._duty: _Duty | None = None

    def take(self) -> Effect | None:
        """The next thing to be done, or None."""
        return self._effects.popleft() if self._effects else None

    def arm(self, now: float, orders: Orders, timing: Timing) -> bool:
        """Look at the instrument and grant a lease; False unless disarmed.

        The lease begins with the first ``renew``, when what was armed is written down.
        """
        steady = self._clock.read(now)
        if self.state is not State.DISARMED:
            return False
        duty = self._duty = _Duty(steady, orders, timing, self._effects)
        duty.lease.spare(steady)
        self._enter(State.BLIND, f"looking for the instrument at {orders.host}:{orders.port}")
        self._begin(duty)
        return True

    def resume(self, now: float, orders: Orders, timing: Timing) -> None:
        """Withdraw what another guardian had guarded or latched when it ended; only at first."""
        duty = self._duty = _Duty(self._clock.read(now), orders, timing, self._effects)
        self._trip(duty, "an earlier guardian ended while it was armed or latched")

    def doubt(self, now: float, reason: str) -> None:
        """Latch without orders, as nobody knows what another guardian had guarded; only at first.

        Args:
            now: time of a monotonic clock (s).
            reason: why nobody knows.
        """
        self._clock.read(now)
        self._enter(State.UNKNOWN, reason)

    def renew(self, now: float) -> None:
        """The agent is alive."""
        steady = self._clock.read(now)
        if self._duty is not None and self.state in GUARDING:
            self._duty.lease.renew(steady)

    def disarm(self, now: float) -> bool:
        """The agent has ended in order; False if the guardian is latched."""
        self._clock.read(now)
        if self._duty is not None and self.state in GUARDING:
            self._let_go("the agent has ended in order")
        return self.state is State.DISARMED

    def refuse(self, now: float, reason: str) -> None:
        """Guard nothing after all: what was armed cannot be written down."""
        self._clock.read(now)
        if self.state in GUARDING:
            self._let_go(reason)

    def trip(self, now: float, reason: str) -> bool:
        """Withdraw now, if not done already; False if nothing is guarded."""
        self._clock.read(now)
        if self._duty is not None and self.state in GUARDING:
            self._trip(self._duty, reason)
        return self._duty is not None

    def rearm(self, now: float) -> bool:
        """A human has looked at the tip; False while there is a withdrawal to be verified."""
        self._clock.read(now)
        if self.state not in (State.WITHDRAWN, State.UNKNOWN):
            return False
        self._let_go("re-armed by a human")
        return True

    def tick(self, now: float) -> None:
        """Let time pass."""
        steady = self._clock.read(now)
        if (duty := self._duty) is None:
            return
        if self.state in GUARDING and duty.lease.lost(steady):
            silence = f"no sign of life from the agent for {duty.timing.lost_after_s:g} s"
            self._trip(duty, silence)
        duty.rounds.tick(steady)
        self._go_on(duty)

    def connected(self, now: float) -> None:
        """The connection to the instrument is there."""
        steady = self._clock.read(now)
        if self._duty is not None:
            self._duty.rounds.connected(steady)

    def disconnected(self, now: float) -> None:
        """The connection to the instrument failed or broke."""
        steady = self._clock.read(now)
        if self._duty is not None:
            self._duty.rounds.disconnected(steady)
            self._go_on(self._duty)

    def received(self, now: float, data: bytes) -> None:
        """The instrument has sent something."""
        steady = self._clock.read(now)
        if self._duty is not None:
            self._duty.rounds.received(steady, data)
            self._go_on(self._duty)

    def _trip(self, duty: _Duty, cause: str) -> None:
        self._cause = cause
        self._enter(State.TRIPPING, cause)
        self._begin(duty)

    def _let_go(self, reason: str) -> None:
        if self._duty is not None:
            self._duty.rounds.close()
            self._duty = None
        self._enter(State.DISARMED, reason)

    def _begin(self, duty: _Duty) -> None:
        withdrawing = self.state in (State.TRIPPING, State.UNREACHABLE)
        steps = duty.orders.steps if withdrawing else ()
        duty.judged = False
        duty.rounds.begin(self._clock.now, (*steps, *duty.orders.checks))

    def _go_on(self, duty: _Duty) -> None:
        if duty.rounds.busy:
            return
        if not duty.judged:
            duty.judged = True
            self._judge(duty)
            urgent = self.state in (State.BLIND, State.TRIPPING, State.UNREACHABLE)
            pause_s = duty.timing.retry_s if urgent else duty.timing.watch_s
            duty.next_round = self._clock.now + pause_s
        if self._clock.now >= duty.next_round:
            self._begin(duty)

    def _judge(self, duty: _Duty) -> None:
        verdicts = duty.rounds.verdicts
        problems = ", ".join(f"{e.name} {v}" for e, v in verdicts if v is not Verdict.GOOD)
        found = [verdict for _, verdict in verdicts]
        if self.state in GUARDING:
            self._judge_sight(duty, readable=_READABLE.issuperset(found), problems=problems)
        elif self.state is State.WITHDRAWN:
            if Verdict.NOT_YET in found:
                self._trip(duty, f"{self._cause}; the tip did not stay withdrawn ({problems})")
        else:
            self._judge_withdrawal(found, len(duty.orders.checks), problems)

    def _judge_sight(self, duty: _Duty, *, readable: bool, problems: str) -> None:
        if readable:
            duty.readable_at = self._clock.now
            self._enter(State.ARMED, "the instrument can be withdrawn from here")
        elif self._clock.now - duty.readable_at > duty.timing.blind_after_s:
            self._enter(State.BLIND, f"the instrument cannot be read: {problems}")

    def _judge_withdrawal(self, found: list[Verdict], checks: int, problems: str) -> None:
        seen = all(verdict is Verdict.GOOD for verdict in found[-checks:])
        if seen and Verdict.UNANSWERED not in found:
            self._enter(State.WITHDRAWN, self._cause)
        elif set(found) == {Verdict.UNANSWERED}:
            self._enter(State.UNREACHABLE, f"{self._cause}; the instrument does not answer")
        else:
            self._enter(State.TRIPPING, f"{self._cause}; not verified yet: {problems}")

    def _enter(self, state: State, reason: str) -> None:
        if state is self.state:
            # The same news is told once, so that a long alarm can still be read.
            if reason == self.reason or state is State.ARMED:
                return
        elif state not in ALLOWED[self.state]:
            raise RuntimeError(f"no way from {self.state} to {state}")
        self.state, self.reason = state, reason
        self._effects.append(Tell(state, reason))
