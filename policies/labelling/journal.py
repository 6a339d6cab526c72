"""The journal of a labelling: one line of JSON a record, durable before it counts.

Lines are only ever added. A line that cannot be read, such as one that a crash broke off, is named
to the user and stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from drivers.errors import FileError
from policies.labelling.records import RECORD, Begin, Record

NAME = "labels.journal.jsonl"


class Journal:
    """The file and what it held when it was opened.

    Attributes:
        path: the file.
        records: what could be read of it.
        damage: one sentence for each line that could not.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there; writes nothing.

        Raises:
            FileError: the file is there and cannot be read.
        """
        self.path = path
        self.records: list[Record] = []
        self.damage: list[str] = []
        try:
            content = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror or error}") from None
        self._next = 1
        self._broken_off = bool(content) and not content.endswith(b"\n")
        self._failed = False
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line:
                self._read(number, line)

    def _read(self, number: int, line: bytes) -> None:
        try:
            record = RECORD.validate_json(line)
        except ValidationError:
            self._complain(number, "is damaged")
            return
        if record.n < self._next:
            self._complain(number, f"comes out of order (record {record.n})")
            return
        self.records.append(record)
        self._next = record.n + 1

    def _complain(self, number: int, what: str) -> None:
        self.damage.append(
            f"line {number} of {self.path} {what}; it was left as it is and does not count"
        )

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes that its labels choose from; None if it does not say."""
        begins = [record.classes for record in self.records if isinstance(record, Begin)]
        return begins[0] if begins else None

    @property
    def last(self) -> int:
        """Number of the last record; 0 if there is none."""
        return self._next - 1

    def append(self, make: Callable[[int], Record | None]) -> Record | None:
        """Make the next record and bring it to the disk.

        Args:
            make: called with the number of the record; None writes nothing.

        Returns:
            What ``make`` answered.

        Raises:
            FileError: the disk did not take it. Whether a part of it is there is not known, so the
                journal takes nothing more until it is opened again.
        """
        if self._failed:
            raise FileError(f"{self.path} could not be written; start tipsmith label again")
        record = make(self._next)
        if record is None:
            return None
        # A line that was broken off is closed first, so that it cannot spoil this one.
        start = "\n" if self._broken_off else ""
        try:
            with self.path.open("ab") as file:
                file.write(f"{start}{record.model_dump_json()}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._failed = True
            raise FileError(
                f"cannot write {self.path}: {error.strerror or error}; make room, then start "
                "tipsmith label again: it goes on where the journal ends"
            ) from None
        self._broken_off = False
        self._next = record.n + 1
        return record
