"""A microscope and a scorer that do as they are told, for the tests of the agent."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace

import numpy as np

from agent.journal import Journal, Scribe
from drivers.actions import Action, CoarseMove, Indentation, MoveTo, TunnellingPoint
from drivers.clock import VirtualClock
from drivers.envelope import Limits
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import CommandFailed, ConnectionFailed, ConnectionLost
from drivers.microscope import Capability, Feedback, MicroscopeState
from drivers.outcome import Outcome, Trace
from drivers.registry import Address
from drivers.scan import Scan, ScanLine, ScanSettings
from policies.history import History
from policies.proposal import GiveUp, Proposal
from policies.report import TipReport, TipState
from policies.scorer.lines import Setting
from policies.scorer.weights import Manifest

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
LEFT = CommandFailed("the bias stays at 0.5 V; set it by hand")
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)


FOUND = MicroscopeState(
    time_s=0.0,
    bias_v=0.5,
    setpoint_a=50e-12,
    current_a=50e-12,
    x_m=0.0,
    y_m=0.0,
    z_m=0.0,
    feedback=Feedback.ON,
    scanning=False,
    range_m=(1e-6, 1e-6, 1e-6),
)


@dataclass
class ScriptedMicroscope:
    """Shows the qualities it was given, one per scan, the last one for ever.

    Attributes:
        qualities: what the scorer shall find in each scan.
        fail_scan: raised in the middle of the scan of this number.
        fail_action: raised by the action of this number, counting every ``perform``. An error that
            is None hangs for ever instead.
        lines: how many lines each scan has given.
        calls: what was asked, in order.
        standing: how it stands; a test changes it as somebody at the instrument would.
    """

    qualities: Sequence[float]
    fail_scan: tuple[int, BaseException | None] = (-1, None)
    fail_action: tuple[int, BaseException | None] = (-1, None)
    fail_withdraw: Exception | None = None
    fail_close: Exception | None = None
    trace: Trace | None = None
    name: str = "scripted"
    clock: VirtualClock = field(default_factory=VirtualClock)
    capabilities: frozenset[Capability] = frozenset(Capability)
    calls: list[object] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    standing: MicroscopeState = FOUND

    async def state(self) -> MicroscopeState:
        return replace(self.standing, time_s=self.clock.now())

    def change(self, **values: object) -> None:
        """Let something stand otherwise."""
        self.standing = replace(self.standing, **values)

    async def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        number = len(self.lines)
        self.lines.append(0)
        self.calls.append("scan")
        self._go_to(settings.at)
        quality = self.qualities[min(number, len(self.qualities) - 1)]
        for index in range(settings.lines):
            if number == self.fail_scan[0] and index == settings.lines // 2:
                await self._fail(self.fail_scan[1])
            await self.clock.sleep(settings.line_s)
            z = np.full(settings.pixels, quality, np.float32)
            self.lines[-1] += 1
            yield ScanLine(index, settings.row_of(index), z, z, self.clock.now())

    async def perform(self, action: Action) -> Outcome:
        number = len(self.performed)
        self.calls.append(action)
        if number == self.fail_action[0]:
            await self._fail(self.fail_action[1])
        started = self.clock.now()
        await self.clock.sleep(0.5)
        if isinstance(action, MoveTo):
            self.change(x_m=action.x_m, y_m=action.y_m)
        elif isinstance(action, CoarseMove):
            self.change(feedback=Feedback.WITHDRAWN)
        elif hasattr(action, "at"):
            self._go_to(action.at)
        return Outcome(started, self.clock.now(), 1e-10, 1.5e-10, 0.5e-10, self.trace)

    async def withdraw(self) -> None:
        self.calls.append("withdraw")
        self.change(feedback=Feedback.WITHDRAWN)
        if self.fail_withdraw is not None:
            raise self.fail_withdraw

    async def close(self) -> None:
        self.calls.append("close")
        if self.fail_close is not None:
            raise self.fail_close

    def true_state(self) -> dict[str, float | bool | str]:
        return {"good": self.qualities[-1] > 0.5}

    @property
    def performed(self) -> list[Action]:
        return [call for call in self.calls if not isinstance(call, str)]

    def enveloped(self, limits: Limits | None = None) -> EnvelopedMicroscope:
        return EnvelopedMicroscope(self, limits or Limits())

    def _go_to(self, at: TunnellingPoint) -> None:
        self.change(bias_v=at.bias_v, setpoint_a=at.setpoint_a, feedback=Feedback.ON)

    async def _fail(self, error: BaseException | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        elif error is not None:
            raise error
        self.hanging.set()
        await asyncio.Event().wait()


async def open_scripted(address: Address) -> ScriptedMicroscope:
    """Opens ``scripted:good`` and its like, for the tests of the command line."""
    match address.name:
        case "good":
            return ScriptedMicroscope([0.1, 0.95])
        case "bad":
            return ScriptedMicroscope([0.1])
        case "dies":
            return ScriptedMicroscope([0.1], fail_scan=(1, ConnectionLost("the link broke")))
        case "interrupted":
            return ScriptedMicroscope([0.1], fail_scan=(1, KeyboardInterrupt()), fail_close=LEFT)
        case "left":
            return ScriptedMicroscope([0.1, 0.95], fail_close=LEFT)
        case "scanner":
            return ScriptedMicroscope([0.1], capabilities=frozenset({Capability.SCAN}))
        case _:
            raise ConnectionFailed(f"nobody answers at {address.text}")


class ScriptedScorer:
    """Reads the quality that the scripted microscope wrote into the picture."""

    manifest = Manifest(
        command="none", seed=0, data="none", presets={}, temperature=1, line_temperature=1,
        alarm=0.9, stop=0.02, flags={}, sha256="", metrics={},
    )  # fmt: skip

    def __init__(self) -> None:
        self.judged = 0

    def judge(self, scan: Scan) -> TipReport:
        self.judged += 1
        return _report(scan.forward, int(np.isfinite(scan.forward).all(axis=1).sum()))

    def stream(self, setting: Setting) -> ScriptedStream:
        return ScriptedStream()


class ScriptedStream:
    """The same, line by line."""

    def __init__(self) -> None:
        self._lines = 0
        self._quality = 1.0

    def read(self, line: ScanLine) -> TipReport:
        self._lines += 1
        report = _report(line.forward_m, self._lines)
        self._quality = report.quality
        return report

    def stop_early(self) -> bool:
        return self._quality < 0.02


def _report(heights: np.ndarray, lines: int) -> TipReport:
    quality = float(np.nanmax(heights))
    return TipReport(quality, dict.fromkeys(TipState, (1 - quality) / 2), lines, novelty=0.5)


class Always:
    """A policy that proposes the same action for ever; None gives up."""

    def __init__(self, action: Action | None) -> None:
        self.action = action

    def propose(self, history: History) -> Proposal:
        return Proposal(self.action or GiveUp(), "always the same")


def scribe(journal: Journal) -> Scribe:
    """Writes to ``journal`` without a thread: what it is told stands there when it is told."""
    return Scribe(journal, _AtOnce())


class _AtOnce(Executor):
    def submit(self, fn: Callable[..., object], /, *args: object, **kwargs: object) -> Future:
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
