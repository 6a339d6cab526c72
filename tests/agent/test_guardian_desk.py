"""What others may ask of the guardian, what it is handed, and what it writes down."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import GuardianSettings
from agent.guardian.__main__ import main
from agent.guardian.core import Guardian
from agent.guardian.desk import Answer, Desk, decode_answer, encode_request
from agent.guardian.orders import Verdict, read_orders, read_timing
from agent.guardian.statefile import (
    READ_OR_WRITE,
    WRITE,
    Report,
    check_private,
    keep_torn,
    read_report,
    write_report,
)
from agent.guardian.states import GUARDING, State
from agent.guarding import guarded
from drivers.emergency import Emergency, Exchange, Framing, Reading
from drivers.errors import GuardianLost

TOKEN = "0123"  # noqa: S105 - no secret
EMERGENCY = Emergency(
    "here",
    6504,
    Framing(40, 32),
    (Exchange("stop", b"\0stop", b"st", bytes(8)),),
    (Exchange("z", b"z?", b"z", bytes(8), Reading(">f", ((1.0, float("inf")),))),),
)
HANDED = {"orders": asdict(EMERGENCY), "timing": GuardianSettings().timing}


class Instrument:
    """As much of one as a guardian needs."""

    name = "guardable STM"

    async def emergency(self) -> Emergency:
        return EMERGENCY


class Counter:
    """A desk, and somebody in front of it."""

    def __init__(self) -> None:
        self.guardian = Guardian()
        self.desk = Desk(self.guardian, TOKEN)
        self.agent = object()

    def ask(self, question: str, *, visitor: object = None, **more: object) -> Answer:
        answer = self.say(question, visitor=visitor, **more)
        if answer is None:
            who, answer = self.desk.written(1.0, self.desk.handed, None)
            assert who is (visitor or self.agent)
        return decode_answer(answer)

    def say(self, question: str, *, visitor: object = None, **more: object) -> bytes | None:
        line = encode_request(question, TOKEN, **more)
        return self.desk.answer(1.0, line, visitor or self.agent)


def test_a_lease_is_armed_renewed_and_given_back():
    counter = Counter()
    assert counter.ask("arm", **HANDED).done
    assert counter.desk.handed == json.loads(json.dumps(HANDED, default=bytes.hex))
    assert counter.ask("renew") == counter.ask("state")
    assert counter.ask("disarm") == Answer(True, State.DISARMED, "the agent has ended in order")
    counter.desk.left(2.0, counter.agent)
    assert counter.guardian.state is State.DISARMED


def test_a_lease_lasts_from_one_renewal_to_the_next():
    counter = Counter()
    counter.ask("arm", **HANDED)
    renewal = encode_request("renew", TOKEN)
    for tick in range(1, 31):
        now = 1.0 + 0.1 * tick
        if tick % 4 == 0:
            assert decode_answer(counter.desk.answer(now, renewal, counter.agent)).done
        counter.guardian.tick(now)
        assert counter.guardian.state in GUARDING


def test_a_lease_that_is_written_down_is_to_be_renewed_from_then_on():
    counter = Counter()
    counter.ask("arm", **HANDED)
    for now in (1.2, 1.4):
        counter.guardian.tick(now)
        assert counter.guardian.state in GUARDING
    counter.guardian.tick(1.6)
    assert counter.guardian.state is State.TRIPPING


def test_nobody_is_told_that_a_lease_is_armed_before_it_is_written_down():
    counter = Counter()
    assert counter.desk.written(1.0, None, None) is None
    assert counter.say("arm", **HANDED) is None
    # What is written meanwhile of something else says nothing of it, and others are answered.
    assert counter.desk.written(1.0, None, None) is None
    assert counter.desk.written(1.0, dict(counter.desk.handed), "of another") is None
    assert counter.ask("state", visitor=object()).state is State.BLIND
    who, line = counter.desk.written(2.0, counter.desk.handed, None)
    answer = decode_answer(line)
    assert (who, answer.done, answer.state) == (counter.agent, True, State.BLIND)
    assert counter.desk.written(3.0, counter.desk.handed, "too late") is None
    assert counter.guardian.state is State.BLIND


def test_what_cannot_be_written_down_is_not_guarded():
    counter = Counter()
    counter.say("arm", **HANDED)
    _, line = counter.desk.written(2.0, counter.desk.handed, "no room")
    answer = decode_answer(line)
    assert (answer.done, answer.state) == (False, State.DISARMED)
    assert answer.reason.startswith("the state file cannot be written (no room), and a guardian")
    counter.desk.left(3.0, counter.agent)
    assert counter.guardian.state is State.DISARMED
    assert counter.ask("arm", visitor=object(), **HANDED).done


@pytest.mark.parametrize("problem", [None, "no room"])
def test_a_stop_does_not_wait_for_the_disk(problem: str | None):
    counter = Counter()
    counter.say("arm", **HANDED)
    assert counter.ask("trip", visitor=object(), reason="the operator's stop").done
    _, line = counter.desk.written(2.0, counter.desk.handed, problem)
    assert decode_answer(line) == Answer(False, State.TRIPPING, "the operator's stop")


def test_an_agent_that_leaves_with_the_lease_has_died():
    counter = Counter()
    counter.ask("arm", **HANDED)
    counter.desk.left(2.0, object())
    assert counter.guardian.state is State.BLIND
    counter.desk.left(2.0, counter.agent)
    assert (counter.guardian.state, counter.guardian.reason) == ("tripping", "the agent has died")


@pytest.mark.parametrize("question", ["arm", "renew", "disarm"])
def test_the_lease_belongs_to_one(question: str):
    counter = Counter()
    counter.ask("arm", **HANDED)
    assert not counter.ask(question, visitor=object(), **HANDED).done
    assert counter.guardian.state is State.BLIND


def test_an_agent_of_an_earlier_lease_has_no_say_in_a_later_one():
    counter, second = Counter(), object()
    counter.ask("arm", **HANDED)
    counter.ask("disarm")
    assert counter.ask("arm", visitor=second, **HANDED).done
    assert not counter.ask("renew").done
    assert not counter.ask("disarm").done
    counter.desk.left(1.0, counter.agent)
    assert counter.guardian.state is State.BLIND
    counter.desk.left(1.0, second)
    assert counter.guardian.state is State.TRIPPING


def test_anybody_with_the_token_may_stop_but_nobody_rearms_too_early():
    counter = Counter()
    assert not counter.ask("trip", reason="early").done
    counter.ask("arm", **HANDED)
    stopped = counter.ask("trip", visitor=object(), reason="the operator's stop")
    assert stopped == Answer(True, State.TRIPPING, "the operator's stop")
    assert not counter.ask("rearm").done
    assert not counter.ask("disarm").done
    assert counter.guardian.state is State.TRIPPING


def test_without_the_token_nothing_is_done():
    counter = Counter()
    line = encode_request("arm", "guessed", **HANDED)
    answer = decode_answer(counter.desk.answer(1.0, line, counter.agent))
    assert answer == Answer(False, State.DISARMED, "the token is wrong")
    assert not counter.ask("renew").done


words = st.sampled_from(["ask", "orders", "timing", "reason", "framing", "x"])
anything = st.recursive(
    st.none() | st.booleans() | st.text() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
)


@given(st.binary() | anything.map(lambda raw: json.dumps(raw).encode()))
def test_whatever_a_stranger_says_is_answered(line: bytes):
    counter = Counter()
    assert not decode_answer(counter.desk.answer(1.0, line, counter.agent)).done


@given(st.sampled_from(["arm", "renew", "trip", "x"]), st.dictionaries(words, anything))
def test_whatever_the_agent_says_is_answered_and_changes_nothing(
    question: str, more: dict[str, object]
):
    more.pop("ask", None)
    answer = Counter().ask(question, **more)
    assert (answer.done, answer.state) == (False, State.DISARMED)


def test_frames_survive_the_way():
    raw = json.loads(json.dumps(asdict(EMERGENCY), default=bytes.hex))
    orders = read_orders(raw)
    assert (orders.host, orders.port) == ("here", 6504)
    assert (orders.head_bytes, orders.size_offset) == (40, 32)
    assert [step.request for step in orders.steps] == [b"\0stop"]
    (check,) = orders.checks
    assert check.judge(bytes.fromhex("42c80000") + bytes(8)) is Verdict.GOOD
    assert check.judge(bytes(12)) is Verdict.NOT_YET
    assert check.judge(bytes(8)) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"checks": []},
        {"framing": {"head_bytes": 35, "size_offset": 32}},
        {"framing": {"head_bytes": 40, "size_offset": -1}},
        {"port": "x"},
        {"steps": [{"name": "stop"}]},
        {"checks": [{**asdict(EMERGENCY.checks[0]), "reading": {"format": ">ff", "good": []}}]},
        {"checks": [{**asdict(EMERGENCY.checks[0]), "reading": {"format": "?!", "good": []}}]},
    ],
)
def test_frames_that_cannot_work_are_refused(change: dict[str, object]):
    raw = json.loads(json.dumps(asdict(EMERGENCY) | change, default=bytes.hex))
    with pytest.raises(ValueError, match=r"frames|port|literal|reading"):
        read_orders(raw)


@pytest.mark.parametrize(("head_bytes", "size_offset"), [(36, 32), (4, 0)])
def test_the_size_may_stand_anywhere_in_the_head(head_bytes: int, size_offset: int):
    framing = {"head_bytes": head_bytes, "size_offset": size_offset}
    raw = json.loads(json.dumps(asdict(EMERGENCY) | {"framing": framing}, default=bytes.hex))
    orders = read_orders(raw)
    assert (orders.head_bytes, orders.size_offset) == (head_bytes, size_offset)


@pytest.mark.parametrize("times", [{}, GuardianSettings().timing | {"x_s": 1.0}])
def test_it_is_told_which_times_are_needed(times: dict[str, float]):
    needed = re.escape(str(sorted(GuardianSettings().timing)))
    with pytest.raises(ValueError, match=rf"^expected the times {needed}, got \["):
        read_timing(times)


@pytest.mark.parametrize("change", [{"watch_s": 0}, {"watch_s": float("inf")}, {"watch_s": []}])
def test_times_that_cannot_work_are_refused(change: dict[str, object]):
    with pytest.raises(ValueError, match="time"):
        read_timing(GuardianSettings().timing | change)


def test_a_report_is_written_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "very" / "deep" / "guardian.json"
    report = Report(State.WITHDRAWN, "why", "2026-01-01", 1, 2, TOKEN, {"orders": {}})
    assert read_report(path) is None
    for _ in range(2):
        write_report(path, report)
    assert read_report(path) == report
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert [found.name for found in path.parent.iterdir()] == ["guardian.json"]


def test_a_draft_that_was_left_by_a_crash_stops_no_report(tmp_path: Path):
    path = tmp_path / "guardian.json"
    path.with_name(f"guardian.json.{os.getpid()}").write_text("half a rep")
    report = Report(State.ARMED, "why", "2026-01-01", 1, 2, TOKEN, None)
    write_report(path, report)
    assert read_report(path) == report


def test_a_report_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    done: list[object] = []

    def fsync(handle: int) -> None:
        status = os.fstat(handle)
        done.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)

    def replace(draft: Path, path: Path) -> None:
        done.append("replaced")
        os.rename(draft, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    path = tmp_path / "guardian.json"
    write_report(path, Report(State.ARMED, "why", "2026-01-01", 1, 2, TOKEN, {"orders": {}}))
    assert done == [path.stat().st_size, "replaced", "folder"]


def test_of_a_report_that_cannot_be_written_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "guardian.json"
    old, new = (Report(State.ARMED, why, "2026-01-01", 1, 2, TOKEN, None) for why in ("old", "new"))
    write_report(path, old)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(path, new)
    assert read_report(path) == old
    assert [found.name for found in tmp_path.iterdir()] == ["guardian.json"]


@pytest.mark.parametrize("place", ["open", "fsync"])
def test_a_folder_that_cannot_be_synced_stops_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    real, refused = getattr(os, place), []

    def picky(what: Path | int, *rest: int) -> int | None:
        if stat.S_ISDIR(os.stat(what).st_mode if os.path.exists(what) else 0):
            refused.append(what)
            raise PermissionError(13, "no folders here")
        return real(what, *rest)

    monkeypatch.setattr(os, place, picky)
    path, handles = tmp_path / "guardian.json", len(os.listdir("/dev/fd"))
    report = Report(State.ARMED, "why", "2026-01-01", 1, 2, TOKEN, None)
    write_report(path, report)
    assert refused
    assert len(os.listdir("/dev/fd")) == handles
    monkeypatch.undo()
    assert read_report(path) == report


def test_a_torn_file_outlives_its_replacement(tmp_path: Path):
    path = tmp_path / "guardian.json"
    for text in ("first", "second"):
        path.write_text(text)
        kept = keep_torn(path)
        write_report(path, Report(State.UNKNOWN, "why", "2026-01-01", 1, 2, TOKEN, None))
        assert kept.read_text() == text
        path.unlink()
    assert kept == tmp_path / "guardian.json.torn"
    with pytest.raises(FileNotFoundError):
        keep_torn(path)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
@pytest.mark.parametrize(
    ("mode", "readable", "changeable"),
    [
        (0o700, False, False),
        (0o601, True, False),
        (0o610, True, False),
        (0o604, True, False),
        (0o640, True, False),
        (0o602, True, True),
        (0o620, True, True),
    ],
)
def test_a_report_that_is_not_private_is_told(
    tmp_path: Path, mode: int, readable: bool, changeable: bool
):
    path = tmp_path / "guardian.json"
    check_private(path, READ_OR_WRITE)
    path.touch()
    path.chmod(mode)
    for forbidden, told in ((READ_OR_WRITE, readable), (WRITE, changeable)):
        if told:
            with pytest.raises(ValueError, match=rf"mode {mode:o}.*chmod 600"):
                check_private(path, forbidden)
        else:
            check_private(path, forbidden)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such owners")
def test_a_report_of_somebody_else_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "guardian.json"
    path.touch(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ValueError, match="belongs to another user"):
        check_private(path, WRITE)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
async def test_no_run_starts_with_a_file_that_others_can_read(tmp_path: Path):
    path = tmp_path / "guardian.json"
    report = Report(State.DISARMED, "why", "2026-01-01", 1, 2, "the secret", None)
    write_report(path, report)
    path.chmod(0o644)
    with pytest.raises(GuardianLost, match="others can read or change") as caught:
        async with guarded(Instrument(), GuardianSettings(state=str(path))):
            pytest.fail("it went on")
    assert "the secret" not in f"{caught.value} {report}"


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
def test_no_guardian_takes_orders_that_others_can_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "guardian.json"
    write_report(path, Report(State.ARMED, "why", "2026-01-01", 1, 2, "the secret", {"orders": {}}))
    path.chmod(0o622)
    assert main(["--state", str(path), "--once"]) == 3
    told = capsys.readouterr().err
    assert told.startswith(f"tipsmith guardian: cannot start: others can read or change {path}")
    assert "the secret" not in told


@pytest.mark.parametrize(
    "text", ["", "\0" * 40, "\xff", "[]", "{}", '{"state": "armed"', '{"state": "x"}']
)
def test_what_is_no_report_is_told(tmp_path: Path, text: str):
    path = tmp_path / "guardian.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"guardian\.json holds no report.*guardian --rearm"):
        read_report(path)


@pytest.mark.parametrize("harm", [b"\xff", b"", b'", "more": 1, "state": "x'])
def test_the_token_of_a_damaged_file_is_told_to_nobody(tmp_path: Path, harm: bytes):
    path = tmp_path / "guardian.json"
    write_report(path, Report(State.ARMED, "why", "2026-01-01", 1, 2, "the-secret", None))
    whole = path.read_bytes()
    # In the middle of the text, after the token, or with its end gone.
    path.write_bytes(whole.replace(b"why", b"why" + harm) if harm else whole[:-4])
    with pytest.raises(ValueError, match="holds no report") as caught:
        read_report(path)
    assert "the-secret" not in f"{caught.value} {caught.value!r}"
    assert caught.value.__suppress_context__


def test_what_cannot_be_read_is_no_report(tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds no report of a guardian \(\w+Error\)"):
        read_report(tmp_path)


async def test_no_run_starts_over_a_torn_file(tmp_path: Path):
    path = tmp_path / "guardian.json"
    path.touch(0o600)
    with pytest.raises(GuardianLost, match=r"nobody knows what was armed.*guardian --rearm"):
        async with guarded(Instrument(), GuardianSettings(state=str(path))):
            pytest.fail("it went on")
    assert path.read_bytes() == b""
