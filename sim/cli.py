"""Command line of the simulator: ``tipsmith serve`` and ``tipsmith simulate``."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import platformdirs
import typer

from drivers.errors import ConfigError, FileError
from drivers.nanonis.commands import RELEASES
from drivers.nanonis.options import DEFAULT_PORT, LOGGER_OFFSET
from sim.servers.nanonis.serving import NanonisService, serve_nanonis

if TYPE_CHECKING:
    from sim.dataset.settings import DatasetSettings, Format

Choice = TypeVar("Choice", bound=str)

_PROTOCOLS = ("nanonis",)
#: What a shell tells of a program that Ctrl-C has ended.
INTERRUPTED_EXIT = 130


def serve(
    protocol: Annotated[str, typer.Option(help="Protocol to speak: nanonis.")] = "nanonis",
    preset: Annotated[str, typer.Option(help="Simulated surface, or a .toml file.")] = "au111",
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


def simulate(
    surface: Annotated[str, typer.Option(help="Preset, such as au111, or a .toml file.")],
    out: Annotated[Path, typer.Option(help="Folder for the scans; resumed if it holds some.")],
    tip: Annotated[
        str, typer.Option(help="good, blunt, double, unstable, contaminated, co, molecule or any.")
    ] = "any",
    count: Annotated[int, typer.Option(help="How many scans the folder shall hold.")] = 100,
    seed: Annotated[int, typer.Option(help="With surface and index decides all of a scan.")] = 1,
    pixels: Annotated[
        int | None, typer.Option(help="Points per line, and lines; the surface's usual ones.")
    ] = None,
    size_nm: Annotated[
        float | None, typer.Option(help="Side of the frame; the surface's usual one.")
    ] = None,
    bias_v: Annotated[float | None, typer.Option(help="Bias; the surface's usual one.")] = None,
    setpoint_pa: Annotated[
        float | None, typer.Option(help="Current setpoint; the surface's usual one.")
    ] = None,
    line_s: Annotated[
        float | None, typer.Option(help="Time of a forward line; 120 nm/s if left out.")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="sxm, gsf or png; all if left out.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one per core.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Write simulated scans with the truth beside them: a labelled data set.

    The same seed has unrelated tips, frames and debris on another surface.
    """
    try:
        from sim.dataset.kinds import TipKind
        from sim.dataset.settings import FORMATS, DatasetSettings

        wanted = _among("format", formats or FORMATS, FORMATS)
        (kind,) = _among("tip", [tip], list(TipKind))
        settings = DatasetSettings(
            surface,
            kind,
            seed,
            pixels,
            size_nm,
            bias_v=bias_v,
            setpoint_pa=setpoint_pa,
            line_s=line_s,
        )
        made = _with_bar(settings, count, out, wanted, workers, quiet=quiet)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; the same command goes on with what {out} holds", err=True)
        raise typer.Exit(INTERRUPTED_EXIT) from None
    typer.echo(f"{made} simulated scans written, {count} in {out}")


def _with_bar(
    settings: DatasetSettings,
    count: int,
    out: Path,
    formats: Sequence[Format],
    workers: int | None,
    *,
    quiet: bool,
) -> int:
    from rich import progress
    from rich.console import Console

    from sim.dataset.run import make_dataset

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True, quiet=quiet)) as bar:
        task = bar.add_task(f"{settings.preset.name}, {settings.tip}", total=count)
        return make_dataset(
            settings,
            count,
            out,
            formats,
            workers=(os.cpu_count() or 1) if workers is None else workers,
            progress=lambda done, _: bar.update(task, completed=done),
        )


def _among(field: str, given: Sequence[str], known: Sequence[Choice]) -> list[Choice]:
    """The known choices that were given."""
    for value in given:
        if value not in known:
            raise ConfigError(f"{field} must be one of {', '.join(known)}, got {value!r}")
    return [value for value in known if value in given]


def _folder(session_path: Path | None) -> Path:
    folder = session_path or platformdirs.user_data_path("tipsmith") / "session"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot use {folder} for scans: {error.strerror or error}") from None
    return folder.resolve()
