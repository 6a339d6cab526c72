"""Any microscope inside its envelope: what is refused never reaches the driver."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol, runtime_checkable

from drivers.actions import Action
from drivers.clock import Clock
from drivers.emergency import Emergency, Guardable
from drivers.envelope import Limits, check_action, check_budget, check_scan, check_spectrum
from drivers.errors import InstrumentError
from drivers.ledger import Ledger
from drivers.microscope import (
    Capability,
    Debts,
    KnowsTruth,
    Lends,
    Microscope,
    MicroscopeState,
    SelfProtecting,
    TakesSpectra,
)
from drivers.outcome import Outcome
from drivers.scan import ScanLine, ScanSettings
from drivers.spectrum import Spectrum, SpectrumSettings


@runtime_checkable
class Delicate(Protocol):
    """An instrument that itself says which limits it needs; its envelope keeps them, too."""

    limits: Limits


class EnvelopedMicroscope:
    """Any microscope, with every scan and action checked before it is passed on.

    Attributes:
        limits: the limits in force: those given, narrowed by those of the instrument inside.
    """

    def __init__(self, inner: Microscope, limits: Limits) -> None:
        self._inner = inner
        self._spent = Ledger()
        self.limits = limits.narrowest(inner.limits) if isinstance(inner, Delicate) else limits

    @property
    def name(self) -> str:
        """Name of the instrument inside."""
        return self._inner.name

    @property
    def clock(self) -> Clock:
        """Instrument time."""
        return self._inner.clock

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the instrument inside can do."""
        return self._inner.capabilities

    async def state(self) -> MicroscopeState:
        """Read the instrument."""
        return await self._inner.state()

    async def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        """Scan if the settings lie inside the envelope.

        Raises:
            Refused: they do not; nothing was sent.
        """
        check_scan(settings, await self._inner.state(), self.limits)
        lines = self._inner.scan(settings)
        try:
            async for line in lines:
                yield line
        finally:
            await lines.aclose()

    async def perform(self, action: Action) -> Outcome:
        """Carry out ``action`` if it lies inside the envelope.

        Raises:
            Refused: it does not; nothing was sent.
        """
        state = await self._inner.state()
        check_action(action, state, self.limits)
        now_s = self.clock.now()
        check_budget(action, state, now_s, self._spent, self.limits)
        # Before it is sent: one of unknown outcome may have happened.
        self._spent.note(action, state.x_m, state.y_m, now_s)
        return await self._inner.perform(action)

    def remember(self, action: Action, x_m: float, y_m: float, ago_s: float) -> None:
        """Count an action that somebody else has sent to this instrument, ``ago_s`` ago.

        To be told in the order in which they were sent, before anything is performed.
        """
        self._spent.note(action, x_m, y_m, self.clock.now() - ago_s)

    async def spectrum(self, settings: SpectrumSettings) -> Spectrum:
        """Take a spectrum if the settings lie inside the envelope.

        Raises:
            InstrumentError: the instrument inside takes no spectra; nothing was sent.
            Refused: the settings do not lie inside; nothing was sent.
        """
        inner = self._inner
        if Capability.SPECTRUM not in inner.capabilities or not isinstance(inner, TakesSpectra):
            raise InstrumentError(
                f"{inner.name} takes no spectra; expected an instrument with the capability "
                f"{Capability.SPECTRUM.value!r}"
            )
        check_spectrum(settings, self.limits)
        return await inner.spectrum(settings)

    async def withdraw(self) -> None:
        """Withdraw; never refused."""
        await self._inner.withdraw()

    async def emergency(self) -> Emergency | None:
        """How to withdraw the tip without the driver; None where the instrument inside cannot say.

        Raises:
            InstrumentError: the instrument does not tell what has to be known.
        """
        return await self._inner.emergency() if isinstance(self._inner, Guardable) else None

    async def close(self) -> None:
        """Let go of the instrument."""
        await self._inner.close()

    def true_state(self) -> dict[str, float | bool | str] | None:
        """The hidden state where the instrument inside is simulated, else None."""
        return self._inner.true_state() if isinstance(self._inner, KnowsTruth) else None

    @property
    def lends(self) -> bool:
        """Whether the driver inside tells what it has to put back."""
        return isinstance(self._inner, Lends)

    async def account_to(self, told: Callable[[Debts], Awaitable[None]]) -> None:
        """Let the driver inside tell what it has to put back, if it does.

        Raises:
            FileError: ``told`` cannot keep it.
        """
        if isinstance(self._inner, Lends):
            await self._inner.account_to(told)

    async def take_up(self, debts: Debts) -> None:
        """Let the driver inside owe what an earlier program has left owed, if it can.

        Raises:
            InstrumentError: the instrument fails, or its protection could not be put back.
        """
        if isinstance(self._inner, Lends):
            await self._inner.take_up(debts)

    async def unprotected(self) -> str | None:
        """Why the instrument does not protect its tip by itself although it could, or None."""
        inner = self._inner
        return await inner.unprotected() if isinstance(inner, SelfProtecting) else None
