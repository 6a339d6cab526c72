"""Bringing a tip to confirmed-good: carries out what the episode decides, step by step."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace

from agent.acting import act
from agent.config import USUAL_WATCHES, RepairSettings, WatchdogSettings
from agent.guarding import NO_GUARD, Guard
from agent.journal import Scribe
from agent.looking import look
from agent.phases import Phase
from agent.record import Kind
from agent.recovery import Found, recover
from agent.result import GOOD_EXIT, NOT_GOOD_EXIT, Ending, Listener, RepairResult
from agent.run import Run
from agent.supervision import Supervision
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import SettingsChanged, TipsmithError
from drivers.finishing import finish
from drivers.microscope import WITHDRAWAL_ENDS_S, Capability
from policies.before import NOTHING, Before
from policies.episode import Act, Declare, Look, next_step
from policies.history import Acted, Event, Looked
from policies.judging import Judge
from policies.proposal import Policy

#: Wall time after which a withdrawal that does not end is given up (s): only a driver that hangs
#: takes longer than the longest that drivers wait for a slow rig.
WITHDRAW_TIMEOUT_S = WITHDRAWAL_ENDS_S + 10.0
#: Wall time after which the guardian withdraws, too (s): six times what a withdrawal from contact
#: takes on the simulated controller, over TCP, until it is verified. A rig that is just slow cannot
#: be told from a link that is dead, and withdraws no less for being told so twice.
OVERDUE_S = 3.0


async def repair(
    microscope: EnvelopedMicroscope,
    scorer: Judge,
    policy: Policy,
    settings: RepairSettings,
    journal: Scribe,
    on_progress: Listener = lambda _: None,
    guard: Guard = NO_GUARD,
    found: Found | None = None,
    watchdogs: WatchdogSettings = USUAL_WATCHES,
    supervision: Supervision | None = None,
    before: Before = NOTHING,
) -> RepairResult:
    """Repair the tip.

    Whatever ends the repair early (an error, a refusal, cancellation) withdraws the tip; only
    where somebody else is found at work on the instrument, the tip is left to them, unless nobody
    is said to be there.

    Args:
        microscope: the instrument; nothing reaches it but through its envelope.
        scorer: judges scans.
        policy: chooses actions.
        settings: when to end and how to look.
        journal: of a new run; a run is never resumed.
        on_progress: sees every step as it goes; must return at once.
        guard: what withdraws the tip if this program cannot; without it the repair stops.
        found: what the run before has left out of order, or None.
        watchdogs: when the watches beside the run are set off.
        supervision: who is asked before actions, or None; what is not allowed ends the repair.
        before: what runs before have done to the sample.

    Returns:
        The result; an error of instrument, envelope or journal makes it ``stopped``.

    Raises:
        UserError: the journal holds a run already.
        CancelledError: after the tip was withdrawn; the listener has got the result.
        Exception: a fault of the program, as it was raised, after the same.
    """
    await journal.expect_unused()
    run = Run(microscope, journal, on_progress, watchdogs, supervision)
    return await _Repair(run, scorer, policy, settings, guard, found, before).carry_out()


def _fault(error: Exception) -> str:
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    return f"a fault of the program ({what}); report it with what standard error says"


class _Repair:
    """One repair: its history so far, and what it takes to go on."""

    def __init__(
        self,
        run: Run,
        scorer: Judge,
        policy: Policy,
        settings: RepairSettings,
        guard: Guard,
        found: Found | None,
        before: Before,
    ) -> None:
        self._run = run
        self._scorer = scorer
        self._policy = policy
        self._settings = settings
        self._guard = guard
        self._found = found
        self._before = before
        self._history: list[Event] = []

    async def carry_out(self) -> RepairResult:
        """Go step by step to the end, whichever it is."""
        try:
            async with self._guard.kept():
                declared = await self._until_declared()
            self._guard.settle()
            return self._end(
                declared.outcome,
                declared.reason,
                confirmed_on=declared.confirmed_on,
                exit_code=GOOD_EXIT if declared.outcome == "good" else NOT_GOOD_EXIT,
            )
        except TipsmithError as error:
            if isinstance(error, SettingsChanged) and self._guard.attended:
                return await finish(self._pause(str(error)))
            return await finish(self._stop(str(error), error.exit_code))
        except Exception as error:
            await finish(self._stop(_fault(error), NOT_GOOD_EXIT))
            raise
        finally:
            if not self._run.ended:
                await finish(self._stop("interrupted", NOT_GOOD_EXIT))

    async def _until_declared(self) -> Declare:
        run, settings = self._run, self._settings
        await run.take_account()
        x_m, y_m, _ = (await run.instrument(run.watchdog.begin())).range_m
        started = {
            "range_m": (x_m, y_m),
            "settings": settings.model_dump(mode="json"),
            "coarse": Capability.COARSE in run.microscope.capabilities,
        }
        await run.journal.note(Kind.STARTED, run.now_s, started)
        if self._found is not None:
            await recover(run, self._found, settings.at)
        while True:
            run.enter(Phase.DECIDING)
            step = next_step(self._history, settings, self._policy, (x_m, y_m), before=self._before)
            match step:
                case Look():
                    self._remember(await self._look(step))
                case Act():
                    run.tell(replace(run.progress, step=step))
                    run.enter(Phase.ACTING)
                    self._remember(await act(run, step, settings))
                case Declare():
                    await run.journal.note(Kind.DECLARED, run.now_s, asdict(step))
                    return step

    async def _look(self, step: Look) -> Looked:
        run = self._run
        run.tell(replace(run.progress, step=step, lines=0))
        run.enter(Phase.LOOKING)
        await run.journal.look_started(step, run.now_s)
        looked = await look(run, self._scorer, self._settings, step)
        await run.journal.looked(looked)
        return looked

    def _remember(self, event: Event) -> None:
        self._history.append(event)
        run = self._run
        report = event.report if isinstance(event, Looked) else run.progress.report
        progress = replace(run.progress, report=report, actions=self._actions, step=None)
        run.tell(replace(progress, event=event))
        run.tell(progress)

    @property
    def _actions(self) -> int:
        return sum(isinstance(event, Acted) for event in self._history)

    async def _pause(self, reason: str) -> RepairResult:
        # Withdrawing, too, would undo what somebody else is doing with the tip.
        reason += "; the tip is left as it is"
        await self._run.journal.last_word(Kind.PAUSED, self._run.now_s, {"reason": reason})
        self._guard.settle()
        return self._end("paused", reason, confirmed_on=0, exit_code=NOT_GOOD_EXIT)

    async def _stop(self, reason: str, exit_code: int) -> RepairResult:
        self._run.enter(Phase.WITHDRAWING)
        failure = await self._withdraw()
        if failure is None:
            self._guard.settle()
        error = {"reason": reason, "withdrawn": failure is None}
        await self._run.journal.last_word(Kind.ERROR, self._run.now_s, error)
        if failure is not None:
            reason += f"; {failure}"
        return self._end("stopped", reason, confirmed_on=0, exit_code=exit_code)

    async def _withdraw(self) -> str | None:
        """Withdraw, with the guardian's help where it is needed; what to do if it failed."""
        withdrawing = asyncio.create_task(self._withdraw_alone())
        await asyncio.wait({withdrawing}, timeout=OVERDUE_S)
        if not withdrawing.done():
            # Both may go on: what the guardian sends does no harm beside the driver's.
            await self._guard.trip(f"the agent did not withdraw the tip within {OVERDUE_S:g} s")
        elif withdrawing.result() is not None:
            await self._guard.trip("the agent could not withdraw the tip")
        return await withdrawing

    async def _withdraw_alone(self) -> str | None:
        try:
            async with asyncio.timeout(WITHDRAW_TIMEOUT_S) as limit:
                await self._run.instrument(self._run.microscope.withdraw())
        # Whatever a driver raises, the tip may still be in contact.
        except Exception as error:
            if limit.expired():
                return (
                    f"THE TIP WAS NOT SEEN AT THE UPPER END after {WITHDRAW_TIMEOUT_S:g} s; it may "
                    "still be moving; look at it now"
                )
            why = str(error) or type(error).__name__
            return f"THE TIP COULD NOT BE WITHDRAWN ({why}), look after it now"
        return None

    def _end(
        self, outcome: Ending, reason: str, *, confirmed_on: int, exit_code: int
    ) -> RepairResult:
        run = self._run
        result = RepairResult(
            outcome=outcome,
            reason=reason,
            confirmed_on=confirmed_on,
            actions=self._actions,
            instrument_s=run.instrument_s,
            wall_s=run.wall_s,
            overhead_s=run.overhead_s,
            journal=str(run.journal.path),
            true_state=run.microscope.true_state(),
            exit_code=exit_code,
        )
        run.enter(Phase.ENDED)
        run.tell(replace(run.progress, result=result))
        return result
