"""The whole controller: one world, one clock, every module."""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from drivers.clock import ScaledClock
from drivers.errors import FileError
from drivers.formats.atomic import write_atomically
from sim.servers.nanonis.dispatch import Dispatcher
from sim.servers.nanonis.handlers import handlers_of
from sim.servers.nanonis.instrument import Instrument
from sim.servers.nanonis.modules.bias import Bias
from sim.servers.nanonis.modules.follow_me import FollowMe
from sim.servers.nanonis.modules.logger import TcpLogger
from sim.servers.nanonis.modules.motor import Motor
from sim.servers.nanonis.modules.others import Others
from sim.servers.nanonis.modules.safe_tip import SafeTip
from sim.servers.nanonis.modules.scan import ScanModule
from sim.servers.nanonis.modules.signals import Signals
from sim.servers.nanonis.modules.spectroscopy import BiasSpectroscopy
from sim.servers.nanonis.modules.tip_shaper import TipShaper
from sim.servers.nanonis.modules.util import Util
from sim.servers.nanonis.modules.zctrl import ZController
from sim.servers.nanonis.settings import Settings
from sim.world import World

_log = logging.getLogger(__name__)


class Controller:
    """A simulated Nanonis controller, without its sockets.

    Must be made inside a running event loop, whose time is the instrument's.

    Args:
        world: the microscope behind it.
        session_path: folder that scans are saved in; must exist.
        release: release of the controller, which decides the layouts.
        time_scale: instrument seconds per second.
        tip_shaper_open: whether the window of the tip shaper is open.
        lenient_legacy: whether requests in older layouts are accepted.
        truth: file that always holds the hidden state, as JSON; None for no such file.

    Raises:
        FileError: ``truth`` cannot be written.
    """

    def __init__(
        self,
        world: World,
        session_path: Path,
        *,
        release: int,
        time_scale: float = 1.0,
        tip_shaper_open: bool = True,
        lenient_legacy: bool = False,
        truth: Path | None = None,
    ) -> None:
        instrument = Instrument(world, ScaledClock(time_scale))
        settings = Settings(release)
        util = Util(instrument, settings, release, session_path)
        signals = Signals(instrument, settings)
        self.logger = TcpLogger(instrument, signals)
        modules = (
            util,
            signals,
            self.logger,
            Bias(instrument),
            TipShaper(instrument, settings, window_open=tip_shaper_open),
            Others(signals, settings),
            *_moving_modules(instrument, settings, util),
        )
        handlers = settings.handlers()
        for module in modules:
            handlers |= handlers_of(module)
        self.dispatcher = Dispatcher(handlers, release, lenient_legacy=lenient_legacy)
        self._stoppable = [module for module in modules if isinstance(module, _Stoppable)]
        if truth is not None:
            _publish(world, truth)
            instrument.on_change.append(partial(_keep_public, world, truth))

    async def close(self) -> None:
        """End everything that goes on by itself."""
        for module in self._stoppable:
            module.stop()
        # The stopped tasks clean up after themselves when they next run.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@runtime_checkable
class _Stoppable(Protocol):
    def stop(self) -> None: ...


def _moving_modules(instrument: Instrument, settings: Settings, util: Util) -> tuple[object, ...]:
    """The modules that move the tip, which have to know of each other."""
    motor = Motor(instrument)
    zctrl = ZController(instrument, settings, motor.count_approach_step)
    scan = ScanModule(instrument, settings, lambda: util.session_path)
    return (
        motor,
        zctrl,
        scan,
        SafeTip(instrument, settings, zctrl, scan.pause),
        FollowMe(instrument, settings, scan.speed_m_per_s),
        BiasSpectroscopy(instrument, settings),
    )


def _publish(world: World, path: Path) -> None:
    write_atomically(path, json.dumps(world.true_state()).encode())


def _keep_public(world: World, path: Path) -> None:
    # Readers may hold the file for a moment on some systems; the next change tells them more.
    try:
        _publish(world, path)
    except FileError as error:
        _log.warning("the hidden state was not written: %s", error)
