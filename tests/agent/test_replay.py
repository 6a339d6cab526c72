"""Replay: every decision again from the journal; the same, or the first that differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import Config, PolicySettings, RepairSettings
from agent.journal import FILE, Journal
from agent.journal.replay import Replay, replay
from agent.loop import run as run_loop
from agent.policy import make_policy
from agent.record import Kind, Record
from agent.session import run_repair
from drivers.errors import FileError
from policies.conditioner.rules.escalation import EscalationSettings
from policies.proposal import Policy
from tests.agent.scripted import ScriptedScorer
from tests.agent.test_cli import Tipsmith, repair, tipsmith  # noqa: F401 - a fixture

Edit = Callable[[Record], Record]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a repair on the simulator that ran out of actions."""
    settings = RepairSettings(pixels=16, lines=24, max_actions=4)
    rule = PolicySettings(name="escalation")
    config = Config(repair=settings, policy=rule).overridden(
        directory=tmp_path_factory.mktemp("runs")
    )
    # The scripted scorer takes heights in metres for qualities: to it every tip is bad.
    result = run_loop(run_repair(config, 3, ScriptedScorer(), lambda _: None))
    assert (result.outcome, result.actions) == ("gave_up", 4)
    return Path(result.journal)


def edited(path: Path, to: Path, edit: Edit, about: dict[str, object] | None = None) -> Replay:
    """The replay of a journal that is like the one at ``path``, its entries edited."""
    with Journal.open(path) as old, Journal.create(to, old.about() | (about or {}), "e") as new:
        for record in map(edit, old.records()):
            new._append(
                record.kind, record.instrument_s, record.payload, record.intent, record.trace
            )
        return replay(new)


def same(record: Record) -> Record:
    return record


def test_a_run_is_decided_again_alike(ran: Path):
    with Journal.open(ran) as journal:
        again = replay(journal)
        kinds = [one.kind for one in journal.records()]
        own = sum(bool(one.payload.get("own")) for one in journal.records())
    assert again.difference is None
    assert again.decisions == kinds.count(Kind.LOOK_STARTED) + own + 1
    assert own == 4


def test_a_run_that_broke_off_anywhere_is_decided_alike(ran: Path, tmp_path: Path):
    with Journal.open(ran) as journal:
        count = len(journal.records())
    decided = []
    for last in range(1, count + 1):
        folder = tmp_path / str(last)

        def cut(record: Record, last: int = last) -> Record:
            return (
                record
                if record.sequence <= last
                else replace(record, kind=Kind.WITHDRAWN, intent=None)
            )

        again = edited(ran, folder, cut)
        assert again.difference is None
        decided.append(again.decisions)
    assert decided == sorted(decided)
    assert decided[0] == 0


def test_the_first_difference_is_named(ran: Path, tmp_path: Path):
    acts: list[int] = []

    def deeper(record: Record) -> Record:
        if record.kind is Kind.INTENT and record.payload["own"]:
            acts.append(record.sequence)
            action = record.payload["action"] | {"depth_m": 0.71e-9}
            return replace(record, payload=record.payload | {"action": action})
        return record

    again = edited(ran, tmp_path, deeper)
    assert again.difference.sequence == acts[0]
    assert again.difference.journaled["action"]["depth_m"] == 0.71e-9
    assert again.difference.replayed["action"]["depth_m"] == 0.7e-9


def test_another_report_makes_another_decision(ran: Path, tmp_path: Path):
    def better(record: Record) -> Record:
        if record.kind is Kind.LOOKED:
            report = record.payload["report"] | {"quality": 0.99}
            return replace(record, payload=record.payload | {"report": report})
        return record

    again = edited(ran, tmp_path, better)
    assert again.difference.replayed["step"] == "look"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Kind.LOOK_STARTED, {"whole": None}),
        (Kind.LOOK_STARTED, {"frame": {}}),
        (Kind.INTENT, {"x_m": 1.0}),
        (Kind.INTENT, {"y_m": 1.0}),
        (Kind.DECLARED, {"outcome": "good"}),
        (Kind.DECLARED, {"confirmed_on": 9}),
    ],
)
def test_whatever_was_done_counts(ran: Path, tmp_path: Path, kind: Kind, change: dict):
    def changed(record: Record) -> Record:
        if record.kind is kind and record.payload.get("own", True):
            return replace(record, payload=record.payload | change)
        return record

    assert edited(ran, tmp_path, changed).difference is not None


