"""Any sequence of entries and crashes: the journal keeps what it acknowledged, and its rules."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.journal import FILE, Journal
from agent.record import Intent, Kind
from drivers.errors import FileError
from drivers.outcome import Outcome
from tests.agent.scripted import DIP

INTENT = Intent(DIP, 1e-9, 2e-9, "because", own=True)
TORN = st.binary(max_size=6000)
ANSWERS = st.sampled_from((Kind.OUTCOME, Kind.REFUSED))
NOTES = st.sampled_from(
    sorted(set(Kind) - {Kind.LOOK_STARTED, Kind.LOOKED, Kind.INTENT, Kind.OUTCOME, Kind.REFUSED})
)

Known = tuple[Kind, int | None]


class JournalMachine(RuleBasedStateMachine):
    """Beside the journal, what it has acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._journal = Journal.create(Path(self._folder.name), {"seed": 1}, "run")
        self._known: list[Known] = []
        self._open: int | None = None
        self._crashes = 0

    @rule(kind=NOTES, size=st.integers(0, 9000))
    def note(self, kind: Kind, size: int) -> None:
        sequence = self._journal.note(kind, 0.0, {"text": "x" * size})
        self._acknowledged(sequence, kind, None)

    @precondition(lambda self: self._open is None)
    @rule()
    def intend(self) -> None:
        self._open = self._journal.intend(INTENT, 0.0)
        self._acknowledged(self._open, Kind.INTENT, None)

    @precondition(lambda self: self._open is not None)
    @rule(kind=ANSWERS)
    def answer(self, kind: Kind) -> None:
        self._answer(self._open, kind)
        self._acknowledged(len(self._known) + 1, kind, self._open)
        self._open = None

    @precondition(lambda self: self._open is not None)
    @rule()
    def no_second_intent(self) -> None:
        self._refuses(lambda: self._journal.intend(INTENT, 0.0))

    @rule(kind=ANSWERS, to=st.integers(0, 40))
    def no_other_answer(self, kind: Kind, to: int) -> None:
        if to != self._open:
            self._refuses(lambda: self._answer(to, kind))

    @rule(room=st.integers(0, 1))
    def no_room(self, room: int) -> None:
        connection = self._journal._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + room}")
        self._refuses(lambda: self._journal.note(Kind.ERROR, 0.0, {"text": "x" * 50_000}))
        connection.execute("PRAGMA max_page_count = 1000000")

    @rule(torn=TORN)
    def crash(self, torn: bytes) -> None:
        """The process is killed while it writes: the log may end in anything not acknowledged."""
        self._crashes += 1
        copy = Path(self._folder.name) / f"crash{self._crashes}"
        copy.mkdir()
        for name, tail in ((FILE, b""), (f"{FILE}-wal", torn)):
            (copy / name).write_bytes(self._journal.path.with_name(name).read_bytes() + tail)
        with Journal.open(copy / FILE) as left:
            self._check(left)
            assert left._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    @invariant()
    def keeps_what_it_acknowledged(self) -> None:
        self._check(self._journal)

    def teardown(self) -> None:
        self._journal.close()
        with Journal.open(self._journal.path) as left:
            self._check(left)
        self._folder.cleanup()

    def _answer(self, entry: int | None, kind: Kind) -> None:
        if kind is Kind.OUTCOME:
            self._journal.done(entry, Outcome(0.0, 1.0))
        else:
            self._journal.refused(entry, "no", 0.0)

    def _acknowledged(self, sequence: int, kind: Kind, intent: int | None) -> None:
        self._known.append((kind, intent))
        assert sequence == len(self._known)

    def _refuses(self, write: object) -> None:
        try:
            write()
        except FileError:
            return
        raise AssertionError("the journal took what it must refuse")

    def _check(self, journal: Journal) -> None:
        records = journal.records()
        assert [(one.kind, one.intent) for one in records] == self._known
        assert [one.sequence for one in records] == list(range(1, len(records) + 1))
        assert journal.pending() == (None if self._open is None else INTENT)
        assert journal.about() == {"seed": 1}


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
