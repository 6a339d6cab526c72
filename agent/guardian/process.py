"""The guardian's process: sockets, files and signals around its core."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from agent.guardian.alive import alone
from agent.guardian.asking import HOST
from agent.guardian.core import Guardian
from agent.guardian.desk import Desk
from agent.guardian.effects import Connect, Drop, Effect, Send
from agent.guardian.link import InstrumentLink, VisitorLink
from agent.guardian.orders import read_orders, read_timing
from agent.guardian.statefile import (
    WRITE,
    Report,
    check_private,
    keep_torn,
    read_report,
    write_report,
)
from agent.guardian.states import GUARDING, LATCHED, State
from agent.guardian.telling import Teller

TICK_S = 0.02
#: How long one that was started for a single run waits for it.
UNUSED_S = 30.0


class GuardianProcess:
    """Runs one guardian.

    Args:
        path: its state file.
        once: end with the first lease instead of waiting for the next one.
    """

    def __init__(self, path: Path, *, once: bool) -> None:
        self._path = path
        self._once = once
        self._guardian = Guardian()
        self._token = secrets.token_hex(16)
        self._desk = Desk(self._guardian, self._token)
        self._teller = Teller(path)
        self._port = 0
        self._link = self._new_link()
        self._used = False
        self._leaving = False
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Run until there is nothing left to guard, or for ever.

        Raises:
            OSError: the state file cannot be written, or no port be had.
            ValueError: the state file is another guardian's, or others can change it.
        """
        # One that others could only read still says how to withdraw; it is replaced by a private
        # one with a new token.
        check_private(self._path, WRITE)
        with alone(self._path):
            await self._run()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: VisitorLink(self._answer, self._visitor_left), HOST, 0
        )
        self._port = server.sockets[0].getsockname()[1]
        self._heed_signals(loop)
        try:
            self._succeed()
            await self._tick_until_ended()
        finally:
            server.close()
            self._teller.finish()

    def _succeed(self) -> None:
        """Go on from what an earlier guardian has left, if there was one."""
        try:
            before = read_report(self._path)
            if before is not None and before.state is State.UNKNOWN:
                self._guardian.doubt(time.monotonic(), before.reason)
            elif before is not None and before.state is not State.DISARMED:
                self._resume(before)
        except ValueError as error:
            self._guardian.doubt(time.monotonic(), f"{error}{self._keep_torn()}")
        if self._guardian.state is not State.TRIPPING:
            # Without this file nobody could reach it; a withdrawal does not wait for the disk.
            write_report(self._path, self._report(self._guardian.state, self._guardian.reason))
        self._carry_out()

    def _resume(self, before: Report) -> None:
        handed = before.handed or {}
        try:
            orders, timing = read_orders(handed["orders"]), read_timing(handed["timing"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{self._path} says {before.state} and not how to withdraw ({error!r})"
            ) from None
        self._desk.handed = handed
        self._guardian.resume(time.monotonic(), orders, timing)

    def _keep_torn(self) -> str:
        try:
            return f" (the file is kept as {keep_torn(self._path)})"
        except OSError as error:
            return f" (the file cannot be kept: {error})"

    async def _tick_until_ended(self) -> None:
        started = time.monotonic()
        while not self._ended.is_set():
            self._guardian.tick(time.monotonic())
            self._carry_out()
            unused = not self._used and time.monotonic() - started > UNUSED_S
            if self._once and unused and self._guardian.state is State.DISARMED:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._ended.wait()

    def _answer(self, line: bytes, visitor: VisitorLink) -> bytes | None:
        answer = self._desk.answer(time.monotonic(), line, visitor)
        self._carry_out()
        return answer

    def _written(self, report: Report, problem: str | None) -> None:
        waited = self._desk.written(time.monotonic(), report.handed, problem)
        if waited is not None:
            visitor, line = waited
            visitor.reply(line)
        self._carry_out()

    def _visitor_left(self, visitor: VisitorLink) -> None:
        self._desk.left(time.monotonic(), visitor)
        self._carry_out()

    def _carry_out(self) -> None:
        while (effect := self._guardian.take()) is not None:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Connect(host=host, port=port):
                self._link = self._new_link()
                self._link.connect(host, port)
            case Send(data=data):
                self._link.send(data)
            case Drop():
                self._link.close()
            case _:
                self._tell(effect.state, effect.reason)

    def _new_link(self) -> InstrumentLink:
        return InstrumentLink(self._connected, self._received, self._broken)

    def _connected(self) -> None:
        self._guardian.connected(time.monotonic())
        self._carry_out()

    def _received(self, data: bytes) -> None:
        self._guardian.received(time.monotonic(), data)
        self._carry_out()

    def _broken(self) -> None:
        self._guardian.disconnected(time.monotonic())
        self._carry_out()

    def _tell(self, state: State, reason: str) -> None:
        self._used = self._used or state is not State.DISARMED
        if state is State.DISARMED:
            self._desk.handed = None
        report = self._report(state, reason)
        heed = asyncio.get_running_loop().call_soon_threadsafe
        self._teller.tell(
            report,
            aloud=state in LATCHED or not self._once,
            written=lambda problem: heed(self._written, report, problem),
        )
        if state is State.DISARMED:
            # Nothing is urgent any more, and the next run must find the file as it is.
            self._teller.flush()
        done = state is State.DISARMED and (self._once or self._leaving)
        if done or (state is State.WITHDRAWN and self._leaving):
            self._ended.set()

    def _report(self, state: State, reason: str) -> Report:
        return Report(
            state=state,
            reason=reason,
            since_utc=datetime.now(UTC).isoformat(timespec="milliseconds"),
            pid=os.getpid(),
            port=self._port,
            token=self._token,
            handed=self._desk.handed,
        )

    def _heed_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        def handle(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._leave)

        for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), handle)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _leave(self) -> None:
        """End, but not before the tip that is guarded is seen to be withdrawn."""
        self._leaving = True
        if self._guardian.state in GUARDING:
            self._guardian.trip(time.monotonic(), "the guardian was told to end")
            self._carry_out()
        elif self._guardian.state in (State.DISARMED, State.WITHDRAWN, State.UNKNOWN):
            self._ended.set()