def test_words_do_not_count(ran: Path, tmp_path: Path):
    def reworded(record: Record) -> Record:
        if "reason" in record.payload:
            return replace(record, payload=record.payload | {"reason": "put differently"})
        return record

    assert edited(ran, tmp_path, reworded).difference is None


def test_the_limits_of_the_run_decide(ran: Path, tmp_path: Path):
    policy = {"name": "escalation", "limits": {"max_depth_nm": 0.5}}
    again = edited(ran, tmp_path, same, {"policy": policy})
    first = EscalationSettings().first_depth_nm
    assert first > again.difference.replayed["action"]["depth_m"] / 1e-9 == pytest.approx(0.5)


@pytest.mark.parametrize(("said", "coarse"), [({}, True), ({"coarse": False}, False)])
def test_whether_there_was_coarse_motion_decides(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict, coarse: bool
):
    told: list[bool] = []

    def made(*arguments: object, coarse: bool) -> Policy:
        told.append(coarse)
        return make_policy(*arguments, coarse=coarse)

    def older(record: Record) -> Record:
        if record.kind is not Kind.STARTED:
            return record
        payload = {name: record.payload[name] for name in ("range_m", "settings")}
        return replace(record, payload=payload | said)

    with Journal.open(ran) as journal:
        assert journal.records()[0].payload["coarse"] is True
    monkeypatch.setattr("agent.journal.replay.make_policy", made)
    assert edited(ran, tmp_path, older).difference is None
    assert told == [coarse]


def test_what_cannot_be_replayed_is_told(ran: Path, tmp_path: Path):
    def lost(record: Record) -> Record:
        return replace(record, kind=Kind.WITHDRAWN) if record.kind is Kind.STARTED else record

    with pytest.raises(FileError, match="comes before what it rests on"):
        edited(ran, tmp_path / "1", lost)
    with pytest.raises(FileError, match="has no policy 'dice'"):
        edited(ran, tmp_path / "2", same, {"policy": {"name": "dice", "limits": {}}})
    other = {"name": "learned", "weights": "of another version", "limits": {}}
    with pytest.raises(FileError, match="'learned' policy has learned something else"):
        edited(ran, tmp_path / "other", same, {"policy": other})

    def odd(record: Record) -> Record:
        settings = {"settings": {"pixel": 16}}
        change = settings if record.kind is Kind.STARTED else {}
        return replace(record, payload=record.payload | change)

    with pytest.raises(FileError, match="settings are not those of this version"):
        edited(ran, tmp_path / "3", odd)
    with Journal.create(tmp_path, {}, "4") as journal:
        journal.note(Kind.STARTED, 0.0, {"range_m": [1e-6, 1e-6], "settings": {}})
        with pytest.raises(FileError, match="does not say which policy decided"):
            replay(journal)


def test_the_command_says_which(tipsmith: Tipsmith, ran: Path, tmp_path: Path):  # noqa: F811
    told = tipsmith("replay", str(ran.parent))
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("all ")
    told = tipsmith("replay", ran.parent.name, "--journal", str(ran.parents[1]), "--json")
    assert json.loads(told.out)["same"] is True
    policy = {"name": "escalation", "limits": {"max_depth_nm": 0.5}}
    edited(ran, tmp_path, same, {"policy": policy})
    told = tipsmith("replay", str(tmp_path / "e" / FILE))
    assert told.code == 1
    assert "is not:\n  then: {" in told.out
    told = tipsmith("replay", "e", "--journal", ".", "--json")
    answer = json.loads(told.out)
    assert (told.code, answer["same"], answer["difference"]["sequence"]) == (1, False, 6)
    told = tipsmith("replay", "none")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("tipsmith: no run 'none'; expected the folder of a run")


def test_a_repair_of_the_command_line_is_replayed(tipsmith: Tipsmith):  # noqa: F811
    made = Path(json.loads(repair(tipsmith, "good", "--json").out)["journal"])
    assert tipsmith("replay", made.parent.name).code == 0
