"""A question that stays open, under a real guardian: the lease goes on, and its loss is heard."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from agent.approval import Answer, Request
from agent.config import ApprovalSettings, GuardianSettings, RepairSettings
from agent.guardian.asking import ask
from agent.guardian.statefile import read_report
from agent.guardian.states import State
from agent.guarding import guarded
from agent.journal import Journal
from agent.record import Kind
from agent.repair import repair
from agent.result import RepairResult
from agent.supervision import Asker, Supervision
from tests.agent.scripted import DIP, Always, ScriptedScorer, scribe
from tests.agent.test_guardian_process import (  # noqa: F401 - two of them are fixtures
    Framed,
    framed,
    port,
    pytestmark,
    state,
)


@dataclass
class Hesitant:
    """Says yes after twice the silence that a guardian bears."""

    guardian: Path
    seen: set[State]

    async def ask(self, request: Request) -> Answer:
        for _ in range(round(2 * GuardianSettings().lost_after_s / 0.1)):
            await asyncio.sleep(0.1)
            self.seen.add((await asyncio.to_thread(ask, self.guardian, "state")).state)
        return Answer(request.id, request.digest, allowed=True, by="the operator")


@dataclass
class Bereaved:
    """Never answers, and meanwhile the guardian dies."""

    guardian: Path

    async def ask(self, request: Request) -> Answer:
        os.kill(read_report(self.guardian).pid, signal.SIGKILL)
        await asyncio.Event().wait()
        raise AssertionError


async def supervised(
    scripted: Framed, journal: Journal, guardian: Path, asker: Asker
) -> RepairResult:
    microscope, settings = scripted.enveloped(), RepairSettings(pixels=16, lines=24, max_actions=1)
    supervision = Supervision(ApprovalSettings(), asker)
    async with guarded(microscope, GuardianSettings(state=str(guardian))) as guard:
        return await repair(
            microscope,
            ScriptedScorer(),
            Always(DIP),
            settings,
            scribe(journal),
            guard=guard,
            supervision=supervision,
        )


async def test_the_lease_goes_on_while_the_question_is_open(
    port: int,  # noqa: F811
    state: Path,  # noqa: F811
    journal: Journal,
):
    asker = Hesitant(state, set())
    result = await supervised(await framed(port), journal, state, asker)
    assert (result.outcome, result.actions) == ("gave_up", 1)
    assert asker.seen == {State.ARMED}


async def test_a_guardian_that_dies_ends_the_question(
    port: int,  # noqa: F811
    state: Path,  # noqa: F811
    journal: Journal,
):
    scripted = await framed(port)
    result = await supervised(scripted, journal, state, Bereaved(state))
    # Its death shows as an end of the stream or as a reset of it.
    assert result.reason.startswith(("the guardian has died", "the guardian does not answer"))
    assert scripted.calls[-1] == "withdraw"
    assert DIP not in scripted.performed
    kinds = [record.kind for record in journal.records()]
    assert kinds[-2:] == [Kind.ASKED, Kind.ERROR]
