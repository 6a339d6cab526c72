"""The whole controller: one world, one clock, every module."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from drivers.clock import ScaledClock
from drivers.formats.atomic import write_atomically
from sim.servers.nanonis.dispatch import Dispatcher
from sim.servers.nanonis.handlers import Handler, handlers_of
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
        motor = Motor(instrument)
        zctrl = ZController(instrument, settings, motor.count_approach_step)
        scan = ScanModule(instrument, settings, lambda: util.session_path)
        signals = Signals(instrument, settings)
        self.logger = TcpLogger(instrument, signals)
        follow_me = FollowMe(instrument, settings, scan.speed_m_per_s)
        spectroscopy = BiasSpectroscopy(instrument, settings)
        modules = (
            util,
            zctrl,
            scan,
            signals,
            self.logger,
            follow_me,
            motor,
            spectroscopy,
            Bias(instrument),
            SafeTip(instrument, settings, zctrl, scan.pause),
            TipShaper(instrument, settings, window_open=tip_shaper_open),
            Others(signals, settings),
        )
        handlers: dict[str, Handler] = settings.handlers()
        for module in modules:
            handlers |= handlers_of(module)
        self._stoppable = (zctrl, scan, follow_me, motor, spectroscopy)
        self.dispatcher = Dispatcher(handlers, release, lenient_legacy=lenient_legacy)
        if truth is not None:
            _publish(world, truth)
            instrument.on_change.append(lambda: _publish(world, truth))

    async def close(self) -> None:
        """End everything that goes on by itself."""
        for module in self._stoppable:
            module.stop()
        # The stopped tasks clean up after themselves when they next run.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def _publish(world: World, path: Path) -> None:
    write_atomically(path, json.dumps(world.true_state()).encode())
