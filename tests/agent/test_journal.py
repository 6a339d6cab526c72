"""The journal: what is written is durable, and what is read back is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.journal import Journal, history
from agent.record import (
    Intent,
    Kind,
    decode_intent,
    decode_looked,
    decode_outcome,
    encode_intent,
    encode_looked,
    encode_outcome,
)
from drivers.actions import MoveTo
from drivers.errors import FileError
from drivers.outcome import Outcome, Trace
from drivers.sample_map import Site
from drivers.scan import Frame
from policies.episode import Look
from policies.history import Acted, Looked
from policies.report import TipReport, TipState
from tests.agent.scripted import DIP

ANY = st.floats(allow_nan=False, allow_infinity=False)
SIZE = st.floats(1e-12, 1e-6)
MAYBE = st.none() | ANY

INTENT = Intent(DIP, 1e-9, 2e-9, "because", own=True)
OUTCOME = Outcome(1.0, 2.0, 1e-10, 2e-10, 1e-10)


def looked(quality: float = 1 / 3) -> Looked:
    report = TipReport(quality, dict.fromkeys(TipState, 0.1), 96, 0.5)
    return Looked(Frame(x_m=0, y_m=0, width_m=1e-8, height_m=1e-8), report, None, 24.0)


@st.composite
def any_looked(draw: st.DrawFn) -> Looked:
    frame = Frame(
        x_m=draw(ANY), y_m=draw(ANY), width_m=draw(SIZE), height_m=draw(SIZE), angle_deg=draw(ANY)
    )
    states = {state: draw(ANY) for state in TipState}
    report = TipReport(draw(ANY), states, draw(st.integers(1, 512)), draw(ANY))
    site = draw(st.none() | st.builds(Site, ANY, ANY, ANY))
    return Looked(frame, report, site, draw(ANY))


@st.composite
def any_trace(draw: st.DrawFn) -> Trace:
    count = draw(st.integers(0, 20))
    values = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=(3, count))
    return Trace(values[0], values[1].astype(np.float32), values[2].astype(np.float32))


def same_trace(one: Trace | None, other: Trace | None) -> bool:
    if one is None or other is None:
        return one is other
    names = ("time_s", "current_a", "z_m")
    return all(
        getattr(one, name).dtype == getattr(other, name).dtype
        and np.array_equal(getattr(one, name), getattr(other, name))
        for name in names
    )


@given(any_looked())
def test_a_look_keeps_every_digit(look: Looked):
    assert decode_looked(json.loads(json.dumps(encode_looked(look)))) == look


@given(
    st.builds(
        Outcome,
        ANY,
        ANY,
        MAYBE,
        MAYBE,
        MAYBE,
        st.none() | any_trace(),
        st.lists(st.text(), max_size=2).map(tuple),
    )
)
def test_an_outcome_keeps_every_digit(outcome: Outcome):
    numbers, trace = encode_outcome(outcome)
    back = decode_outcome(json.loads(json.dumps(numbers)), trace)
    assert same_trace(back.trace, outcome.trace)
    for name in ("started_s", "finished_s", "z_before_m", "z_after_m", "z_jump_m", "notes"):
        assert getattr(back, name) == getattr(outcome, name)


def test_an_intent_comes_back():
    assert decode_intent(encode_intent(INTENT)) == INTENT


def test_a_run_gets_a_folder_of_its_own(tmp_path: Path):
    with Journal.create(tmp_path, {}) as one, Journal.create(tmp_path, {}) as other:
        assert one.path != other.path
        assert one.path.parent.parent == tmp_path
        assert one.path.name == "journal.sqlite"


def test_an_existing_run_is_not_overwritten(tmp_path: Path):
    with Journal.create(tmp_path, {}, "night"):
        pass
    with pytest.raises(FileError, match="exists already"):
        Journal.create(tmp_path, {}, "night")


def test_what_is_known_beforehand_is_kept(tmp_path: Path):
    about = {"seed": 7, "versions": {"numpy": "2"}, "microscope": "sim:au111"}
    with Journal.create(tmp_path, about) as journal:
        assert journal.about() == about


def test_entries_are_durable_when_the_call_returns(tmp_path: Path):
    with Journal.create(tmp_path, {}) as journal:
        connection = journal._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA fullfsync").fetchone() == (1,)
        journal.intend(INTENT, 1.0)
        assert not connection.in_transaction
        with Journal.open(journal.path) as reader:
            assert reader.pending() == INTENT


def test_a_killed_process_loses_no_acknowledged_entry(tmp_path: Path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from agent.journal import Journal; from agent.record import Kind\n"
        "journal = Journal.create(Path(sys.argv[1]), {}, 'night')\n"
        "for number in range(20): journal.note(Kind.ERROR, float(number), {})\n"
        "os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == 9
    with Journal.open(tmp_path / "night" / "journal.sqlite") as journal:
        assert [record.sequence for record in journal.records()] == list(range(1, 21))
        assert journal.records()[-1].instrument_s == 19.0


def test_an_intent_without_an_answer_is_pending(tmp_path: Path):
    with Journal.create(tmp_path, {}) as journal:
        assert journal.pending() is None
        first = journal.intend(INTENT, 1.0)
        assert journal.pending() == INTENT
        journal.done(first, OUTCOME)
        assert journal.pending() is None
        second = journal.intend(INTENT, 2.0)
        journal.refused(second, "too deep", 2.0)
        assert journal.pending() is None


def test_an_intent_is_answered_once(tmp_path: Path):
    with Journal.create(tmp_path, {}) as journal:
        entry = journal.intend(INTENT, 1.0)
        journal.done(entry, OUTCOME)
        with pytest.raises(FileError, match="UNIQUE"):
            journal.done(entry, OUTCOME)


def test_history_holds_looks_and_own_actions_only(tmp_path: Path):
    move = MoveTo(x_m=1e-9, y_m=2e-9, speed_m_per_s=1e-7)
    with Journal.create(tmp_path, {}) as journal:
        journal.note(Kind.STARTED, 0.0, {})
        journal.look_started(Look(looked().frame, "see", False), 0.0)
        journal.looked(looked())
        journal.done(journal.intend(Intent(move, 1e-9, 2e-9, "there", own=False), 1.0), OUTCOME)
        journal.done(journal.intend(INTENT, 2.0), OUTCOME)
        journal.refused(journal.intend(INTENT, 3.0), "no", 3.0)
        journal.intend(INTENT, 4.0)
        assert history(journal) == [looked(), Acted(DIP, 1e-9, 2e-9, OUTCOME)]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be used"):
        Journal.create(tmp_path / "file", {})


def test_other_files_are_refused(tmp_path: Path):
    with pytest.raises(FileError, match="unable to open"):
        Journal.open(tmp_path / "none.sqlite")
    (tmp_path / "text").write_text("no journal at all, and rather long for an empty database")
    with pytest.raises(FileError, match="not a database"):
        Journal.open(tmp_path / "text")
