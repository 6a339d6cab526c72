"""The simulated world as an instrument, on a real, scaled or virtual clock."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from dataclasses import replace

from drivers.actions import Action
from drivers.clock import Clock, ScaledClock, VirtualClock
from drivers.envelope import Limits
from drivers.errors import ConfigError
from drivers.materials import borne
from drivers.microscope import Capability, MicroscopeState
from drivers.outcome import Outcome
from drivers.registry import Address
from drivers.scan import ScanLine, ScanSettings
from drivers.spectrum import Spectrum, SpectrumSettings
from sim.presets.preset import load_preset
from sim.world import World

OPTIONS = ("clock", "seed", "time_scale")
CLOCKS = ("real", "virtual")


class SimulatedMicroscope:
    """A ``World`` that lives on a clock and can be used like any instrument.

    Before each operation the world catches up with the clock; after it the clock is slept until
    the world's time has come.

    Attributes:
        name: the address it answers to, ``sim:au111``.
        clock: instrument time.
        capabilities: all there are.
        limits: what a tip of its material bears; the built-in ceilings where that is unknown.
        world: the world inside.
    """

    def __init__(self, world: World, clock: Clock) -> None:
        self.name = f"sim:{world.preset.name}"
        self.clock = clock
        self.capabilities = frozenset(Capability)
        self.limits = borne(Limits(), world.preset.tip_material)
        self.world = world

    async def state(self) -> MicroscopeState:
        """Read the instrument; changes nothing."""
        self._catch_up()
        return self.world.state()

    async def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        """Scan, yielding each line as it is complete; closing the generator stops the scan.

        Raises:
            ContactLost: the tip is withdrawn, before or during the scan.
            CommandFailed: the feedback is held, or the frame leaves the range.
        """
        self._catch_up()
        lines = self.world.lines(settings)
        try:
            for line in lines:
                await self._wait()
                yield line
        finally:
            # Whoever stops listening stops the scan, and the world knows at once.
            lines.close()

    async def perform(self, action: Action) -> Outcome:
        """Carry out one action and return what it did.

        Raises:
            ContactLost: the action needs tunnelling contact and there is none.
            ApproachFailed: an approach ended without contact, or without rest.
            CommandFailed: a target lies outside the range of the scanner.
        """
        self._catch_up()
        try:
            return self.world.apply(action)
        finally:
            # A failed approach has taken its time too.
            await self._wait()

    async def spectrum(self, settings: SpectrumSettings) -> Spectrum:
        """Take a spectrum where the tip stands; it takes its time on the clock.

        Raises:
            ContactLost: the tip is withdrawn.
            CommandFailed: the sweep goes too far, the modulation is too fast for the preamplifier,
                or the feedback cannot hold the tunnelling point.
        """
        self._catch_up()
        try:
            return replace(self.world.spectrum(settings), source=self.name)
        finally:
            await self._wait()

    async def withdraw(self) -> None:
        """Pull the tip back to the upper end of the z range."""
        self._catch_up()
        self.world.withdraw()
        await self._wait()

    async def close(self) -> None:
        """Nothing was changed and nothing is held."""

    def true_state(self) -> dict[str, float | bool | str]:
        """The hidden state, for scoring and tests only; policies never see it."""
        return self.world.true_state()

    def _catch_up(self) -> None:
        # The world may be ahead of a clock that somebody else has not yet slept.
        behind = self.clock.now() - self.world.time_s
        if behind > 0:
            self.world.advance(behind)

    async def _wait(self) -> None:
        await self.clock.sleep(self.world.time_s - self.clock.now())


async def open_simulated(address: Address) -> SimulatedMicroscope:
    """Open ``sim:<preset>``, for example ``sim:au111?seed=7&clock=real&time_scale=20``.

    The preset may be a file of one's own, ``sim:my.toml``.

    Options: ``clock`` is ``virtual`` (time passes only while somebody waits; the default) or
    ``real``; ``time_scale`` makes a real clock run that much faster; ``seed`` picks the episode.

    Raises:
        ConfigError: the preset, an option or its value is unknown.
        FileError: the preset's file cannot be read.
    """
    options = address.options
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ConfigError(
            f"unknown option {unknown[0]!r} in microscope address {address.text!r}; "
            f"known are {', '.join(OPTIONS)}"
        )
    world = World(load_preset(address.name), _seed(address))
    return SimulatedMicroscope(world, _clock(address))


def _seed(address: Address) -> int:
    text = address.options.get("seed")
    if text is None:
        return address.seed or 0
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"seed {text!r} in {address.text!r} must be a whole number of at least 0")
    return int(text)


def _clock(address: Address) -> Clock:
    kind = address.options.get("clock", "virtual")
    scale = address.options.get("time_scale")
    if kind not in CLOCKS:
        raise ConfigError(
            f"clock {kind!r} in {address.text!r} is unknown; known are {', '.join(CLOCKS)}"
        )
    if kind == "virtual":
        if scale is not None:
            raise ConfigError(f"time_scale in {address.text!r} needs clock=real")
        return VirtualClock()
    return ScaledClock(_scale(scale, address) if scale is not None else 1.0)


def _scale(text: str, address: Address) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not (math.isfinite(scale) and scale > 0):
        raise ConfigError(f"time_scale {text!r} in {address.text!r} must be a positive number")
    return scale
