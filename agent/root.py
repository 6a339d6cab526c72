"""The root command, which gathers those of all rooms."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Annotated

import typer
import typer.main

from agent.installation import DISTRIBUTION, own_version

GROUP = "tipsmith.commands"


def run(arguments: Sequence[str]) -> None:
    """Run the command that ``arguments`` call for; never returns.

    Raises:
        SystemExit: it ended.
        TipsmithError: it could not do what was asked for.
    """
    command = typer.main.get_command(gather(arguments))
    command(args=list(arguments), prog_name=DISTRIBUTION)


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
        typer.echo(f"{DISTRIBUTION} {own_version()}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", is_eager=True, callback=_show_version, help="Show the version and leave."
    ),
]


def _root(version: Version = False) -> None:
    """Options before any command."""
