"""The agent's commands: ``repair``, ``config`` and ``bench``.

What is slow to import is imported where it is used, so that the help appears at once.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

if TYPE_CHECKING:
    from agent.display import Display
    from agent.result import RepairResult

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file; tipsmith.toml in this folder if there is one."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on standard output.")
]

config = typer.Typer(help="Check or show the configuration.", no_args_is_help=True)


def repair(
    microscope: Annotated[
        str | None,
        typer.Option(help="Address, such as sim:au111 or nanonis://192.168.0.7:6501."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of a simulated microscope.")] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
    max_actions: Annotated[
        int | None, typer.Option(min=0, help="Give up after this many actions.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="Folder that gets one folder per run.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    unattended: Annotated[
        bool, typer.Option("--unattended", help="Nobody watches: refuse to run without a guardian.")
    ] = False,
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Ask here before actions; only a yes allows them.")
    ] = False,
) -> None:
    """Bring the tip of a microscope to confirmed-good."""
    with _Telling(as_json=as_json) as telling:
        from rich.console import Console

        from agent.config import load_config
        from agent.display import Display
        from agent.loop import run
        from agent.screen import unblocked
        from agent.session import run_repair
        from agent.terminal import Terminal
        from policies.scorer import Scorer

        settings = load_config(config_file).overridden(
            uri=microscope,
            max_actions=max_actions,
            directory=journal,
            unattended=unattended,
            supervised=supervised,
        )
        telling.display = display = Display(Console(stderr=True, quiet=quiet))
        with unblocked() as screen:
            asker = Terminal.open(screen) if settings.approval.supervised else None
            scorer = Scorer.load()
            with display:
                run(run_repair(settings, seed, scorer, display.show, asker))
    if display.result is not None:
        raise typer.Exit(display.result.exit_code)


class _Telling:
    """Tells how a repair has ended, whatever has ended it; a context manager around all of it.

    Also after Ctrl-C what was done to the tip must be told, and who asked for JSON gets an object
    even if nothing was done.

    Attributes:
        display: what has seen the result, if anything has begun that could have one.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.display: Display | None = None
        self._as_json = as_json

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        result = None if self.display is None else self.display.result
        if result is not None:
            code = result.exit_code if error is None else _exit_code(error)
            _tell(replace(result, exit_code=code), as_json=self._as_json)
        elif error is not None and self._as_json:
            from agent.result import RepairResult

            # The sentence follows on standard error, as for every command.
            typer.echo(RepairResult.unbegun(_reason(error), _exit_code(error)).to_json())


def _exit_code(error: BaseException) -> int:
    from agent.main import INTERRUPTED_EXIT
    from agent.result import NOT_GOOD_EXIT
    from drivers.errors import TipsmithError

    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED_EXIT
    return error.exit_code if isinstance(error, TipsmithError) else NOT_GOOD_EXIT


def _reason(error: BaseException) -> str:
    from drivers.errors import TipsmithError

    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, TipsmithError):
        return str(error)
    return f"a fault of the program ({type(error).__name__}); see standard error"


def _tell(result: RepairResult, *, as_json: bool) -> None:
    from rich.console import Console

    from agent.panel import result_table
    from agent.screen import unblocked

    if as_json:
        typer.echo(result.to_json())
    else:
        Console().print(result_table(result))
    with unblocked():
        if result.outcome in ("paused", "stopped"):
            typer.echo(f"tipsmith: {result.reason}", err=True)
        if result.warning is not None:
            typer.echo(f"tipsmith: {result.warning}", err=True)


@config.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="TOML file; tipsmith.toml in this folder if left out.")
    ] = None,
) -> None:
    """Say whether a configuration file can be used."""
    from agent.config import load_config
    from agent.places import DEFAULT_FILE

    load_config(file or DEFAULT_FILE)
    typer.echo(f"{file or DEFAULT_FILE} is fine")


@config.command()
def show(config_file: ConfigFile = None) -> None:
    """Show everything that is in effect, as a configuration file."""
    from agent.config import load_config

    typer.echo(load_config(config_file).to_toml(), nl=False)


def bench(
    name: Annotated[str | None, typer.Argument(help="Which; all are listed if left out.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less of it, within a minute.")] = False,
    as_json: AsJson = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder with real scans, for those that need some.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Folder for pictures, where there are any.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="How long those that wait for trouble shall wait."),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Episodes, for those that count in them.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Only this part, for those that have some; repeatable."),
    ] = None,
) -> None:
    """Run a benchmark and hold its figures against their targets."""
    from rich.console import Console
    from rich.progress import Progress

    from drivers.benchmark import BenchOptions, find_benches, load_bench

    if name is None:
        _list({known: _first_line(load_bench(known)) for known in find_benches()}, as_json=as_json)
        return
    run = load_bench(name)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0)

        def progress(done: float, text: str) -> None:
            bar.update(task, completed=done, description=text)

        options = BenchOptions(
            quick=quick,
            data=data,
            plot=plot,
            progress=progress,
            minutes=minutes,
            episodes=episodes,
            only=only or (),
        )
        report = run(options)
    if as_json:
        typer.echo(report.to_json())
    else:
        Console().print(*report.tables())


def _list(benches: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"benches": benches}))
        return
    for name, what in benches.items():
        typer.echo(f"{name:<10} {what}")


def _first_line(function: object) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
