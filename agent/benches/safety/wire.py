"""What an adversary gets onto the wire, through envelope, driver and codec, without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from agent.benches.safety.adversary import Adversary
from agent.benches.safety.strict import RELEASE, StrictController
from drivers.actions import Action
from drivers.clock import ScaledClock, VirtualClock
from drivers.envelope import Limits
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import InstrumentError, Refused
from drivers.microscope import Capability, Microscope
from drivers.nanonis.bias import WorkingPoint
from drivers.nanonis.codec import HEADER_SIZE, decode_reply, encode_request
from drivers.nanonis.commands import lookup
from drivers.nanonis.logger import TraceRecorder
from drivers.nanonis.microscope import NanonisMicroscope
from drivers.nanonis.options import LOGGER_OFFSET, NanonisOptions
from drivers.nanonis.rig import Rig
from drivers.nanonis.session import Session
from drivers.nanonis.settings import Settings
from drivers.nanonis.zcontrol import ZControl
from drivers.scan import ScanSettings

_PORT = 6501
_CAPABILITIES = frozenset({Capability.SCAN, Capability.PULSE, Capability.INDENT, Capability.COARSE})
_TELL_EVERY = 1000


@dataclass(slots=True)
class Attack:
    """What came of it.

    Attributes:
        asked: how many things were asked for.
        refused: how many the envelope refused.
        failed: how many were begun and ended in an error of the instrument.
        crashed: how many ended in an error that is none of ours.
        requests: how many requests reached the controller.
        offences: values out of bounds among them.
        crashes: the last of those errors, for people.
    """

    asked: int = 0
    refused: int = 0
    failed: int = 0
    crashed: int = 0
    requests: int = 0
    offences: tuple[str, ...] = ()
    crashes: str = ""


async def attack(count: int, rng: np.random.Generator, progress: Callable[[str], None]) -> Attack:
    """Let an adversary ask for ``count`` things, one after the other.

    Args:
        count: how many.
        rng: decides what it asks for.
        progress: told now and then how far it has got.
    """
    limits = Limits()
    controller = StrictController(limits)
    microscope = EnvelopedMicroscope(await microscope_on(controller), limits)
    x_m, _, _ = (await microscope.state()).range_m
    adversary = Adversary(rng, limits, x_m)
    done = Attack()
    for done.asked in range(1, count + 1):
        controller.rest()
        await _ask(microscope, adversary.ask(), done)
        if done.asked % _TELL_EVERY == 0:
            progress(f"{done.asked} hostile actions")
    done.requests, done.offences = controller.requests, tuple(controller.offences)
    return done


async def _ask(microscope: EnvelopedMicroscope, wish: object, done: Attack) -> None:
    try:
        if isinstance(wish, ScanSettings):
            async for _ in microscope.scan(wish):
                pass
        else:
            await microscope.perform(cast("Action", wish))
    except Refused:
        done.refused += 1
    except InstrumentError:
        done.failed += 1
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        done.crashed += 1
        done.crashes = f"{wish!r}: {type(error).__name__}: {error}"


async def microscope_on(controller: StrictController) -> Microscope:
    """The driver on that controller, without an envelope."""
    session = _Unwired(controller)
    await session.open()
    settings = Settings(session)
    z = ZControl(session, settings)
    recorder = TraceRecorder(session, _PORT + LOGGER_OFFSET)
    rig = Rig(session, settings, z, WorkingPoint(session, settings, z), recorder)
    return cast("Microscope", NanonisMicroscope(rig, _CAPABILITIES))


class _Jumping(ScaledClock):
    """Instrument time that passes only when somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._time = VirtualClock()

    def now(self) -> float:
        return self._time.now()

    async def sleep(self, seconds: float) -> None:
        await self._time.sleep(seconds)


class _Unwired(Session):
    """A session whose bytes go straight to a controller of this process."""

    def __init__(self, controller: StrictController) -> None:
        super().__init__("in-memory", _PORT, NanonisOptions(z_retract="Z-", release=RELEASE))
        self._controller = controller

    async def open(self) -> None:
        """Find out what there is, then let time jump."""
        await super().open()
        self.clock = _Jumping()
        self._controller.clock = self.clock

    async def call(self, name: str, /, **values: Any) -> dict[str, Any]:  # noqa: ANN401
        """Ask the controller, in bytes."""
        layout = lookup(name, RELEASE)
        reply = self._controller.answer(encode_request(layout, values))
        return decode_reply(layout, reply[HEADER_SIZE:])

    async def read(self, name: str, /, **values: Any) -> dict[str, Any]:  # noqa: ANN401
        """The same."""
        return await self.call(name, **values)

    async def block(self, name: str, seconds: float, /, **values: Any) -> dict[str, Any]:  # noqa: ANN401
        """The same; the time it takes passes."""
        await self.clock.sleep(seconds)
        return await self.call(name, **values)

    async def urge(self, name: str, /, *, turn: int, within_s: float, **values: Any) -> None:  # noqa: ANN401
        """The same."""
        await self.call(name, **values)


def run(count: int, seed: int, progress: Callable[[str], None]) -> Attack:
    """``attack`` on an event loop of its own."""
    return asyncio.run(attack(count, np.random.default_rng(seed), progress))
