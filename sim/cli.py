"""Command line of the simulator: ``tipsmith serve``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from drivers.errors import ConfigError, FileError
from drivers.nanonis.commands import RELEASES
from drivers.nanonis.options import DEFAULT_PORT, LOGGER_OFFSET
from sim.servers.nanonis.serving import NanonisService, serve_nanonis

_PROTOCOLS = ("nanonis",)


def serve(
    protocol: Annotated[str, typer.Option(help="Protocol to speak: nanonis.")] = "nanonis",
    preset: Annotated[str, typer.Option(help="Simulated surface.")] = "au111",
    seed: Annotated[int, typer.Option(help="Decides surface, tip and every event.")] = 1,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="First of four command ports.")] = DEFAULT_PORT,
    release: Annotated[int, typer.Option(help="Release of the controller.")] = RELEASES[-1],
    time_scale: Annotated[float, typer.Option(help="Instrument seconds per second.")] = 1.0,
    session_path: Annotated[Path | None, typer.Option(help="Folder for scans.")] = None,
    truth: Annotated[Path | None, typer.Option(help="File for the true tip, for tests.")] = None,
    lenient_legacy: Annotated[
        bool, typer.Option("--lenient-legacy", help="Accept requests in older layouts.")
    ] = False,
    tip_shaper_closed: Annotated[
        bool, typer.Option("--tip-shaper-closed", help="Keep the tip shaper's window closed.")
    ] = False,
) -> None:
    """Serve a simulated STM over the protocol of a real controller, until Ctrl-C."""
    if protocol not in _PROTOCOLS:
        raise ConfigError(f"unknown protocol {protocol!r}; known are {', '.join(_PROTOCOLS)}")
    if not (math.isfinite(time_scale) and time_scale > 0):
        raise ConfigError(f"--time-scale must be a positive number, got {time_scale:g}")
    if seed < 0:
        raise ConfigError(f"--seed must not be negative, got {seed}")
    if not 0 < port <= 65535 - LOGGER_OFFSET:
        raise ConfigError(f"--port must be from 1 to {65535 - LOGGER_OFFSET}, got {port}")
    if release < RELEASES[0]:
        raise ConfigError(f"--release must be at least {RELEASES[0]}, got {release}")
    service = NanonisService(
        preset=preset,
        seed=seed,
        host=host,
        port=port,
        release=release,
        time_scale=time_scale,
        session_path=_folder(session_path),
        truth=truth,
        lenient_legacy=lenient_legacy,
        tip_shaper_open=not tip_shaper_closed,
    )
    serve_nanonis(service, typer.echo)


def _folder(session_path: Path | None) -> Path:
    folder = session_path or platformdirs.user_data_path("tipsmith") / "session"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot use {folder} for scans: {error.strerror or error}") from None
    return folder.resolve()
