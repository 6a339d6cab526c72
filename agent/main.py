"""The root command: gathers the commands of all rooms and turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Annotated

import typer
import typer.main

from agent.installation import find_trouble, own_version

GROUP = "tipsmith.commands"
NAME = "tipsmith"
BROKEN_INSTALLATION_EXIT = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leaves with 0, or with 1 to 3 or 130 when something is amiss.

    Args:
        arguments: what follows the program's name; ``sys.argv[1:]`` if None.
    """
    trouble = find_trouble()
    if trouble is not None:
        _leave(trouble, BROKEN_INSTALLATION_EXIT)
    # Only now is it certain that this is our package.
    from drivers.errors import TipsmithError

    given = sys.argv[1:] if arguments is None else list(arguments)
    command = typer.main.get_command(gather(given))
    try:
        command(args=given, prog_name=NAME)
    except TipsmithError as error:
        _leave(str(error), error.exit_code)


def gather(arguments: Sequence[str]) -> typer.Typer:
    """The root command with the commands that ``arguments`` call for.

    A command is loaded only when it is named, because some load slowly; without a name, or with
    one that nobody serves, all are, for the help.
    """
    root = typer.Typer(
        help="Keeps the tip of a scanning tunnelling microscope sharp while nobody watches.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    root.callback()(_root)
    points = {point.name: point for point in entry_points(group=GROUP)}
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    for name in [wanted] if wanted in points else sorted(points):
        command = points[name].load()
        if isinstance(command, typer.Typer):
            root.add_typer(command, name=name)
        else:
            root.command(name)(command)
    return root


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {own_version()}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", is_eager=True, callback=_show_version, help="Show the version and leave."
    ),
]


def _root(version: Version = False) -> None:
    """Options before any command."""


def _leave(sentence: str, code: int) -> None:
    typer.echo(f"{NAME}: {sentence}", err=True)
    sys.exit(code)
