"""A repair on the screen: a line for every finished step, and below them what is going on."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.phases import Phase
from agent.result import Progress, RepairResult
from agent.wording import spot
from drivers.outcome import Outcome
from policies.episode import Act, Look
from policies.history import Acted, Event, Looked
from policies.report import TipReport

BAR_WIDTH = 30
COLOURS = {"good": "green", "gave_up": "yellow", "paused": "yellow", "stopped": "red"}


class Display:
    """Shows the progress of a repair on ``console``; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(Phase.STARTING)
        self._live = Live(console=console, get_renderable=self._panel, transient=True)

    def __enter__(self) -> Self:
        # A log file gets the lines only.
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    @property
    def result(self) -> RepairResult | None:
        """The result of the repair, once it has ended."""
        return self._progress.result

    def show(self, progress: Progress) -> None:
        """Show ``progress``; a question has the terminal to itself."""
        was_asking = self._progress.request is not None
        self._progress = progress
        if progress.request is not None:
            self._live.stop()
        elif was_asking and self._console.is_terminal:
            self._live.start()
        if progress.note is not None:
            self._console.print(Text(f"{_time(progress.instrument_s)}  {progress.note}"))
        if progress.event is not None:
            self._console.print(_line(progress.instrument_s, progress.event), highlight=False)

    def _panel(self) -> RenderableType:
        progress = self._progress
        head = Text.assemble((f"{_time(progress.instrument_s)}  {progress.phase}", "bold"))
        if progress.step is not None:
            head.append(f"  {progress.step.reason}")
        match progress.step:
            case Look(frame=frame):
                head.append(f"  {spot(frame.x_m, frame.y_m)}, line {progress.lines}")
            case Act(site=site):
                head.append(f"  {spot(site.x_m, site.y_m)}")
        return Group(head, *([] if progress.report is None else [_bars(progress.report)]))


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
        "journal": result.journal,
    }
    if result.warning is not None:
        rows["warning"] = result.warning
    if result.true_state is not None:
        facts = (f"{name} {_fact(value)}" for name, value in result.true_state.items())
        rows["truth (simulated)"] = ", ".join(facts)
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _line(instrument_s: float, event: Event) -> Text:
    match event:
        case Looked():
            where, what, said = "look", spot(event.frame.x_m, event.frame.y_m), _verdict(event)
        case Acted():
            where, what, said = event.action.kind, spot(event.x_m, event.y_m), _effect(event)
    return Text(f"{_time(instrument_s)}  {where:<12} {what:<18} {said}")


def _verdict(looked: Looked) -> str:
    report = looked.report
    worst = report.worst
    return f"quality {report.quality:.2f}  {worst} {report.states[worst]:.0%}"


def _effect(acted: Acted) -> str:
    outcome: Outcome = acted.outcome
    return "" if outcome.z_jump_m is None else f"z jump {outcome.z_jump_m / 1e-12:+.0f} pm"


def _bars(report: TipReport) -> Table:
    table = Table.grid(padding=(0, 1))
    states = (*report.states.items(), *report.image.items())
    rows = {"quality": report.quality, **{str(state): p for state, p in states}}
    for name, share in rows.items():
        bar = ProgressBar(total=1.0, completed=share, width=BAR_WIDTH)
        table.add_row(f"  {name}", bar, f"{share:4.0%}")
    return table


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:4d}:{rest:02d}"


def _fact(value: float | bool | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
