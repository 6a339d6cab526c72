"""The progress of a repair in the plain words and numbers that everybody who watches is shown."""

from __future__ import annotations

from agent.result import Progress
from agent.telemetry.glance import Glance, Mention
from policies.episode import Act, Look, Step
from policies.history import Acted, Event, Looked
from policies.report import TipReport


def glance_of(progress: Progress, run: str = "") -> Glance:
    """What viewers see of ``progress``.

    Args:
        progress: the latest.
        run: name of the run.
    """
    report = progress.report
    return Glance(
        phase=progress.phase,
        run=run,
        instrument_s=progress.instrument_s,
        actions=progress.actions,
        lines=progress.lines,
        quality=None if report is None else float(report.quality),
        states={} if report is None else _states(report),
        step=None if progress.step is None else _step(progress.step),
        event=None if progress.event is None else _event(progress.event),
        note=progress.note,
        asking=progress.request is not None,
        result=progress.result,
    )


def _states(report: TipReport) -> dict[str, float]:
    both = (*report.states.items(), *report.image.items())
    return {state.value: float(chance) for state, chance in both}


def _step(step: Step) -> Mention:
    match step:
        case Look(frame=frame):
            return Mention("look", (frame.x_m, frame.y_m), step.reason)
        case Act(site=site):
            return Mention(step.action.kind, (site.x_m, site.y_m), step.reason)
    return Mention("declare", None, step.reason)


def _event(event: Event) -> Mention:
    match event:
        case Looked():
            return Mention("look", (event.frame.x_m, event.frame.y_m), _verdict(event.report))
        case Acted():
            return Mention(event.action.kind, (event.x_m, event.y_m), _effect(event))


def _verdict(report: TipReport) -> str:
    worst = report.worst
    return f"quality {report.quality:.2f}  {worst} {report.states[worst]:.0%}"


def _effect(acted: Acted) -> str:
    outcome = acted.outcome
    return "" if outcome.z_jump_m is None else f"z jump {outcome.z_jump_m / 1e-12:+.0f} pm"
