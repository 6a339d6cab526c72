"""Supervised repairs: nothing that was asked about is sent without a yes to exactly that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from agent.approval import Answer, Request
from agent.config import ApprovalSettings, Config, RepairSettings
from agent.journal import Journal
from agent.journal.replay import replay
from agent.loop import run as run_loop
from agent.record import Kind
from agent.repair import repair
from agent.result import Progress
from agent.session import run_repair
from agent.supervision import Supervision
from drivers.actions import Approach, CoarseMove, Indentation, MoveTo
from drivers.envelope import Limits
from drivers.errors import ConfigError
from tests.agent.conftest import Start
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe

STEP_ASIDE = CoarseMove(x_steps=5, y_steps=0, retract_steps=50)


def answered(request: Request, *, allowed: bool = True) -> Answer:
    return Answer(request.id, request.digest, allowed, "the operator")


@dataclass
class Operator:
    """Says what it was given, one answer per question, the last one for ever; None never answers.

    Attributes:
        asked: the questions so far.
        waiting: set while a question stays without an answer.
    """

    says: list[bool | None]
    asked: list[Request] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, request: Request) -> Answer:
        said = self.says[min(len(self.asked), len(self.says) - 1)]
        self.asked.append(request)
        if said is None:
            self.waiting.set()
            await asyncio.Event().wait()
        return answered(request, allowed=bool(said))


@dataclass
class Forger:
    """Answers as it was told to."""

    forge: Callable[[list[Request]], Answer]
    asked: list[Request] = field(default_factory=list)

    async def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.forge(self.asked)


def by(asker: object, *kinds: str) -> Supervision:
    settings = ApprovalSettings(ask=kinds) if kinds else ApprovalSettings()
    return Supervision(settings, asker)


def entries(journal: Journal, kind: Kind) -> list[dict]:
    return [dict(record.payload) for record in journal.records() if record.kind is kind]


async def test_what_is_allowed_is_done(start: Start, journal: Journal, seen: list[Progress]):
    microscope, operator = ScriptedMicroscope([0.1, 0.9]), Operator([True])
    result = await start(microscope, supervision=by(operator))
    assert (result.outcome, result.actions) == ("good", 1)
    (request,) = operator.asked
    assert (request.action, request.reason) == (DIP, "always the same")
    dip = microscope.performed[-1]
    kinds = [record.kind for record in journal.records()]
    at = kinds.index(Kind.ASKED)
    # On the way to the spot nobody is asked; there, before the intent.
    assert kinds[at - 2 : at + 4] == [
        Kind.INTENT,
        Kind.OUTCOME,
        Kind.ASKED,
        Kind.ANSWERED,
        Kind.INTENT,
        Kind.OUTCOME,
    ]
    (asked,), (answer,) = entries(journal, Kind.ASKED), entries(journal, Kind.ANSWERED)
    assert asked["action"] == dip.model_dump(mode="json")
    assert answer == {
        "request": asked["request"],
        "sha256": asked["sha256"],
        "allowed": True,
        "by": "the operator",
        "verdict": "allowed",
    }
    shown = [progress.request for progress in seen]
    assert request in shown
    assert shown[-1] is None


async def test_a_no_ends_the_run_with_the_tip_withdrawn(start: Start, journal: Journal):
    microscope, operator = ScriptedMicroscope([0.1]), Operator([True, False, True])
    result = await start(microscope, supervision=by(operator))
    assert (result.outcome, result.exit_code, result.actions) == ("stopped", 1, 1)
    assert "was not sent: the operator did not allow it; to go on" in result.reason
    assert len(operator.asked) == 2
    assert [type(action) for action in microscope.performed] == [MoveTo, Indentation, MoveTo]
    assert microscope.calls[-1] == "withdraw"
    assert journal.pending() is None
    assert journal.records()[-1].payload["withdrawn"] is True


def test_without_an_answer_it_is_denied_when_its_time_is_over(
    run_virtual, tmp_path: Path, settings: RepairSettings
):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        microscope, operator = ScriptedMicroscope([0.1]), Operator([None])
        with Journal.create(tmp_path, {}, "run") as journal:
            work = asyncio.create_task(
                repair(
                    microscope.enveloped(),
                    ScriptedScorer(),
                    Always(DIP),
                    settings,
                    scribe(journal),
                    supervision=by(operator),
                )
            )
            await operator.waiting.wait()
            started, ticks = loop.time(), 0
            # The control loop goes on, and with it the lease on the guardian.
            while not work.done():
                await asyncio.sleep(0.1)
                ticks += 1
            result = await work
            assert loop.time() - started == pytest.approx(120, abs=0.2)
            assert ticks >= 1199
            assert "nobody allowed it within 120 s" in result.reason
            assert (result.outcome, result.exit_code) == ("stopped", 1)
            assert [type(action) for action in microscope.performed] == [MoveTo]
            (asked,) = entries(journal, Kind.ASKED)
            assert entries(journal, Kind.EXPIRED) == [{"request": asked["request"]}]
            # Who waits for an operator does no work of its own.
            assert result.overhead_s <= result.wall_s

    run_virtual(main)


@pytest.mark.parametrize(
    "forge",
    [
        lambda asked: answered(asked[0]),
        lambda asked: replace(answered(asked[-1]), id="0" * 32),
        lambda asked: replace(answered(asked[-1]), digest="0" * 64),
        lambda asked: replace(answered(asked[-1]), digest=asked[0].digest),
    ],
)
async def test_an_answer_to_anything_else_allows_nothing(
    start: Start, journal: Journal, forge: Callable[[list[Request]], Answer]
):
    def first_one_well(asked: list[Request]) -> Answer:
        return answered(asked[0]) if len(asked) == 1 else forge(asked)

    microscope, forger = ScriptedMicroscope([0.1]), Forger(first_one_well)
    result = await start(microscope, supervision=by(forger))
    assert (result.outcome, result.actions, len(forger.asked)) == ("stopped", 1, 2)
    assert entries(journal, Kind.ANSWERED)[-1]["verdict"] in ("unknown", "altered")


async def test_an_approval_raises_no_limit(start: Start, journal: Journal):
    microscope, operator = ScriptedMicroscope([0.1]), Operator([True])
    limits = Limits().narrowed(max_depth_nm=0.5)
    result = await start(microscope, limits=limits, supervision=by(operator))
    assert "max_depth_nm" in result.reason
    assert DIP not in microscope.performed
    assert entries(journal, Kind.REFUSED)


async def test_only_the_kinds_that_were_named_are_asked_about(start: Start):
    microscope, operator = ScriptedMicroscope([0.1, 0.9]), Operator([False])
    result = await start(microscope, supervision=by(operator, "pulse"))
    assert (result.outcome, operator.asked) == ("good", [])


async def test_the_ways_there_and_back_can_be_asked_about(start: Start):
    microscope, operator = ScriptedMicroscope([0.1, 0.9]), Operator([True])
    await start(microscope, Always(STEP_ASIDE), supervision=by(operator, "approach"))
    assert [type(request.action) for request in operator.asked] == [Approach]


async def test_a_run_that_is_stopped_while_it_asks_withdraws(start: Start, journal: Journal):
    microscope, operator = ScriptedMicroscope([0.1]), Operator([None])
    work = asyncio.ensure_future(start(microscope, supervision=by(operator)))
    await operator.waiting.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert microscope.calls[-1] == "withdraw"
    assert DIP not in microscope.performed
    assert entries(journal, Kind.ANSWERED) == entries(journal, Kind.EXPIRED) == []


def test_a_supervised_run_is_replayed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: RepairSettings
):
    point = EntryPoint("scripted", "tests.agent.scripted:open_scripted", "tipsmith.microscopes")
    monkeypatch.setattr("drivers.registry.entry_points", lambda group: [point])
    approval = ApprovalSettings(supervised=True)
    config = Config(repair=settings, approval=approval).overridden(
        uri="scripted:bad", directory=tmp_path
    )
    operator = Operator([True, False])
    result = run_loop(run_repair(config, None, ScriptedScorer(), lambda _: None, operator))
    assert (result.outcome, result.actions, len(operator.asked)) == ("stopped", 1, 2)
    with Journal.open(Path(result.journal)) as journal:
        assert replay(journal).difference is None


def test_a_supervised_run_needs_somebody_to_ask(tmp_path: Path):
    config = Config().overridden(supervised=True, directory=tmp_path)
    with pytest.raises(ConfigError, match="needs somebody to ask"):
        run_loop(run_repair(config, None, ScriptedScorer(), lambda _: None))
    assert not any(tmp_path.iterdir())
