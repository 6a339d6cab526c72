"""How far a training is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

#: Shares of the whole after which a log gets a line.
LOG_SHARE = 0.05


@contextmanager
def reporting(
    what: str, total: int, done: int, unit: str = "scans"
) -> Iterator[Callable[[int, str], None]]:
    """Report on ``what`` on standard error.

    Args:
        what: name of the work.
        total: how much there is in all.
        done: how much was done before.
        unit: what is counted.

    Yields:
        To be called with how many more are done and a remark.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} " + unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=total, completed=done)
        logged = done

        def report(more: int, remark: str) -> None:
            nonlocal done, logged
            done += more
            progress.update(bar, completed=done, description=f"{what}, {remark}")
            if not console.is_terminal and done - logged >= LOG_SHARE * total:
                logged = done
                console.print(f"{what}: {done}/{total} {unit}, {remark}")

        yield report
