"""Taking up after a run that broke off: withdraw, approach, look; nothing is sent twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.config import RepairSettings
from agent.journal import FILE, Journal
from agent.journal.past import Standing, read_past, runs
from agent.journal.storage import hold
from agent.record import Intent, Kind, encode_intent
from agent.recovery import Found, look_back
from agent.repair import repair
from agent.result import Progress, RepairResult
from drivers.actions import Approach, Indentation, MoveTo
from drivers.envelope import Limits
from drivers.errors import CommandFailed, FileError
from drivers.outcome import Outcome
from policies.episode import Declare
from policies.legal import approach
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe
from tests.agent.test_cli import Tipsmith, tipsmith  # noqa: F401 - a fixture

HERE, THERE = "scripted:here", "scripted:there"
INTENT = Intent(DIP, 1e-9, 2e-9, "because", own=True)
OUTCOME = Outcome(1.0, 2.0)
GOOD = {"outcome": "good", "confirmed_on": 5, "reason": "good"}


def leave(directory: Path, name: str, *, microscope: str = HERE, end: dict | None = None) -> Path:
    """A run whose process has ended in the middle of an indentation, or as ``end`` says."""
    with Journal.create(directory, {"microscope": microscope}, name) as journal:
        journal.note(Kind.STARTED, 0.0, {})
        entry = journal.intend(INTENT, 1.0)
        if end is not None:
            journal.done(entry, OUTCOME)
            journal.note(Kind.DECLARED if "outcome" in end else Kind.ERROR, 2.0, end)
    return directory / name / FILE


def stopped(*, withdrawn: bool) -> dict:
    return {"reason": "the link broke", "withdrawn": withdrawn}


async def take_up(
    directory: Path,
    settings: RepairSettings,
    microscope: ScriptedMicroscope,
    name: str = "next",
    limits: Limits | None = None,
) -> tuple[RepairResult, list[Progress], Path]:
    found, seen = look_back(directory, HERE), []
    with Journal.create(directory, {"microscope": HERE}, name) as journal:
        result = await repair(
            microscope.enveloped(limits),
            ScriptedScorer(),
            Always(DIP),
            settings,
            scribe(journal),
            seen.append,
            found=found,
        )
    return result, seen, journal.path


async def test_the_tip_is_withdrawn_approached_and_looked_at(
    tmp_path: Path, settings: RepairSettings
):
    leave(tmp_path, "a")
    microscope = ScriptedMicroscope([0.95])
    result, seen, path = await take_up(tmp_path, settings, microscope)
    assert result.outcome == "good"
    assert microscope.calls[0] == "withdraw"
    assert isinstance(microscope.calls[1], Approach)
    assert set(microscope.calls[2:]) == {"scan"}
    with Journal.open(path) as journal:
        started, found, withdrawn, intent, outcome, look = journal.records()[:6]
    kinds = [one.kind for one in (started, found, withdrawn, intent, outcome, look)]
    assert kinds == [
        Kind.STARTED, Kind.FOUND, Kind.WITHDRAWN, Kind.INTENT, Kind.OUTCOME, Kind.LOOK_STARTED,
    ]  # fmt: skip
    assert found.payload == {
        "run": "a",
        "standing": "broken off",
        "entries": 2,
        "in_contact": True,
        "intent": encode_intent(INTENT),
    }
    assert intent.payload["own"] is False
    (note,) = {one.note for one in seen} - {None}
    assert note == (
        "the run a before this one is broken off; the outcome of its last action (indentation) is "
        "unknown; the tip is withdrawn and approached again; it is looked at before anything "
        "else, and nothing is repeated"
    )


async def test_the_tip_is_approached_within_narrow_limits(tmp_path: Path, settings: RepairSettings):
    leave(tmp_path, "a")
    microscope = ScriptedMicroscope([0.95])
    limits = Limits().narrowed(max_approach_steps=200, max_approach_s=300)
    result, _, _ = await take_up(tmp_path, settings, microscope, limits=limits)
    assert result.outcome == "good"
    assert microscope.performed == [approach(settings.at, limits)]


async def test_nothing_is_acted_on_before_the_look(tmp_path: Path, settings: RepairSettings):
    leave(tmp_path, "a")
    microscope = ScriptedMicroscope([0.1, 0.95])
    await take_up(tmp_path, settings, microscope)
    kinds = [one if isinstance(one, str) else type(one) for one in microscope.calls]
    assert kinds[:5] == ["withdraw", Approach, "scan", MoveTo, Indentation]


async def test_what_was_found_is_found_again_until_it_was_looked_at(
    tmp_path: Path, settings: RepairSettings
):
    leave(tmp_path, "a")
    failing = ScriptedMicroscope([0.95], fail_action=(0, CommandFailed("no motor")))
    result, _, path = await take_up(tmp_path, settings, failing, "b")
    assert (result.outcome, result.reason) == ("stopped", "no motor")
    past = read_past(path)
    assert (past.standing, past.withdrawn) == (Standing.STOPPED, True)
    # Of the approach nothing is known either; it is the last that was sent.
    assert isinstance(past.unknown.action, Approach)
    microscope = ScriptedMicroscope([0.95])
    _, _, path = await take_up(tmp_path, settings, microscope, "c")
    # The operator has approached: a tip that was left withdrawn is not withdrawn again.
    assert set(microscope.calls) == {"scan"}
    assert read_past(path).unknown is None
    assert look_back(tmp_path, HERE) is None


def test_an_action_found_but_not_yet_looked_at_stays_unknown(tmp_path: Path):
    payload = {
        "run": "z", "standing": "broken off", "entries": 2, "in_contact": True,
        "intent": encode_intent(INTENT),
    }  # fmt: skip
    with Journal.create(tmp_path, {"microscope": HERE}, "a") as journal:
        journal.note(Kind.STARTED, 0.0, {})
        journal.note(Kind.FOUND, 0.0, payload)
    assert look_back(tmp_path, HERE) == Found("a", Standing.BROKEN_OFF, 2, True, INTENT)


@pytest.mark.parametrize(
    ("end", "in_contact"),
    [
        (GOOD, None),
        (GOOD | {"outcome": "gave_up"}, None),
        (stopped(withdrawn=True), None),
        (stopped(withdrawn=False), True),
    ],
)
def test_how_the_run_before_was_left(tmp_path: Path, end: dict, in_contact: bool | None):
    leave(tmp_path, "a", end=end)
    found = look_back(tmp_path, HERE)
    assert (found and found.in_contact) == in_contact


def test_only_the_latest_run_on_the_same_microscope_counts(tmp_path: Path):
    assert look_back(tmp_path / "none", HERE) is None
    leave(tmp_path, "a")
    leave(tmp_path, "b", microscope=THERE)
    assert look_back(tmp_path, HERE).run == "a"
    leave(tmp_path, "c", end=GOOD)
    assert look_back(tmp_path, HERE) is None
    assert look_back(tmp_path, THERE).run == "b"


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("nanonis://h", "nanonis://h:6501?bias_sign=1", True),
        ("nanonis://h:6501", "nanonis://h:6501?z_retract=Z-", True),
        ("nanonis://h:6501", "nanonis://h:7501", False),
        ("nanonis://h", "nanonis://g", False),
        ("sim:au111", "sim:cu111", False),
    ],
)
def test_an_instrument_is_known_however_its_address_is_written(
    tmp_path: Path, before: str, now: str, same: bool
):
    leave(tmp_path, "a", microscope=before)
    assert (look_back(tmp_path, now) is not None) == same


def test_no_run_hides_behind_one_that_began_in_a_wrong_future(tmp_path: Path):
    leave(tmp_path, "29991231T235959999Z-abcdef", end=GOOD)
    names = []
    for _ in range(2):
        with Journal.create(tmp_path, {"microscope": HERE}) as journal:
            journal.intend(INTENT, 0.0)
        names.append(journal.path.parent.name)
        assert look_back(tmp_path, HERE).run == names[-1]
    assert [name[:20] for name in names] == ["30000101T000000000Z-", "30000101T000000001Z-"]


@pytest.mark.parametrize("payload", [{"action": {"kind": "unheard of"}}, {}, []])
def test_an_entry_that_is_not_understood_makes_a_run_unreadable(tmp_path: Path, payload: dict):
    leave(tmp_path, "a", end=GOOD)
    with Journal.create(tmp_path, {"microscope": HERE}, "b") as journal:
        journal.note(Kind.INTENT, 0.0, payload)
    past = read_past(tmp_path / "b" / FILE)
    assert past.standing is Standing.UNREADABLE
    assert "is not understood" in past.reason
    assert look_back(tmp_path, HERE).run == "b"


def test_a_run_that_did_nothing_hides_none_that_did(tmp_path: Path):
    leave(tmp_path, "a")
    with Journal.create(tmp_path, {"microscope": HERE}, "b") as journal:
        journal.note(Kind.STARTED, 0.0, {})
    assert look_back(tmp_path, HERE).run == "a"


def test_no_more_is_said_than_was_found():
    assert Found("a", Standing.STOPPED, 4, True, None).sentence == (
        "the run a before this one is stopped; the tip is withdrawn and approached again; "
        "it is looked at before anything else, and nothing is repeated"
    )
    told = Found("a", Standing.STOPPED, 4, False, INTENT).sentence
    assert "withdrawn" not in told


def test_a_run_that_is_alive_is_left_alone(tmp_path: Path):
    leave(tmp_path, "a", end=GOOD)
    with Journal.create(tmp_path, {"microscope": HERE}, "b") as journal:
        journal.intend(INTENT, 0.0)
        assert look_back(tmp_path, HERE) is None
        assert read_past(journal.path).standing is Standing.RUNNING
    assert look_back(tmp_path, HERE).run == "b"


def test_a_run_that_cannot_be_read_may_have_left_anything(tmp_path: Path):
    leave(tmp_path, "a", end=GOOD)
    path = leave(tmp_path, "b")
    path.write_text("no journal at all, and rather long for an empty database")
    found = look_back(tmp_path, HERE)
    assert (found.run, found.standing, found.in_contact) == ("b", Standing.UNREADABLE, True)
    assert "not a database" in runs(tmp_path)[0].reason


def test_a_run_killed_in_its_first_scan_is_found(tmp_path: Path):
    with Journal.create(tmp_path, {"microscope": HERE}, "a") as journal:
        journal.note(Kind.STARTED, 0.0, {})
        journal.note(Kind.LOOK_STARTED, 0.0, {})
    assert look_back(tmp_path, HERE) == Found("a", Standing.BROKEN_OFF, 2, True, None)


def test_a_run_that_is_just_being_made_is_alive(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / FILE).write_text("")
    lock = hold(tmp_path / "a")
    assert read_past(tmp_path / "a" / FILE).standing is Standing.RUNNING
    lock.release()
    assert read_past(tmp_path / "a" / FILE).standing is Standing.UNREADABLE


def test_a_run_without_its_lock_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = leave(tmp_path, "a")
    for lock in path.parent.glob("*.lock"):
        lock.unlink()
    assert read_past(path).standing is Standing.BROKEN_OFF
    (path.parent / "journal.lock").mkdir()
    assert read_past(path).standing is Standing.BROKEN_OFF


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def denied(folder: Path, pattern: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", denied)
    with pytest.raises(FileError, match="cannot be read: Permission denied"):
        runs(tmp_path)


def test_runs_are_listed_the_latest_first(tmp_path: Path):
    leave(tmp_path, "a", end=GOOD)
    leave(tmp_path, "b", end=GOOD | {"outcome": "gave_up", "reason": "enough"})
    leave(tmp_path, "c", end=stopped(withdrawn=False))
    leave(tmp_path, "d")
    with Journal.create(tmp_path, {}, "e"):
        pass
    listed = [(one.name, one.standing, one.entries, one.reason) for one in runs(tmp_path)]
    assert listed == [
        ("e", Standing.BROKEN_OFF, 0, ""),
        ("d", Standing.BROKEN_OFF, 2, ""),
        ("c", Standing.STOPPED, 4, "the link broke"),
        ("b", Standing.GAVE_UP, 4, "enough"),
        ("a", Standing.GOOD, 4, "good"),
    ]
    shutil.rmtree(tmp_path / "e")
    assert len(runs(tmp_path)) == 4


def test_the_operator_is_told_what_was_found(tipsmith: Tipsmith, tmp_path: Path):  # noqa: F811
    leave(tmp_path / "runs", "20200101T000000Z", microscope="scripted:good")
    ran = tipsmith("repair", "--microscope", "scripted:good")
    assert ran.code == 0
    assert "before this one is broken off; the outcome of its last action" in ran.err
    assert "is broken off" not in tipsmith("repair", "--microscope", "scripted:good").err


def test_a_declaration_reads_back_as_it_was_made():
    assert set(GOOD) == set(Declare.__slots__)
