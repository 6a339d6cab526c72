"""The repair on a scripted microscope: every way it can go and end."""

from __future__ import annotations

import numpy as np
import pytest

from agent.config import RepairSettings
from agent.journal import Journal, history
from agent.phases import Phase
from agent.record import Kind, Record, decode_intent
from agent.result import Progress
from drivers.actions import Approach, CoarseMove, Indentation, MoveTo, Pulse, Wait
from drivers.envelope import Limits
from drivers.errors import ConfigError, UserError
from drivers.outcome import Trace
from drivers.scan import Frame
from policies.episode import Act, Declare, Look, Step, next_step
from policies.legal import approach
from policies.plan import RepairPlan
from tests.agent.conftest import Start
from tests.agent.scripted import AT, DIP, Always, ScriptedMicroscope, ScriptedScorer


def kinds(journal: Journal) -> list[Kind]:
    return [record.kind for record in journal.records()]


async def test_a_bad_tip_is_repaired(start: Start, journal: Journal, seen: list[Progress]):
    microscope = ScriptedMicroscope([0.1, 0.9])
    result = await start(microscope)
    assert (result.outcome, result.exit_code) == ("good", 0)
    assert (result.confirmed_on, result.actions) == (3, 1)
    assert result.true_state == {"good": True}
    assert result.journal == str(journal.path)
    move, dip = microscope.performed
    assert isinstance(move, MoveTo)
    assert dip == DIP
    assert "withdraw" not in microscope.calls
    assert seen[-1].result == result
    assert seen[-1].phase is Phase.ENDED


async def test_time_is_the_instruments(start: Start, settings: RepairSettings):
    result = await start(ScriptedMicroscope([0.9]))
    assert result.instrument_s == pytest.approx(3 * settings.lines * 0.25)
    assert 0 <= result.overhead_s <= result.wall_s < 10


async def test_every_frame_is_fresh(start: Start, journal: Journal):
    await start(ScriptedMicroscope([0.1]))
    frames = [event.frame for event in history(journal) if hasattr(event, "frame")]
    assert len(set(frames)) == len(frames) == 4


async def test_the_plan_gives_up(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1])
    result = await start(microscope)
    assert (result.outcome, result.exit_code, result.actions) == ("gave_up", 1, 3)
    assert result.reason == "not good after 3 actions"
    assert kinds(journal)[-1] is Kind.DECLARED
    assert "withdraw" not in microscope.calls


async def test_the_policy_gives_up(start: Start):
    result = await start(ScriptedMicroscope([0.1]), Always(None))
    assert (result.outcome, result.reason, result.actions) == ("gave_up", "always the same", 0)


async def test_a_hopeless_scan_is_cut_short(start: Start, settings: RepairSettings):
    microscope = ScriptedMicroscope([0.01, 0.9])
    scorer = ScriptedScorer()
    await start(microscope, scorer=scorer)
    # A third of 24 lines.
    assert microscope.lines == [8, settings.lines, settings.lines, settings.lines]
    assert scorer.judged == 4


async def test_a_confirming_scan_is_never_cut_short(start: Start, settings: RepairSettings):
    microscope = ScriptedMicroscope([0.9, 0.0, 0.9])
    await start(microscope)
    assert microscope.lines[1] == settings.lines


async def test_it_can_be_told_never_to_cut_short(start: Start, settings: RepairSettings):
    microscope = ScriptedMicroscope([0.0, 0.9])
    patient = settings.model_copy(update={"stop_early": False})
    await start(microscope, settings=patient)
    assert set(microscope.lines) == {settings.lines}


@pytest.mark.parametrize(
    ("action", "kinds_of_action"),
    [
        (DIP, [MoveTo, Indentation]),
        (Pulse(at=AT, bias_v=4.0, width_s=0.1), [MoveTo, Pulse]),
        (Wait(seconds=60), [Wait]),
        (CoarseMove(x_steps=5, y_steps=0, retract_steps=50), [CoarseMove, Approach]),
    ],
)
async def test_the_way_there_and_back_belongs_to_the_action(
    start: Start, journal: Journal, action: object, kinds_of_action: list[type]
):
    microscope = ScriptedMicroscope([0.1, 0.9])
    result = await start(microscope, Always(action))
    assert [type(done) for done in microscope.performed] == kinds_of_action
    assert result.actions == 1
    own = [record.payload["own"] for record in journal.records() if record.kind is Kind.INTENT]
    assert own.count(True) == 1


