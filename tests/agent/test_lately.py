"""What earlier runs have sent counts for the next one on the same instrument."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.journal import FILE, Journal
from agent.journal.lately import WITHIN_S, Sent, done_before, sent_lately
from agent.record import Intent, Kind, encode_intent
from drivers.actions import CoarseMove, MoveTo, Pulse, TunnellingPoint
from drivers.outcome import Outcome
from drivers.sample_map import spoiled_diameter_m
from tests.agent.scripted import DIP

HERE = "nanonis://127.0.0.1:6501"
PULSE = Pulse(at=TunnellingPoint(bias_v=0.5, setpoint_a=5e-11), bias_v=3.0, width_s=0.1)


def leave(directory: Path, name: str, microscope: str = HERE) -> Path:
    """A run that pulsed, was refused a dip, and broke off in another."""
    with Journal.create(directory, {"microscope": microscope}, name) as journal:
        journal.note(Kind.STARTED, 0.0, {})
        pulse = journal.intend(Intent(PULSE, 1e-9, 2e-9, "dirty", own=True), 1.0)
        journal.done(pulse, Outcome(1.0, 2.0))
        dip = journal.intend(Intent(DIP, 3e-9, 4e-9, "blunt", own=True), 3.0)
        journal.refused(dip, "outside", 3.0)
        journal.intend(Intent(DIP, 5e-9, 6e-9, "blunt", own=True), 4.0)
    return directory / name / FILE


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=30)


def test_what_was_sent_counts_and_what_was_refused_does_not(tmp_path: Path):
    leave(tmp_path, "1")
    sent = sent_lately(tmp_path, HERE, soon())
    assert [(one.action, one.x_m, one.y_m) for one in sent] == [
        (PULSE, 1e-9, 2e-9),
        (DIP, 5e-9, 6e-9),
    ]
    assert all(25 < one.ago_s < 60 for one in sent)


def test_other_instruments_do_not_count(tmp_path: Path):
    leave(tmp_path, "1", "nanonis://127.0.0.2:6501")
    assert sent_lately(tmp_path, HERE, soon()) == []
    assert sent_lately(tmp_path / "none", HERE, soon()) == []


def test_several_runs_count_in_the_order_of_what_they_sent(tmp_path: Path):
    leave(tmp_path, "2")
    leave(tmp_path, "1")
    sent = sent_lately(tmp_path, HERE, soon())
    assert len(sent) == 4
    assert [one.ago_s for one in sent] == sorted((one.ago_s for one in sent), reverse=True)


def test_what_is_older_than_a_night_is_forgotten(tmp_path: Path):
    path = leave(tmp_path, "1")
    later = datetime.now(UTC) + timedelta(seconds=WITHIN_S + 60)
    assert sent_lately(tmp_path, HERE, later) == []
    # Touched since, as by a copy: its entries are as old as before.
    os.utime(path, (later.timestamp(),) * 2)
    assert sent_lately(tmp_path, HERE, later) == []


@pytest.mark.parametrize(("hours", "count"), [(11.9, 2), (12.1, 0)])
def test_a_night_is_twelve_hours(tmp_path: Path, hours: float, count: int):
    leave(tmp_path, "1")
    later = datetime.now(UTC) + timedelta(hours=hours)
    assert len(sent_lately(tmp_path, HERE, later)) == count


def test_a_night_holds_its_end(tmp_path: Path):
    path = leave(tmp_path, "1")
    with Journal.open(path) as journal:
        pulsed = datetime.fromisoformat(journal.records()[1].written_utc)
    end = pulsed + timedelta(hours=12)
    os.utime(path, (pulsed.timestamp(),) * 2)
    assert next(one.ago_s for one in sent_lately(tmp_path, HERE, end)) == 12 * 60 * 60
    after = end + timedelta(microseconds=1)
    os.utime(path, (after.timestamp(),) * 2)
    assert all(one.ago_s < 12 * 60 * 60 for one in sent_lately(tmp_path, HERE, after))


def test_what_was_written_without_a_zone_is_of_the_usual_one(tmp_path: Path):
    with Journal.create(tmp_path, {"microscope": HERE}, "1") as journal:
        intent = encode_intent(Intent(PULSE, 1e-9, 2e-9, "dirty", own=True))
        journal._connection.execute(
            "INSERT INTO events (kind, instrument_s, written_utc, payload) VALUES (?, 0, ?, ?)",
            ("intent", datetime.now(UTC).replace(tzinfo=None).isoformat(), json.dumps(intent)),
        )
    assert all(25 < one.ago_s < 60 for one in sent_lately(tmp_path, HERE, soon()))
    assert len(sent_lately(tmp_path, HERE, soon())) == 1


def test_a_clock_that_was_put_back_makes_it_recent(tmp_path: Path):
    leave(tmp_path, "1")
    earlier = datetime.now(UTC) - timedelta(hours=3)
    assert [one.ago_s for one in sent_lately(tmp_path, HERE, earlier)] == [0.0, 0.0]


@pytest.mark.parametrize("content", [b"", b"no journal"])
def test_what_cannot_be_read_is_passed_over(tmp_path: Path, content: bytes):
    leave(tmp_path, "1")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / FILE).write_bytes(content)
    assert len(sent_lately(tmp_path, HERE, soon())) == 2


def test_policies_learn_of_pulses_and_of_spots_since_the_last_coarse_move():
    move = CoarseMove(x_steps=10, y_steps=0, retract_steps=20)
    sent = [
        Sent(PULSE, 0.0, 0.0, 400.0),
        Sent(DIP, 1e-9, 0.0, 300.0),
        Sent(move, 0.0, 0.0, 200.0),
        Sent(MoveTo(x_m=2e-9, y_m=0.0, speed_m_per_s=1e-7), 2e-9, 0.0, 150.0),
        Sent(PULSE, 2e-9, 3e-9, 100.0),
    ]
    before = done_before(sent, 10.0)
    assert before.pulses_s == (-390.0, -90.0)
    assert before.touched == ((2e-9, 3e-9, spoiled_diameter_m(PULSE)),)
    # Of two moves the last one counts, and what was done right after it.
    again = [*sent, Sent(move, 0.0, 0.0, 50.0), Sent(DIP, 7e-9, 8e-9, 40.0)]
    assert done_before(again, 0.0).touched == ((7e-9, 8e-9, spoiled_diameter_m(DIP)),)
    assert done_before(sent[:2], 0.0).touched[1] == (1e-9, 0.0, spoiled_diameter_m(DIP))
