"""Bringing a tip to confirmed-good: carries out what the episode decides, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from agent.acting import act
from agent.config import RepairSettings
from agent.journal import Journal
from agent.looking import look
from agent.loop import finish
from agent.phases import Phase
from agent.record import Kind
from agent.result import GOOD_EXIT, NOT_GOOD_EXIT, Listener, Progress, RepairResult
from agent.run import Run
from drivers.errors import FileError, InstrumentError, TipsmithError, UserError
from drivers.microscope import KnowsTruth, Microscope
from policies.episode import Acted, Act, Declare, Event, Look, Looked, Policy, next_step
from policies.scorer import Scorer

#: Wall time after which a withdrawal that does not end is given up.
WITHDRAW_TIMEOUT_S = 30.0


async def repair(
    microscope: Microscope,
    scorer: Scorer,
    policy: Policy,
    settings: RepairSettings,
    journal: Journal,
    on_progress: Listener = lambda _: None,
) -> RepairResult:
    """Repair the tip.

    Whatever ends the repair early (an error, a refusal, cancellation) withdraws the tip first.

    Args:
        microscope: the instrument, opened inside its envelope.
        scorer: judges scans.
        policy: chooses actions.
        settings: when to end and how to look.
        journal: a new journal; a run is never resumed.
        on_progress: sees every step as it goes; must return at once.

    Returns:
        The result; errors of instrument, envelope and journal are ``stopped`` results.

    Raises:
        UserError: the journal holds a run already.
        CancelledError: after the tip was withdrawn; the listener has got the result.
    """
    _refuse_to_resume(journal)
    run = Run(microscope, journal, on_progress)
    history: list[Event] = []
    try:
        declared = await _until_declared(run, scorer, policy, settings, history)
    except TipsmithError as error:
        return await _stop(run, history, str(error), error.exit_code)
    finally:
        if not run.ended:
            await _stop(run, history, "interrupted", NOT_GOOD_EXIT)
    return declared


def _refuse_to_resume(journal: Journal) -> None:
    pending = journal.pending()
    if pending is not None:
        raise UserError(
            f"the run in {journal.path} broke off with a {pending.action.kind} of unknown outcome; "
            "start a new run, which looks at the tip before anything else"
        )
    if journal.records():
        raise UserError(f"{journal.path} holds a run already; start a new one")


async def _until_declared(
    run: Run, scorer: Scorer, policy: Policy, settings: RepairSettings, history: list[Event]
) -> RepairResult:
    state = await run.instrument(run.microscope.state())
    range_m = state.range_m[:2]
    started = {"range_m": range_m, "settings": settings.model_dump(mode="json")}
    run.journal.note(Kind.STARTED, run.now_s, started)
    while True:
        run.enter(Phase.DECIDING)
        step = next_step(history, settings, policy, range_m)
        match step:
            case Look():
                run.enter(Phase.LOOKING, step=step, lines=0)
                run.journal.look_started(step.frame, step.reason, run.now_s)
                whole = _looked_good(history, settings)
                looked = await look(run, scorer, settings, step.frame, whole=whole)
                run.journal.looked(looked)
                _remember(run, history, looked)
            case Act():
                run.enter(Phase.ACTING, step=step)
                _remember(run, history, await act(run, step, settings))
            case Declare():
                run.journal.note(Kind.DECLARED, run.now_s, vars_of(step))
                return _end(run, history, step)
