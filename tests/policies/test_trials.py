"""Trials are paired and deterministic, and a benchmark that was killed goes on where it was."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from drivers import CoarseMove, Frame, Limits
from drivers.benchmark import BenchOptions, Report, Row
from drivers.errors import ConfigError, FileError
from drivers.scan import ScanLine
from policies.acceptance import FreshSpots
from policies.bench import policies as bench
from policies.conditioner.learned import shipped_brain
from policies.conditioner.rules.closed_loop import ClosedLoopSettings
from policies.history import Acted, History
from policies.plan import RepairPlan
from policies.proposal import Proposal
from policies.report import TipReport, TipState
from policies.scorer import Scorer
from policies.scorer.lines import Setting
from policies.trials import contest, crew, entrants, eye, store
from policies.trials.contest import hold
from policies.trials.course import RANDOMISED, SHIFTED, Course, hidden_parameters
from policies.trials.crew import Block, blocks, carry_out
from policies.trials.entrants import INFORMED, LEARNED, Entering, enter, names
from policies.trials.record import Record
from policies.trials.store import Store, fingerprint
from policies.trials.trial import Question, Trial
from policies.trials.tuning import actions_to_good, closed_loops, ladders, singles
from tests.policies.untaught import untaught_deepspm, untaught_scorer

PLAN = RepairPlan(confirm_spots=2, most_spots=3, max_actions=4)
COURSE = Course(pixels=32, plan=PLAN)
BAD = TipReport(0.02, dict.fromkeys(TipState, 0.5), 32)


def follow(
    entrant: str,
    number: int,
    quality: float = 0.02,
    actions: int = PLAN.max_actions,
    entering: Entering = enter,
) -> tuple[Trial, Record]:
    """Run a trial whose scorer always says the same."""
    plan = PLAN.model_copy(update={"max_actions": actions})
    trial = Trial(COURSE.model_copy(update={"plan": plan}), entrant, number, 0.01, entering)
    run = trial.run()
    try:
        next(run)
        while True:
            run.send(replace(BAD, quality=quality))
    except StopIteration as end:
        return trial, end.value


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return untaught_scorer(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def _untaught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = untaught_deepspm(tmp_path)
    monkeypatch.setattr(entrants, "shipped_deepspm", lambda: trained)


def test_all_meet_the_same_worlds_tips_and_luck() -> None:
    worlds = [COURSE.open_world(7) for _ in range(2)]
    assert worlds[0].tip == worlds[1].tip
    assert worlds[0].latents == worlds[1].latents
    assert COURSE.open_world(8).latents != worlds[0].latents
    scans = [next(Trial(COURSE, entrant, 7, 0.01).run()).scan for entrant in ("Diao", "MAST")]
    assert np.array_equal(scans[0].forward[:10], scans[1].forward[:10])


def test_the_same_action_does_the_same_whatever_was_looked_at_before() -> None:
    changed = 0
    for number in range(1, 6):
        ours, _ = follow("Diao", number, quality=0.001, actions=1)
        theirs, _ = follow("Diao, as published", number, quality=0.001, actions=1)
        one, other = ours._world, theirs._world
        assert one.time_s != other.time_s
        assert one.tip.apexes == other.tip.apexes
        assert one.tip.radius_nm == other.tip.radius_nm
        changed += one.tip.apexes != COURSE.open_world(number).tip.apexes
    assert changed


@pytest.mark.parametrize("entrant", names())
def test_every_entrant_plays_to_the_end_and_again_alike(entrant: str) -> None:
    trial, record = follow(entrant, 3)
    assert record == follow(entrant, 3)[1]
    assert record.number == 3
    assert record.outcome in ("good", "gave_up")
    assert record.actions == sum(isinstance(event, Acted) for event in trial._history)
    assert record.actions <= PLAN.max_actions
    assert record.scans > 0
    assert record.other_s > 0
    assert record.seconds(60) == pytest.approx(record.scans * 60 + record.other_s)


def test_an_action_spoils_area_and_takes_its_time() -> None:
    _, record = follow("best single action", 3)
    assert record.actions == PLAN.max_actions
    # A disc of 3 nm plus three times the depth, each time.
    assert record.area_nm2 == pytest.approx(4 * np.pi / 4 * (3 + 3 * 1.4) ** 2)
    assert 0.99 < record.area_left < 1


def test_the_way_back_from_a_coarse_move_fits_narrow_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Away:
        def propose(self, _: History) -> Proposal:
            return Proposal(CoarseMove(x_steps=20, y_steps=0, retract_steps=50), "away")

    narrow = Limits().narrowed(max_approach_steps=200, max_approach_s=300)
    monkeypatch.setattr(Course, "limits", lambda _: narrow)
    _, record = follow("away", 3, entering=lambda _, __: (Away(), FreshSpots(PLAN)))
    assert (record.outcome, record.actions) == ("gave_up", PLAN.max_actions)


def test_a_tip_called_good_by_a_mistaken_scorer_is_a_false_good() -> None:
    _, record = follow("closed loop", 3, quality=0.99)
    assert (record.outcome, record.actions, record.truly_good) == ("good", 0, False)
    assert not record.success
    assert not record.kept
    assert record.scans == PLAN.confirm_spots


def test_hopeless_scans_are_cut_short_with_our_eye_only() -> None:
    hopeless = 0.001
    _, ours = follow("Diao", 3, hopeless)
    _, theirs = follow("Diao, as published", 3, hopeless)
    assert ours.scans < theirs.scans
    assert theirs.scans == int(theirs.scans)


def test_the_informed_bound_never_calls_a_bad_tip_good_nor_touches_a_good_one() -> None:
    course = COURSE.model_copy(update={"plan": PLAN.model_copy(update={"max_actions": 60})})
    for number in range(4):
        run = Trial(course, INFORMED, number, stop=0.01).run()
        try:
            next(run)
            while True:
                run.send(BAD)
        except StopIteration as end:
            record = end.value
        assert record.outcome != "good" or record.truly_good
        assert record.spoiled_good == 0
        assert record.success


def test_shifted_worlds_differ_in_one_hidden_parameter_only() -> None:
    assert len(hidden_parameters("au111")) >= 6
    plain = COURSE.open_world(5).preset.hidden
    for name in hidden_parameters("au111"):
        shifted = COURSE.model_copy(update={"worlds": SHIFTED + name}).open_world(5).preset.hidden
        changed = [key for key, value in shifted if value != getattr(plain, key)]
        assert changed == [name]
    with pytest.raises(ConfigError, match="no hidden parameter 'colour'"):
        COURSE.model_copy(update={"worlds": SHIFTED + "colour"}).open_world(5)


def test_lines_read_at_once_say_what_they_say_one_by_one(scorer: Scorer) -> None:
    frame = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
    settings, world = COURSE.scan(frame), COURSE.open_world(2)
    world.reseed(0)
    scans = [world.scan(settings, lines) for lines in (12, 20)]
    together = eye.read_lines(scorer, scans)
    for scan, report in zip(scans, together, strict=True):
        stream = scorer.stream(Setting.of(scan))
        for row in range(scan.lines_done):
            line = ScanLine(row, row, scan.forward[row], scan.backward[row], 0.0)
            last = stream.read(line)
        assert last is not None
        assert report.lines == last.lines
        assert report.quality == pytest.approx(last.quality, abs=1e-5)


def test_questions_are_answered_in_their_order(scorer: Scorer) -> None:
    frame = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
    scans = [COURSE.open_world(n).scan(COURSE.scan(frame)) for n in (1, 2)]
    asked = [Question(scan, by_lines) for scan in scans for by_lines in (True, False)]
    answers = eye.answer(scorer, asked)
    whole = scorer.judge_all(scans)
    assert [answers[1].quality, answers[3].quality] == pytest.approx(
        [one.quality for one in whole], abs=1e-6
    )
    assert answers[0].quality != answers[1].quality


def test_blocks_hold_every_episode_once() -> None:
    wanted = blocks(["a", "b"], RANDOMISED, 100, crew.BLOCK + 3)
    numbers = [(b.entrant, n) for b in wanted for n in range(b.first, b.first + b.count)]
    assert len(numbers) == len(set(numbers)) == 2 * (crew.BLOCK + 3)


@pytest.fixture
def counted(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    """The blocks that are really carried out, with an untaught scorer."""
    done: list[Block] = []

    def counting(course: Course, block: Block) -> list[Record]:
        done.append(block)
        return carry_out(course, block, scorer)

    monkeypatch.setattr(contest, "_errand", counting)
    return done


SHORT = COURSE.model_copy(update={"plan": PLAN.model_copy(update={"max_actions": 1})})
WANTED = [Block(entrant, RANDOMISED, 10, 1) for entrant in ("Diao", INFORMED)]


def test_a_killed_benchmark_goes_on_and_finds_the_same(
    counted: list[Block], tmp_path: Path
) -> None:
    whole = hold(SHORT, WANTED, Store(tmp_path / "whole.jsonl"), workers=0)
    assert counted == WANTED
    path = tmp_path / "killed.jsonl"
    hold(SHORT, WANTED[:1], Store(path), workers=0)
    # Killed in the middle of the next line.
    with path.open("ab") as file:
        file.write(b'{"block": {"entrant": "inf')
    counted.clear()
    assert hold(SHORT, WANTED, Store(path), workers=0) == whole
    assert counted == WANTED[1:]
    counted.clear()
    assert hold(SHORT, WANTED, Store(path), workers=0) == whole
    assert counted == []


def test_results_of_an_entrant_that_has_learned_anew_are_not_taken(
    counted: list[Block], tmp_path: Path
) -> None:
    before, after = (replace(WANTED[0], learned=weights) for weights in ("old", "new"))
    path = tmp_path / "results.jsonl"
    hold(SHORT, [before], Store(path), workers=0)
    hold(SHORT, [after], Store(path), workers=0)
    hold(SHORT, [before, after], Store(path), workers=0)
    assert counted == [before, after]


def test_blocks_name_what_their_entrant_has_learned() -> None:
    rule, learned = blocks(["Diao", LEARNED], RANDOMISED, 100, 1)
    assert (rule.learned, learned.learned) == ("", shipped_brain().manifest.sha256)


@pytest.mark.timeout(300)
def test_other_processes_find_the_same(tmp_path: Path) -> None:
    wanted = [Block("Diao, as published", RANDOMISED, 10, 1)]
    apart = hold(SHORT, wanted, Store(tmp_path / "apart.jsonl"), workers=1)
    assert apart == hold(SHORT, wanted, Store(tmp_path / "here.jsonl"), workers=0)


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be used"):
        Store(tmp_path / "file" / "results.jsonl")


def test_code_is_that_which_carries_a_block_out() -> None:
    code = store._sources(store.CREW)
    decides = {"drivers.envelope", "sim.tips.pulsing", "policies.conditioner.rules.mast", "sim"}
    assert decides <= set(code)
    assert not any(name.startswith(("drivers.nanonis", "policies.training")) for name in code)
    assert all(code.values())


def test_results_of_other_code_weights_or_courses_are_not_taken(scorer: Scorer) -> None:
    name = fingerprint(SHORT, scorer)
    assert name == fingerprint(SHORT, scorer)
    assert name != fingerprint(COURSE, scorer)
    manifest = scorer.manifest.model_copy(update={"sha256": "other"})
    assert name != fingerprint(SHORT, Scorer(scorer.network, scorer._familiarity, manifest))


def test_the_benchmark_reports_every_entrant_and_draws_it(
    counted: list[Block], scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "WORKERS", 0)
    monkeypatch.setattr(bench, "QUICK_PIXELS", 32)
    monkeypatch.setattr(bench, "QUICK_ACTIONS", 1)
    monkeypatch.setattr(bench, "QUICK_ENTRANTS", (LEARNED, "closed loop", INFORMED))
    monkeypatch.setattr(Scorer, "load", lambda: scorer)
    told: list[float] = []
    options = BenchOptions(
        quick=True,
        plot=tmp_path / "plots",
        episodes=1,
        cache=tmp_path / "cache",
        progress=lambda done, _text: told.append(done),
    )
    report = bench.run(options)
    entrants = {row.name.partition(":")[0] for row in report.rows}
    assert set(bench.QUICK_ENTRANTS) <= entrants
    assert any("one decision" in row.name and row.value for row in report.rows)
    assert [len(grid.lines) for grid in report.grids] == [3, 3]
    assert (tmp_path / "plots" / "policies.png").stat().st_size > 10_000
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert "Infinity" not in report.to_json()
    assert "NaN" not in report.to_json()
    counted.clear()
    again = bench.run(options)
    assert _untimed(again) == _untimed(report)
    assert counted == []


def _untimed(report: Report) -> list[Row]:
    return [row for row in report.rows if row.unit != "ms"]


@pytest.mark.parametrize("family", [singles, ladders, closed_loops])
def test_tuning_counts_actions_until_the_tip_is_truly_good(family: object) -> None:
    first = next(iter(family(np.random.default_rng(1))))
    course = COURSE.model_copy(update={"plan": PLAN.model_copy(update={"max_actions": 80})})
    counts = [actions_to_good(course, first, number) for number in range(4)]
    assert counts == [actions_to_good(course, first, number) for number in range(4)]
    assert all(1 <= count <= 80 for count in counts)
    assert min(counts) < 80


def test_tuning_tries_the_present_numbers_first_and_the_same_others_every_time() -> None:
    drawn = [
        [one.numbers for one in islice(closed_loops(np.random.default_rng(3)), 4)] for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0][0] == ClosedLoopSettings().model_dump()
