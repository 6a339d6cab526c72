"""The desk at which one person labels one folder: state, journal and table kept together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from drivers.errors import ConfigError, FileError
from policies.labelling import journal, table
from policies.labelling.folder import ScanFolder
from policies.labelling.marking import Marking
from policies.labelling.records import (
    DEFAULT_CLASSES,
    Begin,
    Record,
    Save,
    Skip,
    Step,
    Toggle,
    Undo,
)

LOCK = ".labels.lock"


class Desk:
    """A folder in labelling; a context manager that gives the folder free again.

    Attributes:
        folder: the scans.
        marking: the state; changed by ``press`` alone.
        notes: what the user should know of the journal: lines that do not count, and why.
        lock: held by whoever reads the state beside ``press``.
    """

    def __init__(self, path: Path, classes: Sequence[str] | None = None) -> None:
        """Claim ``path`` and go on where its journal ends.

        Args:
            path: folder of scans.
            classes: classes to choose from; those of the journal, else the usual ones, if None.

        Raises:
            FileError: no folder, no readable scan, no right to write, another labeller, or a table
                of labels that was not made here.
            ConfigError: the journal chooses from other classes.
        """
        self.folder = ScanFolder(path)
        self.lock = threading.RLock()
        self._claim = FileLock(path / LOCK, timeout=0)
        self._take_folder()
        try:
            self._journal = journal.Journal(path / journal.NAME)
            chosen = self._choose(classes)
            self.marking = Marking(self.folder.names, chosen)
            self.marking.replay(self._journal.records)
            self.notes = [*self._journal.damage, *self._passed_over()]
            if self._journal.classes is None:
                self._journal.append(lambda n: Begin(n=n, classes=chosen))
            table.write(path, self.marking)
        except BaseException:
            self._claim.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ended: object) -> None:
        # A key that is on its way to the disk arrives there first.
        with self.lock:
            self._claim.release()

    def _take_folder(self) -> None:
        path = self.folder.path
        try:
            self._claim.acquire()
        except Timeout:
            raise FileError(
                f"{path} is being labelled by another tipsmith label; end that one first"
            ) from None
        except OSError as error:
            raise FileError(
                f"cannot write into {path}: {error.strerror or error}; labels are kept beside the "
                "scans, so copy the scans to a folder of your own"
            ) from None

    def _choose(self, classes: Sequence[str] | None) -> tuple[str, ...]:
        held = self._journal.classes
        if held is None:
            if not self._journal.records and not self._journal.damage:
                table.refuse_foreign(self.folder.path)
            return tuple(classes or DEFAULT_CLASSES)
        if classes is not None and tuple(classes) != held:
            raise ConfigError(
                f"the labels in {self.folder.path} choose from {','.join(held)}; leave out "
                f"--classes, or move {journal.NAME} and {table.NAME} elsewhere to begin anew"
            )
        return held

    def _passed_over(self) -> list[str]:
        steps = [record for record in self._journal.records if isinstance(record, Step)]
        strange = [step for step in steps if not self.marking.knows(step)]
        if not strange:
            return []
        return [
            f"{len(strange)} records of {self._journal.path} do not count, because their scan or "
            f"class is not there; the first is about {strange[0].scan}"
        ]

    @property
    def revision(self) -> int:
        """Number of the last record; it names a state of the desk."""
        return self._journal.last

    def press(self, key: str) -> bool:
        """Do what a key asks; True if that was anything.

        A scan that cannot be read gets no label: marking and saving it do nothing.

        Raises:
            FileError: the journal cannot be written (the key did not count), or the table cannot
                (it did).
        """
        with self.lock:
            record = self._journal.append(lambda n: self._ask(key, n))
            if not isinstance(record, Step | Undo):
                return False
            self.marking.take(record)
            if isinstance(record, Save | Skip | Undo):
                table.write(self.folder.path, self.marking)
            return True

    def _ask(self, key: str, n: int) -> Record | None:
        marking = self.marking
        if marking.current is None:
            return marking.ask(key, n, session="")
        sheet = self.folder.sheet(marking.position)
        record = marking.ask(key, n, sheet.session)
        unreadable = sheet.trouble is not None and isinstance(record, Save | Toggle)
        return None if unreadable else record

    def summary(self) -> str:
        """One sentence on how far the work is."""
        with self.lock:
            labelled, skipped = len(self.marking.labels), self.marking.skipped
            there = len(self.folder.names)
            unsaved = sum(self.marking.changed(name) for name in self.folder.names)
        more = f"; marks on {unsaved} are not saved yet" if unsaved else ""
        return (
            f"{labelled} of {there} scans labelled, {skipped} skipped{more}; "
            f"labels in {self.folder.path / table.NAME}"
        )
