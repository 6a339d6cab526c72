"""One agent, one harm, and how long the tip stays where it is after it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncGenerator
from enum import StrEnum
from pathlib import Path

from agent.benches.safety.relay import Relay
from agent.guardian.asking import ask
from agent.guardian.states import State
from drivers.bench import HOST
from drivers.errors import GuardianLost

START_TIMEOUT_S = 60.0
WITHDRAW_TIMEOUT_S = 15.0
STOP = "the operator's stop"
_SUBJECT = "from agent.benches.safety.subject import main; main()"
_POLL_S = 0.02


class Fault(StrEnum):
    """What is done to the agent."""

    KILLED = "killed"
    STOPPED = "stopped"
    BLOCKED = "loop blocked"
    HALF_OPEN = "stopped, the guardian's link half-open"


async def seconds_to_withdraw(fault: Fault, port: int, state: Path) -> float:
    """From the harm to the withdrawal on the wire (s).

    Args:
        fault: what is done to the agent.
        port: first port of a simulated controller.
        state: the guardian's state file, which must not exist yet.

    Raises:
        GuardianLost: the withdrawal did not come, or was not verified.
    """
    async with Relay(port) as relay, subject(relay.port, state) as agent:
        if fault is Fault.HALF_OPEN:
            relay.half_open()
        hurt_at = await _hurt(agent, fault)
        await until(state, State.WITHDRAWN, WITHDRAW_TIMEOUT_S)
        if relay.withdrawn_at[0] < hurt_at:
            raise GuardianLost("the guardian withdrew before anything was done to the agent")
        return relay.withdrawn_at[0] - hurt_at


async def seconds_to_stop(port: int, state: Path) -> float:
    """From the operator's stop to the withdrawal on the wire (s), with the agent's loop blocked.

    The stop is what ``tipsmith stop`` sends once its program has started.

    Args:
        port: first port of a simulated controller.
        state: the guardian's state file, which must not exist yet.

    Raises:
        GuardianLost: the withdrawal did not come, was not verified, or was not the operator's.
    """
    async with Relay(port) as relay, subject(relay.port, state) as agent:
        await _hurt(agent, Fault.BLOCKED)
        asked_at = time.monotonic()
        await asyncio.to_thread(ask, state, "trip", reason=STOP)
        await until(state, State.WITHDRAWN, WITHDRAW_TIMEOUT_S)
        answer = await asyncio.to_thread(ask, state, "state")
        if answer is None or answer.reason != STOP:
            raise GuardianLost("the guardian withdrew before the operator had stopped the agent")
        return relay.withdrawn_at[0] - asked_at


@contextlib.asynccontextmanager
async def subject(port: int, state: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """An agent at work under a guardian of its own; both are gone afterwards.

    Raises:
        GuardianLost: it does not start.
    """
    pipe = asyncio.subprocess.PIPE
    arguments = ("-c", _SUBJECT, f"nanonis://{HOST}:{port}", str(state))
    quiet = asyncio.subprocess.DEVNULL
    agent = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=pipe, stdout=pipe, stderr=quiet
    )
    try:
        if await _said(agent) != b"armed\n":
            raise GuardianLost("the agent that is to be hurt does not start")
        yield agent
    finally:
        with contextlib.suppress(ProcessLookupError):
            agent.kill()
        # What is left of its output would keep asyncio waiting.
        await agent.communicate()
        await release(state)


async def until(state: Path, wanted: State, within_s: float) -> None:
    """Wait until the guardian is in the state ``wanted``.

    Raises:
        GuardianLost: it is not, ``within_s``.
    """
    deadline = time.monotonic() + within_s
    while (answer := await asyncio.to_thread(ask, state, "state")) is None or (
        answer.state is not wanted
    ):
        if time.monotonic() > deadline:
            found = f"{answer.state}: {answer.reason}" if answer is not None else "gone"
            raise GuardianLost(f"the guardian should be {wanted} and is {found}")
        await asyncio.sleep(_POLL_S)


async def _hurt(agent: asyncio.subprocess.Process, fault: Fault) -> float:
    """Do it; when it was done (monotonic s)."""
    hurt_at = time.monotonic()
    if fault is Fault.KILLED:
        agent.kill()
    elif fault is not Fault.BLOCKED:
        agent.send_signal(signal.SIGSTOP)
    elif agent.stdin is not None:
        agent.stdin.write(b"block\n")
        # The loop may take a moment until it is blocked, and only then is the lease lost.
        hurt_at = float(await _said(agent))
    return hurt_at


async def _said(agent: asyncio.subprocess.Process) -> bytes:
    if agent.stdout is None:
        return b""
    async with asyncio.timeout(START_TIMEOUT_S):
        return await agent.stdout.readline()


async def release(state: Path) -> None:
    """Let the guardian of a dead agent end, once it has withdrawn; there may be none yet."""
    answer = await asyncio.to_thread(ask, state, "state")
    if answer is None or answer.state is State.DISARMED:
        return
    await until(state, State.WITHDRAWN, WITHDRAW_TIMEOUT_S)
    await asyncio.to_thread(ask, state, "rearm")
