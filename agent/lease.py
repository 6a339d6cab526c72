"""The lease on the guardian: taken, renewed by a task of the control loop itself, given back.

A loop that is blocked renews nothing, which is the point: the guardian then withdraws the tip.
So it does at the end, unless whoever worked has said that the tip is left as meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

from agent.config import GuardianSettings
from agent.guardian.asking import HOST
from agent.guardian.desk import MAX_LINE, Answer, decode_answer, encode_request
from agent.guardian.lease import ARMING_S
from agent.guardian.statefile import Report
from agent.guardian.states import State
from drivers.emergency import Emergency
from drivers.errors import GuardianLost

#: Time for the guardian to write down what it guards (s): shorter than it waits for the agent.
ARMING_PATIENCE_S = 0.8 * ARMING_S


class Lease:
    """A lease that is held; made by ``Lease.take``."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        token: str,
        settings: GuardianSettings,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._token = token
        self._settings = settings
        self._turn = asyncio.Lock()
        self._armed = False
        self._in_order = True
        self._answered = asyncio.Event()
        self._ending = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._worker: asyncio.Task[object] | None = None
        self._lost: GuardianLost | None = None
        self._reason = ""

    @classmethod
    async def take(cls, report: Report, emergency: Emergency, settings: GuardianSettings) -> Lease:
        """Arm the guardian that wrote ``report`` and begin to renew.

        Raises:
            GuardianLost: it does not answer, refuses, or cannot reach the instrument.
        """
        try:
            reader, writer = await asyncio.open_connection(HOST, report.port, limit=MAX_LINE)
        except OSError as error:
            raise GuardianLost(f"the guardian cannot be reached: {error}") from None
        lease = cls(reader, writer, report.token, settings)
        try:
            await lease._arm(emergency)
        except BaseException:
            await lease.give_back()
            raise
        return lease

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Work that is broken off, as if cancelled, when the lease is lost.

        From its beginning on, the tip is not in order until ``settle`` says so.

        Raises:
            GuardianLost: it was, and why.
        """
        worker = asyncio.current_task()
        if worker is None or self._worker is not None:
            raise RuntimeError("one task works under a lease at a time")
        if self._lost is not None:
            raise self._lost
        before = worker.cancelling()
        self._worker = worker
        self._in_order = False
        try:
            yield
        except asyncio.CancelledError:
            # Whoever else has cancelled this task meanwhile must not go unheard.
            if self._lost is None or worker.uncancel() > before:
                raise
            raise self._lost from None
        finally:
            self._worker = None

    def settle(self) -> None:
        """The tip is left as meant, and nothing has to be withdrawn at the end."""
        self._in_order = True

    async def trip(self, reason: str) -> None:
        """Let the guardian withdraw; nothing if it is gone."""
        self._in_order = False
        with suppress(GuardianLost):
            await self._ask("trip", reason=reason)

    async def give_back(self) -> None:
        """Let go of the guardian: disarm it if the tip is left as meant, else let it withdraw."""
        self._ending.set()
        if self._renewing is not None:
            await asyncio.wait({self._renewing})
        if not self._in_order:
            await self.trip("the run has ended and did not leave the tip in order")
        elif self._lost is None:
            with suppress(GuardianLost):
                await self._ask("disarm")
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _arm(self, emergency: Emergency) -> None:
        answer = await self._ask(
            "arm", ARMING_PATIENCE_S, orders=asdict(emergency), timing=self._settings.timing
        )
        if not answer.done:
            raise GuardianLost(f"the guardian refuses to guard this run: {answer.reason}")
        self._renewing = asyncio.create_task(self._renew(), name="lease")
        patience_s = 2 * self._settings.blind_after_s
        try:
            async with asyncio.timeout(patience_s):
                await self._answered.wait()
        except TimeoutError:
            raise GuardianLost(
                f"the guardian could not read the instrument at {emergency.host}:{emergency.port} "
                f"within {patience_s:g} s ({self._reason}); see that no other program holds this "
                "port"
            ) from None
        if self._lost is not None:
            raise self._lost

    async def _renew(self) -> None:
        try:
            while not self._ending.is_set():
                self._heed(await self._ask("renew"))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.lease_s):
                        await self._ending.wait()
        except GuardianLost as lost:
            self._lost = lost
            self._answered.set()
            if self._worker is not None:
                self._worker.cancel()

    def _heed(self, answer: Answer) -> None:
        self._reason = answer.reason
        if answer.state is State.ARMED:
            self._armed = True
            self._answered.set()
        elif answer.state is not State.BLIND or self._armed:
            raise GuardianLost(f"the guardian is {answer.state}: {answer.reason}")

    async def _ask(self, question: str, patience_s: float | None = None, **more: object) -> Answer:
        """Ask the guardian.

        Raises:
            GuardianLost: it does not answer in time.
        """
        patience_s = patience_s or self._settings.lost_after_s
        try:
            async with self._turn, asyncio.timeout(patience_s):
                self._writer.write(encode_request(question, self._token, **more))
                line = await self._reader.readline()
            if not line:
                raise GuardianLost("the guardian has died; the run cannot go on without it")
            return decode_answer(line)
        except (OSError, ValueError, TimeoutError) as error:
            why = str(error) or f"silent for {patience_s:g} s"
            raise GuardianLost(f"the guardian does not answer ({why})") from None
