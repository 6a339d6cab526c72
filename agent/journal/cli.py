"""The commands ``journal`` and ``replay``.

What is slow to import is imported where it is used, so that the help appears at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from agent.journal.past import Past

SAME_EXIT, DIFFERENT_EXIT = 0, 1

Run = Annotated[str, typer.Argument(help="Folder of a run, or the name of one in --journal.")]
Directory = Annotated[
    Path | None, typer.Option("--journal", help="Folder with the runs; the configured one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]

journal = typer.Typer(help="List and export journals of runs.", no_args_is_help=True)


def replay(run: Run, directory: Directory = None, as_json: AsJson = False) -> None:
    """Decide a run again from its journal: 0 if every step is the same, 1 if one is not."""
    from agent.journal.past import find_run
    from agent.journal.replay import replay as decide_again
    from agent.journal.understanding import read

    with read(find_run(run, _directory(directory))) as opened:
        replayed = decide_again(opened)
    difference = replayed.difference
    if as_json:
        typer.echo(replayed.to_json())
    elif difference is None:
        typer.echo(f"all {replayed.decisions} decisions are the same")
    else:
        typer.echo(
            f"the first {replayed.decisions} decisions are the same; entry {difference.sequence} "
            f"is not:\n  then: {json.dumps(difference.journaled)}\n"
            f"  now:  {json.dumps(difference.replayed)}"
        )
    raise typer.Exit(SAME_EXIT if difference is None else DIFFERENT_EXIT)


@journal.command("list")
def show_runs(directory: Directory = None, as_json: AsJson = False) -> None:
    """List the runs, the latest first, and how each stands."""
    from rich.console import Console

    from agent.journal.past import runs

    found = runs(_directory(directory))
    if as_json:
        typer.echo(json.dumps([_entry(past) for past in found]))
    else:
        Console().print(_table(found))


@journal.command()
def export(
    run: Run,
    to: Annotated[
        Path, typer.Option(help="A folder for all tables, or a .csv or .parquet file for one.")
    ],
    kind: Annotated[
        str, typer.Option("--format", help="Of the files in a folder: csv or parquet.")
    ] = "csv",
    table: Annotated[
        str, typer.Option(help="For a file: events, looks, actions or traces.")
    ] = "events",
    directory: Directory = None,
) -> None:
    """Write the journal of a run as tables: entries, looks, actions, and their traces."""
    from agent.journal.export import export as write
    from agent.journal.past import find_run
    from agent.journal.tables import tables
    from agent.journal.understanding import read

    with read(find_run(run, _directory(directory))) as opened:
        written = write(tables(opened), to, kind, table)
    for path in written:
        typer.echo(str(path))


def _directory(given: Path | None) -> Path:
    from agent.config import load_config

    return given or Path(load_config().journal.directory)


def _entry(past: Past) -> dict[str, object]:
    return {
        "run": past.name,
        "standing": past.standing.value,
        "microscope": past.microscope,
        "started_utc": past.started_utc,
        "entries": past.entries,
        "unknown": None if past.unknown is None else past.unknown.action.kind,
        "reason": past.reason,
    }


def _table(found: list[Past]) -> Table:
    from rich.table import Table

    table = Table()
    entries = [_entry(past) for past in found]
    headings = ("run", "standing", "microscope", "started_utc", "entries", "unknown", "reason")
    for heading in headings:
        table.add_column(heading)
    for entry in entries:
        table.add_row(*("" if entry[name] is None else str(entry[name]) for name in headings))
    return table
