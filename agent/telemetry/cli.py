"""The commands of whoever watches: ``watch``, and ``keys`` for doing so over a network.

They load neither networks nor drivers: a viewer starts at once and is small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.main import INTERRUPTED_EXIT
from agent.telemetry.endpoint import USUAL

if TYPE_CHECKING:
    from agent.telemetry.following import Silence
    from agent.telemetry.glance import Glance

keys = typer.Typer(help="Make the keys for watching over a network.", no_args_is_help=True)
KeyFolder = Annotated[Path, typer.Argument(help="The folder of the keys, as [telemetry] keys.")]


def watch(
    address: Annotated[
        str, typer.Argument(help="Where the run is told, as its [telemetry] publish.")
    ] = USUAL,
    key_folder: Annotated[
        Path | None, typer.Option("--keys", help="The folder that was handed out to this viewer.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each message as one JSON object on a line.")
    ] = False,
) -> None:
    """Watch a run from elsewhere, until it has ended."""
    from agent.telemetry.following import follow
    from agent.telemetry.keys import viewer_keys

    try:
        with _in_one_sentence():
            own = None if key_folder is None else viewer_keys(key_folder)
            heard = follow(address, own)
            if as_json:
                _print(heard)
            else:
                _show(heard, address)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED_EXIT) from None


@keys.command()
def new(folder: KeyFolder) -> None:
    """Make the keys of runs, and those of a first viewer."""
    from agent.telemetry.keys import new_keys

    _make(lambda: new_keys(folder))


@keys.command()
def viewer(
    folder: KeyFolder, name: Annotated[str, typer.Argument(help="Who it is; one of its kind.")]
) -> None:
    """Make the keys of another viewer; the next run lets it in."""
    from agent.telemetry.keys import new_viewer

    _make(lambda: new_viewer(folder, name))


def _make(make: Callable[[], Path]) -> None:
    with _in_one_sentence():
        handed = make()
    typer.echo(
        f"to watch, take {handed} to where you watch from, delete it here, and run 'tipsmith watch "
        "ADDRESS --keys FOLDER' there"
    )


def _print(heard: Iterator[Glance | Silence]) -> None:
    from agent.telemetry.glance import Glance, encode
    from agent.telemetry.view import silent

    told = False
    for one in heard:
        if isinstance(one, Glance):
            told = False
            typer.echo(encode(one))
        elif not told:
            told = True
            typer.echo(f"tipsmith: {silent(one)}", err=True)


def _show(heard: Iterator[Glance | Silence], address: str) -> None:
    from rich.console import Console

    from agent.telemetry.view import View

    with View(Console(), address) as view:
        for one in heard:
            view.show(one)


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Turn what went wrong into the errors of the command line, which are slow to load."""
    try:
        yield
    except ConnectionError as error:
        from drivers.errors import ConnectionFailed

        raise ConnectionFailed(str(error)) from None
    except (OSError, ValueError) as error:
        from drivers.errors import UserError

        raise UserError(str(error)) from None
