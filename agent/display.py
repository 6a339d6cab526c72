"""A repair on the screen: a line for every finished step, and below them what is going on."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType

from agent.panel import Panel, picture
from agent.phases import Phase
from agent.result import Progress, RepairResult
from agent.telemetry.telling import glance_of


class Display:
    """Shows the progress of a repair on ``console``; a context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(Phase.STARTING)
        self._panel = Panel(console, self._picture)

    def __enter__(self) -> Self:
        self._panel.resume()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._panel.pause()

    @property
    def result(self) -> RepairResult | None:
        """The result of the repair, once it has ended."""
        return self._progress.result

    def show(self, progress: Progress) -> None:
        """Show ``progress``; a question has the terminal to itself."""
        was_asking = self._progress.request is not None
        self._progress = progress
        if progress.request is not None:
            self._panel.pause()
        elif was_asking:
            self._panel.resume()
        # Most have nothing to print, and there are many.
        if progress.note is not None or progress.event is not None:
            self._panel.say(glance_of(progress))

    def _picture(self) -> RenderableType:
        return picture(glance_of(self._progress))
