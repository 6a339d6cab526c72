"""Serving a simulated Nanonis controller until somebody stops it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from drivers import Frame, ScanSettings, TunnellingPoint
from drivers.nanonis.options import LOGGER_OFFSET
from sim.presets.preset import load_preset
from sim.servers.nanonis.controller import Controller
from sim.servers.nanonis.server import PORTS, Server
from sim.world import World


@dataclass(frozen=True, slots=True)
class NanonisService:
    """What to serve, and where.

    Attributes:
        preset: name of the simulated surface.
        seed: decides surface, tip and every event.
        host: address to listen on.
        port: first of the command ports.
        release: release of the controller.
        time_scale: instrument seconds per second.
        session_path: existing folder for scans.
        truth: file for the hidden state, or None.
        lenient_legacy: whether requests in older layouts are accepted.
        tip_shaper_open: whether the window of the tip shaper is open.
    """

    preset: str
    seed: int
    host: str
    port: int
    release: int
    time_scale: float
    session_path: Path
    truth: Path | None = None
    lenient_legacy: bool = False
    tip_shaper_open: bool = True


def serve_nanonis(service: NanonisService, tell: Callable[[str], None]) -> None:
    """Serve until the process is interrupted or terminated.

    Args:
        service: what to serve.
        tell: called with one line for people when clients may connect.

    Raises:
        ConfigError: unknown surface, or a port that cannot be had.
        FileError: the file for the hidden state cannot be written.
    """
    preset = load_preset(service.preset)
    # The first line compiles the simulation's inner loops; no client shall wait for that.
    next(iter(World(preset, service.seed).lines(_ANY_SCAN)))
    asyncio.run(_serve(service, World(preset, service.seed), tell))


async def _serve(service: NanonisService, world: World, tell: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    controller = Controller(
        world,
        service.session_path,
        release=service.release,
        time_scale=service.time_scale,
        tip_shaper_open=service.tip_shaper_open,
        lenient_legacy=service.lenient_legacy,
        truth=service.truth,
    )
    answer, stream = controller.dispatcher.answer, controller.logger.stream
    with _stopped_by_signals(stop):
        async with Server(answer, stream, service.host, service.port):
            tell(_welcome(service))
            await stop.wait()
            await controller.close()


def _welcome(service: NanonisService) -> str:
    last, logger = service.port + PORTS - 1, service.port + LOGGER_OFFSET
    return (
        f"simulated Nanonis controller R{service.release} ({service.preset}, seed {service.seed}, "
        f"{service.time_scale:g} x time) listens on {service.host} ports {service.port} to {last}, "
        f"logger {logger}; scans go to {service.session_path}; stop with Ctrl-C"
    )


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` on Ctrl-C and termination; works where loops have no signal handlers too."""
    # The loop's own signal handlers do not exist on Windows.
    loop = asyncio.get_running_loop()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ANY_SCAN = ScanSettings(
    frame=Frame(x_m=0.0, y_m=0.0, width_m=5e-9, height_m=5e-9),
    pixels=16,
    lines=1,
    forward_s=0.1,
    backward_s=0.1,
    at=TunnellingPoint(bias_v=0.1, setpoint_a=1e-10),
)
