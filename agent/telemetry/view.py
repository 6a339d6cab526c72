"""A run on the screen of somebody who watches from elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.text import Text

from agent.panel import Panel, picture, result_table
from agent.telemetry.following import Silence
from agent.telemetry.glance import Glance


class View:
    """Shows on ``console`` what is heard; a context manager.

    Args:
        console: where.
        address: of the run.
    """

    def __init__(self, console: Console, address: str) -> None:
        self._console = console
        self._address = address
        self._glance: Glance | None = None
        self._silence: Silence | None = None
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
        if self._glance is not None and self._glance.result is not None:
            self._console.print(result_table(self._glance.result))

    def show(self, heard: Glance | Silence) -> None:
        """Show what was heard last."""
        if isinstance(heard, Silence):
            # A log file has no panel that would say so every second.
            if self._silence is None and not self._console.is_terminal:
                self._console.print(Text(silent(heard)))
            self._silence = heard
        else:
            self._glance, self._silence = heard, None
            self._panel.say(heard)

    def _picture(self) -> RenderableType:
        glance = self._glance
        lines: list[RenderableType] = []
        if self._silence is not None:
            lines.append(Text(silent(self._silence), style="bold red"))
        if glance is None:
            lines.append(Text(f"listening at {self._address}", style="dim"))
        else:
            lines.append(Text(f"{glance.run}  {self._address}", style="dim"))
            lines.append(picture(glance))
            if glance.asking:
                lines.append(Text("a question waits for an answer", style="bold yellow"))
        return Group(*lines)


def silent(silence: Silence) -> str:
    """The silence in words."""
    return f"silent for {silence.seconds:.0f} s"
