"""How a run looks on a screen: lines for what has happened, and a panel for what goes on."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.result import RepairResult
from agent.telemetry.glance import Glance, Mention
from agent.wording import spot

BAR_WIDTH = 30
COLOURS = {"good": "green", "gave_up": "yellow", "paused": "yellow", "stopped": "red"}


class Panel:
    """A live panel on ``console``, lines above it; a context manager.

    Args:
        console: a log file gets the lines only.
        picture: what stands in the panel now.
    """

    def __init__(self, console: Console, picture: Callable[[], RenderableType]) -> None:
        self._console = console
        self._live = Live(console=console, get_renderable=picture, transient=True)

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pause()

    def pause(self) -> None:
        """Take the panel away."""
        self._live.stop()

    def resume(self) -> None:
        """Put it there again."""
        if self._console.is_terminal:
            self._live.start()

    def say(self, glance: Glance) -> None:
        """Print what has happened, if anything has."""
        if glance.note is not None:
            self._console.print(Text(f"{_time(glance.instrument_s)}  {glance.note}"))
        if glance.event is not None:
            self._console.print(_line(glance.instrument_s, glance.event), highlight=False)


def picture(glance: Glance) -> RenderableType:
    """What goes on: phase, step, and what the latest judgement says."""
    head = Text.assemble((f"{_time(glance.instrument_s)}  {glance.phase}", "bold"))
    if glance.step is not None:
        head.append(f"  {glance.step.words}")
        if glance.step.at_m is not None:
            head.append(f"  {spot(*glance.step.at_m)}")
        if glance.step.what == "look":
            head.append(f", line {glance.lines}")
    return Group(head, *([] if glance.quality is None else [_bars(glance.quality, glance)]))


def result_table(result: RepairResult) -> Table:
    """The result as people read it."""
    table = Table(show_header=False, box=None)
    colour = COLOURS[result.outcome]
    table.add_row(
        Text("outcome", style="dim"), Text(result.outcome.replace("_", " "), style=f"bold {colour}")
    )
    rows = {
        "reason": result.reason,
        "confirmed on": f"{result.confirmed_on} fresh spots",
        "actions": str(result.actions),
        "instrument time": f"{result.instrument_s / 60:.1f} min",
        "wall time": f"{result.wall_s:.1f} s, of which the agent's own {result.overhead_s:.1f} s",
        "journal": result.journal or "none",
    }
    if result.warning is not None:
        rows["warning"] = result.warning
    if result.true_state is not None:
        facts = (f"{name} {_fact(value)}" for name, value in result.true_state.items())
        rows["truth (simulated)"] = ", ".join(facts)
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _line(instrument_s: float, event: Mention) -> Text:
    where = "" if event.at_m is None else spot(*event.at_m)
    return Text(f"{_time(instrument_s)}  {event.what:<12} {where:<18} {event.words}")


def _bars(quality: float, glance: Glance) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, share in {"quality": quality, **glance.states}.items():
        bar = ProgressBar(total=1.0, completed=share, width=BAR_WIDTH)
        table.add_row(Text(f"  {name}"), bar, f"{share:4.0%}")
    return table


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:4d}:{rest:02d}"


def _fact(value: float | bool | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