@pytest.mark.parametrize("limits", [{}, {"max_approach_steps": 200, "max_approach_s": 300}])
async def test_the_way_back_fits_the_limits(start: Start, limits: dict[str, float]):
    microscope = ScriptedMicroscope([0.1, 0.9])
    move = CoarseMove(x_steps=5, y_steps=0, retract_steps=100)
    narrow = Limits().narrowed(**limits)
    result = await start(microscope, Always(move), limits=narrow)
    assert result.outcome == "good"
    assert microscope.performed == [move, approach(AT, narrow)]


async def test_no_coarse_move_goes_where_no_approach_comes_back(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1, 0.9])
    move = CoarseMove(x_steps=5, y_steps=0, retract_steps=150)
    narrow = Limits().narrowed(max_approach_steps=200)
    result = await start(microscope, Always(move), limits=narrow)
    assert (result.outcome, result.actions, microscope.performed) == ("stopped", 0, [])
    assert "may make 200; retract by fewer steps" in result.reason
    assert journal.pending() is None


async def test_what_the_driver_knows_it_cannot_do_is_journaled_as_refused(
    start: Start, journal: Journal
):
    microscope = ScriptedMicroscope([0.1], fail_action=(0, ConfigError("which way is up?")))
    result = await start(microscope, Always(CoarseMove(x_steps=5, y_steps=0, retract_steps=50)))
    assert (result.outcome, result.exit_code, result.reason) == ("stopped", 2, "which way is up?")
    assert kinds(journal)[-3:] == [Kind.INTENT, Kind.REFUSED, Kind.ERROR]
    assert journal.pending() is None


async def test_every_intent_is_durable_before_its_effect(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1, 0.9])
    known: list[object] = []
    perform = microscope.perform

    async def checked(action: object) -> object:
        with Journal.open(journal.path) as reader:
            known.append(reader.pending().action == action)
        return await perform(action)

    microscope.perform = checked
    await start(microscope)
    assert known == [True, True]


async def test_progress_tells_of_running_scans(start: Start, seen: list[Progress]):
    await start(ScriptedMicroscope([0.1, 0.9]))
    assert {progress.lines for progress in seen} >= {0, 4, 8, 12, 16, 20}
    events = [progress.event for progress in seen if progress.event is not None]
    assert len(events) == 5
    assert {progress.phase for progress in seen} == {
        Phase.DECIDING,
        Phase.LOOKING,
        Phase.ACTING,
        Phase.ENDED,
    }


def journaled_step(record: Record) -> Step | None:
    payload = record.payload
    match record.kind:
        case Kind.LOOK_STARTED:
            return Look(Frame(**payload["frame"]), payload["reason"], payload["whole"])
        case Kind.INTENT if payload["own"]:
            return decode_intent(record.payload)
        case Kind.DECLARED:
            return Declare(**payload)
    return None


def agree(step: Step, journaled: object) -> bool:
    if isinstance(step, Act):
        return (step.action, step.site.x_m, step.site.y_m, step.reason) == (
            journaled.action,
            journaled.x_m,
            journaled.y_m,
            journaled.reason,
        )
    return step == journaled


@pytest.mark.parametrize("qualities", [[0.1, 0.9], [0.1], [0.1, 0.6, 0.7], [1 / 3, 0.01, 0.9]])
async def test_the_journal_replays_to_the_same_steps(
    start: Start, journal: Journal, qualities: list[float]
):
    trace = Trace(np.arange(3.0), np.ones(3, np.float32), np.zeros(3, np.float32))
    result = await start(ScriptedMicroscope(qualities, trace=trace))
    events = history(journal)
    started = journal.records()[0].payload
    plan = RepairSettings.model_validate(started["settings"])
    range_m = tuple(started["range_m"])
    steps = [step for record in journal.records() if (step := journaled_step(record)) is not None]
    assert len(steps) == len(events) + 1
    assert isinstance(plan, RepairPlan)
    for count, journaled in enumerate(steps):
        assert agree(next_step(events[:count], plan, Always(DIP), range_m), journaled)
    assert steps[-1].reason == result.reason


async def test_a_used_journal_is_refused(start: Start):
    await start(ScriptedMicroscope([0.9]))
    microscope = ScriptedMicroscope([0.9])
    with pytest.raises(UserError, match="holds a run already"):
        await start(microscope)
    assert microscope.calls == []
