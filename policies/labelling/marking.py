"""The state of a labelling as a function of the steps taken so far; pure.

A label is decided by a ``Save``; until then the marks on a scan are a draft. ``Marking`` is what
the steps that count add up to: a journal read back gives the same state, and an undo leaves the
steps without the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from policies.labelling.records import Record, Save, Show, Skip, Step, Toggle, Undo

Marks = frozenset[str]
NO_MARKS: Marks = frozenset()


class Key(StrEnum):
    """What a person can do beside marking the classes, which have the digits from 1 on."""

    SAVE = "save"
    BACK = "back"
    SKIP = "skip"
    OPEN = "open"
    UNDO = "undo"


class Status(StrEnum):
    """How far the work on one scan is."""

    OPEN = "open"
    LABELLED = "labelled"
    SKIPPED = "skipped"


class Marking:
    """Marks and labels of the scans of a folder.

    Attributes:
        scans: names, in the order they are shown.
        classes: names of the classes.
        position: index of the scan on show; ``len(scans)`` after the last one.
        labels: by scan, the record that decided its label.
    """

    def __init__(self, scans: Sequence[str], classes: Sequence[str]) -> None:
        self.scans = tuple(scans)
        self.classes = tuple(classes)
        self._places = {name: place for place, name in enumerate(self.scans)}
        self._steps: list[Step] = []
        self._start()

    def _start(self) -> None:
        self.position = 0
        self.labels: dict[str, Save] = {}
        self._skipped: set[str] = set()
        self._drafts: dict[str, Marks] = {}

    @property
    def current(self) -> str | None:
        """Name of the scan on show; None after the last one."""
        return self.scans[self.position] if self.position < len(self.scans) else None

    @property
    def skipped(self) -> int:
        """How many scans shall have no label."""
        return len(self._skipped)

    def marks(self, scan: str) -> Marks:
        """The marks on a scan as they are shown: its draft, else its label."""
        return self._drafts.get(scan, self._decided(scan))

    def status(self, scan: str) -> Status:
        """Whether a scan is labelled, skipped or still open."""
        if scan in self.labels:
            return Status.LABELLED
        return Status.SKIPPED if scan in self._skipped else Status.OPEN

    def changed(self, scan: str) -> bool:
        """Whether the marks on a scan differ from what is decided."""
        return self.marks(scan) != self._decided(scan)

    def _decided(self, scan: str) -> Marks:
        return frozenset(self.labels[scan].marks) if scan in self.labels else NO_MARKS

    def counts(self) -> dict[str, int]:
        """How many labels hold each class."""
        marks = [name for label in self.labels.values() for name in label.marks]
        return {name: marks.count(name) for name in self.classes}

    def knows(self, step: Step) -> bool:
        """Whether scan and classes of a step are among those of this folder."""
        marks = {step.mark} if isinstance(step, Toggle) else set()
        marks |= set(step.marks) if isinstance(step, Save) else set()
        return step.scan in self._places and marks <= set(self.classes)

    def ask(self, key: str, n: int, session: str) -> Step | Undo | None:
        """The record, numbered ``n``, of what ``key`` does now; None if that is nothing.

        Args:
            key: a ``Key``, or the digit of a class.
            n: number that the record shall have.
            session: session of the scan on show, which a label carries.
        """
        if key == Key.UNDO:
            return Undo(n=n, of=self._steps[-1].n) if self._steps else None
        if key == Key.BACK:
            return Show(n=n, scan=self.scans[self.position - 1]) if self.position else None
        if key == Key.OPEN:
            return self._turn_to_open(n)
        if self.current is None:
            return None
        if key == Key.SAVE:
            marks = self.marks(self.current)
            chosen = tuple(name for name in self.classes if name in marks)
            return Save(n=n, scan=self.current, marks=chosen, session=session)
        if key == Key.SKIP:
            return Skip(n=n, scan=self.current)
        digits = {str(digit): name for digit, name in enumerate(self.classes, start=1)}
        return Toggle(n=n, scan=self.current, mark=digits[key]) if key in digits else None

    def _turn_to_open(self, n: int) -> Show | None:
        """To the next scan that is neither labelled nor skipped, from the start after the end."""
        after, before = self.scans[self.position + 1 :], self.scans[: self.position]
        for name in (*after, *before):
            if self.status(name) is Status.OPEN:
                return Show(n=n, scan=name)
        return None

    def replay(self, records: Iterable[Record]) -> None:
        """Start anew from the records of a journal; those about scans not in here are passed over.

        Which step an undo takes back is named in it, so that one missing record spoils no other.
        """
        read = list(records)
        undone = {record.of for record in read if isinstance(record, Undo)}
        steps = [record for record in read if isinstance(record, Step)]
        self._steps = [step for step in steps if step.n not in undone and self.knows(step)]
        self._refold()

    def take(self, record: Step | Undo) -> None:
        """Let what ``ask`` answered count."""
        if isinstance(record, Undo):
            self._steps.pop()
            self._refold()
        else:
            self._steps.append(record)
            self._apply(record)

    def _refold(self) -> None:
        self._start()
        for step in self._steps:
            self._apply(step)

    def _apply(self, step: Step) -> None:
        place = self._places[step.scan]
        match step:
            case Show():
                self.position = place
            case Toggle():
                # Of a folder that has grown another scan may have come to be on show.
                self.position = place
                self._drafts[step.scan] = self.marks(step.scan) ^ {step.mark}
            case Save():
                self._forget(step.scan)
                self.labels[step.scan] = step
                self.position = place + 1
            case Skip():
                self._forget(step.scan)
                self._skipped.add(step.scan)
                self.position = place + 1

    def _forget(self, scan: str) -> None:
        self._drafts.pop(scan, None)
        self.labels.pop(scan, None)
        self._skipped.discard(scan)
