"""The one protocol that every instrument driver speaks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from drivers.actions import Action
from drivers.clock import Clock
from drivers.outcome import Outcome
from drivers.scan import ScanLine, ScanSettings
from drivers.spectrum import Spectrum, SpectrumSettings

#: Wall-clock time after which every driver has seen the tip withdrawn or has given up (s), however
#: slowly its rig withdraws and however often a command had to be sent again.
WITHDRAWAL_ENDS_S = 160.0


class Capability(StrEnum):
    """What an instrument can do beyond being asked for its state and withdrawing."""

    SCAN = "scan"
    PULSE = "pulse"
    INDENT = "indent"
    SPECTRUM = "spectrum"
    COARSE = "coarse"
    TRACES = "traces"
    SAFE_TIP = "safe_tip"


class Feedback(StrEnum):
    """What the z controller is doing."""

    ON = "on"
    HELD = "held"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class MicroscopeState:
    """A reading of the instrument.

    Attributes:
        time_s: instrument time of the reading (s).
        bias_v: sample bias (V).
        setpoint_a: current setpoint (A).
        current_a: tunnelling current (A).
        x_m: tip position (m).
        y_m: tip position (m).
        z_m: tip height (m), positive away from the sample.
        feedback: what the z controller does.
        scanning: whether a scan runs.
        range_m: full piezo range in x, y and z (m), centred on zero.
        retracted_steps: verified coarse steps away from the sample since the last contact.
        z_limits_m: lowest and highest z that the controller lets the tip go to (m), or None where
            it lets it go through its whole range.
    """

    time_s: float
    bias_v: float
    setpoint_a: float
    current_a: float
    x_m: float
    y_m: float
    z_m: float
    feedback: Feedback
    scanning: bool
    range_m: tuple[float, float, float]
    retracted_steps: int = 0
    z_limits_m: tuple[float, float] | None = None

    @property
    def z_reach_m(self) -> tuple[float, float]:
        """Lowest and highest z that the tip can get to (m)."""
        end_m = self.range_m[2] / 2
        low_m, high_m = self.z_limits_m or (-end_m, end_m)
        return max(low_m, -end_m), min(high_m, end_m)


@runtime_checkable
class Microscope(Protocol):
    """An instrument that scans and acts on its tip.

    One user at a time: a scan and an action never overlap. Every method raises a
    ``drivers.errors.InstrumentError`` when the instrument or the way to it fails.
    """

    name: str
    clock: Clock
    capabilities: frozenset[Capability]

    async def state(self) -> MicroscopeState:
        """Read the instrument; changes nothing."""
        ...

    def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        """Scan, yielding each line as it is complete; closing the generator stops the scan."""
        ...

    async def perform(self, action: Action) -> Outcome:
        """Carry out one action and return what it did.

        Raises:
            ConfigError: the instrument is not configured for it; nothing was sent.
            OutcomeUnknown: the action was sent and its end was not seen.
        """
        ...

    async def withdraw(self) -> None:
        """Stop what runs and pull the tip back to the upper end of the z range.

        Raises:
            InstrumentError: within ``WITHDRAWAL_ENDS_S``: the tip was not seen there.
        """
        ...

    async def close(self) -> None:
        """Restore what the driver changed and let go of the instrument."""
        ...


@runtime_checkable
class TakesSpectra(Protocol):
    """An instrument that can sweep the bias at a point; it claims ``Capability.SPECTRUM``."""

    async def spectrum(self, settings: SpectrumSettings) -> Spectrum:
        """Take a spectrum where the tip stands; the feedback is closed again at its end.

        Raises:
            OutcomeUnknown: the sweep was begun and its end was not seen.
        """
        ...


#: What a driver has changed of the operator's, by name: what was there before and what it may have
#: left instead, as JSON holds it; None for what is put back.
Debts = Mapping[str, Mapping[str, Any] | None]


@runtime_checkable
class Lends(Protocol):
    """An instrument whose driver tells what it has to put back, so that this outlives the program.

    ``close`` puts it back; after a program that was killed, the next one takes it up.
    """

    async def account_to(self, told: Callable[[Debts], Awaitable[None]]) -> None:
        """Tell ``told`` what is owed now, and every change from now on.

        What is changed is told before the instrument is. ``told`` raises a ``FileError`` where it
        cannot keep what it was told; the change is not made then.
        """
        ...

    async def take_up(self, debts: Debts) -> None:
        """Owe what an earlier program has left owed, except what somebody has changed since.

        The instrument's protection of its tip is put back at once, all else on closing. To be
        called before anything is changed.

        Raises:
            InstrumentError: the instrument fails, or its protection could not be put back.
        """
        ...


@runtime_checkable
class SelfProtecting(Protocol):
    """An instrument that can withdraw its tip by itself, whatever becomes of the program."""

    async def unprotected(self) -> str | None:
        """Why it will not, and what the operator can do about it; None if it will, or cannot."""
        ...


@runtime_checkable
class KnowsTruth(Protocol):
    """A simulated instrument, which can say what its tip is really like."""

    def true_state(self) -> dict[str, float | bool | str]:
        """The hidden state, for scoring and tests only; policies never see it."""
        ...
