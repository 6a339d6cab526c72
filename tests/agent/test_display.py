"""The live screen."""

from __future__ import annotations

import io

from rich.console import Console

from agent.display import Display
from agent.phases import Phase
from agent.result import Progress
from drivers.sample_map import Site
from drivers.scan import Frame
from policies.episode import Act, Look
from policies.report import TipReport, TipState
from tests.agent.scripted import DIP

FRAME = Frame(x_m=12e-9, y_m=-8e-9, width_m=24e-9, height_m=24e-9)
REPORT = TipReport(0.25, {**dict.fromkeys(TipState, 0.0), TipState.BLUNT: 0.9}, 40, 0.5)


def shown(progress: Progress, *, terminal: bool = True) -> str:
    """What stands on the screen while this goes on."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120, color_system=None)
    with Display(console) as display:
        display.show(progress)
    return screen.getvalue()


def test_a_running_look():
    text = shown(
        Progress(Phase.LOOKING, 83.0, 2, Look(FRAME, "see what it is like", False), 40, REPORT)
    )
    assert "1:23  looking  see what it is like  (12, -8) nm, line 40" in text
    assert "quality" in text
    assert "25%" in text
    assert "blunt" in text
    assert "90%" in text


def test_a_running_action():
    step = Act(DIP, Site(5e-9, 6e-9, 1e-8), "blunt: indent 1.00 nm")
    assert "acting  blunt: indent 1.00 nm  (5, 6) nm" in shown(Progress(Phase.ACTING, step=step))


def test_the_beginning_shows_no_bars():
    text = shown(Progress(Phase.STARTING))
    assert "starting" in text
    assert "quality" not in text


def test_a_log_file_gets_no_live_screen():
    assert shown(Progress(Phase.STARTING), terminal=False) == ""
