"""Whether the guardian trips although the agent lives: in virtual nights, and in real minutes."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import numpy as np

from agent.benches.safety.faults import subject
from agent.config import GuardianSettings
from agent.guardian.asking import ask
from agent.guardian.core import Guardian
from agent.guardian.effects import Connect, Send
from agent.guardian.orders import Exchange, Orders, read_timing
from agent.guardian.states import LATCHED

NIGHT_S = 8 * 3600.0
#: How late a sign of life may come on top of its period (s); the guardian waits for longer.
LATEST_S = 0.3
_LOOK_S = 0.5
_TICK_S = 0.05
_TAIL = bytes(8)
_STATUS = Exchange("status", b"status" + bytes(34), b"status", _TAIL, ">H", ((1.0, 1.0),))
_REPLY = b"status".ljust(32, b"\0") + struct.pack(">i4xH", 10, 2) + _TAIL
_ORDERS = Orders("instrument", 6504, 40, 32, (_STATUS,), (_STATUS,))


def false_trips_in_a_night(rng: np.random.Generator) -> int:
    """How often the core trips in a night of a busy agent that never falls silent: 0 or 1.

    Args:
        rng: decides how late each sign of life comes.
    """
    settings = GuardianSettings()
    guardian, now, renewed_at = Guardian(), 0.0, 0.0
    guardian.arm(now, _ORDERS, read_timing(settings.timing))
    for late_s in rng.exponential(0.02, round(NIGHT_S / settings.lease_s)).tolist():
        renewed_at += settings.lease_s + min(late_s, LATEST_S)
        while now + _TICK_S < renewed_at:
            now += _TICK_S
            guardian.tick(now)
            _answer(guardian, now)
        guardian.renew(renewed_at)
        if guardian.state in LATCHED:
            return 1
    return 0


def _answer(guardian: Guardian, now: float) -> None:
    """Let the instrument do what the guardian wants of it."""
    while (effect := guardian.take()) is not None:
        if isinstance(effect, Connect):
            guardian.connected(now)
        elif isinstance(effect, Send):
            guardian.received(now, _REPLY)


async def false_trips_for(seconds: float, port: int, state: Path) -> int:
    """How often the real guardian trips while a real agent works: 0 or 1.

    Args:
        seconds: how long to watch.
        port: first port of a simulated controller.
        state: the guardian's state file, which must not exist yet.
    """
    async with subject(port, state) as agent:
        for _ in range(round(seconds / _LOOK_S)):
            await asyncio.sleep(_LOOK_S)
            answer = await asyncio.to_thread(ask, state, "state")
            if answer is None or answer.state in LATCHED or agent.returncode is not None:
                return 1
    return 0
