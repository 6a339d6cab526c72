"""The file under a journal: made durable, opened for reading wherever it lies, told when it fails.

A file that is only read is never changed, not even to a newer schema: what a run has left behind is
evidence. Where SQLite cannot read it in its place, or it is of an older schema, it is read into
memory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from agent.journal import schema
from drivers.errors import FileError

LOCK = "journal.lock"
_HEADERS = {"": b"SQLite format 3\0", "-wal": b"\x37\x7f\x06"}
# What SQLite answers where it may not write the files that it shares with writers.
_OUT_OF_REACH = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_PRIMARY = 0xFF
_ASKED_S = 1.0


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the disk or SQLite complains about into one sentence."""
    try:
        yield
    except FileExistsError:
        raise FileError(f"the run {path.parent} exists already; choose another name") from None
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileError(f"the journal {path} cannot be used: {reason}") from None


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        yield


def make_folder(folder: Path) -> None:
    """Make ``folder`` and what lies above it so that a loss of power does not unmake it.

    Raises:
        FileExistsError: it exists.
        OSError: it cannot be made.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True)
    for one in made:
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable, where the system lets one."""
    flag = getattr(os, "O_DIRECTORY", None)
    if flag is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | flag)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hold(folder: Path) -> FileLock:
    """Mark the run in ``folder`` as alive until the lock is released or the process has ended."""
    lock = FileLock(folder / LOCK)
    # Whoever asks whether the run is alive has the lock for a moment.
    lock.acquire(timeout=_ASKED_S)
    return lock


def is_held(folder: Path) -> bool:
    """Whether the process of the run in ``folder`` is alive."""
    path = folder / LOCK
    if not path.exists():
        return False
    try:
        FileLock(path).acquire(blocking=False).lock.release()
    except Timeout:
        return True
    except OSError:
        # Nobody writes where nobody may.
        return False
    return False


def connect_new(path: Path) -> sqlite3.Connection:
    """Open a database that does not exist yet, for writing, in autocommit mode."""
    connection = sqlite3.connect(path, isolation_level=None)
    # WAL with FULL: a commit that has returned survives the loss of power.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Elsewhere than on macOS this does nothing; there, only it empties the disk's own cache.
    connection.execute("PRAGMA fullfsync = ON")
    return connection


@dataclass(frozen=True, slots=True)
class Place:
    """Which files a journal lies in: one that is removed or emptied still takes what is written.

    Attributes:
        path: of the database.
        files: device and number of each file, by what its name has more than that of the database.
    """

    path: Path
    files: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, path: Path) -> Place:
        """The files that lie at ``path`` now.

        Raises:
            OSError: there is none.
        """
        found = {part: path.with_name(path.name + part) for part in _HEADERS}
        return cls(path, {part: _number(one) for part, one in found.items() if one.exists()})

    def expect_kept(self) -> None:
        """Make sure that whoever looks for the journal finds what was written to it.

        Raises:
            FileError: its files were removed, replaced or emptied.
        """
        for part, number in self.files.items():
            file = self.path.with_name(self.path.name + part)
            try:
                kept = _number(file) == number and _header(file).startswith(_HEADERS[part])
            except OSError:
                kept = False
            if not kept:
                raise FileError(
                    f"the journal {self.path} was removed, replaced or emptied while it was "
                    f"written ({file.name}); what was done cannot be kept there any more"
                )


def _number(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def _header(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(16)


def connect_reading(path: Path) -> sqlite3.Connection:
    """Open the database at ``path`` for reading; the file stays as it is.

    Raises:
        FileError: it is no journal, or one of a newer version.
        OSError: it cannot be copied.
        sqlite3.Error: it cannot be read.
    """
    with contextlib.ExitStack() as undo:
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            undo.callback(connection.close)
            version = schema.version_of(connection)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
            if code not in _OUT_OF_REACH or not path.is_file():
                raise
            return _upgraded(_snapshot(path), path)
        if version == schema.VERSION:
            undo.pop_all()
            return connection
        memory = sqlite3.connect(":memory:")
        connection.backup(memory)
        return _upgraded(memory, path)


def _snapshot(path: Path) -> sqlite3.Connection:
    """A copy in memory of a database that lies where nobody can write."""
    memory = sqlite3.connect(":memory:")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        for suffix in ("", "-wal"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                shutil.copyfile(part, copy.with_name(part.name))
        with contextlib.closing(sqlite3.connect(copy)) as source:
            source.backup(memory)
    return memory


def _upgraded(memory: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    with contextlib.ExitStack() as undo:
        undo.callback(memory.close)
        version = schema.version_of(memory)
        if version == 0:
            raise FileError(f"{path} is no journal, or its run ended before it had begun")
        if version > schema.VERSION:
            raise FileError(
                f"{path} is a journal of version {version} and this tipsmith knows versions up to "
                f"{schema.VERSION}; update tipsmith to read it"
            )
        memory.isolation_level = None
        with transaction(memory):
            schema.upgrade(memory)
        # Whatever were written here would be lost.
        memory.execute("PRAGMA query_only = ON")
        undo.pop_all()
    return memory
