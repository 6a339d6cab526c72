"""Who is alive: a lock beside the state file, held for as long as the guardian of that file runs.

The system lets go of it however the guardian ends, so nobody has to guess from what it has left.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: How long one waits for another guardian's last words.
PATIENCE_S = 3.0
_POLL_S = 0.05

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the one who answers for the state file ``path``.

    Raises:
        ValueError: a guardian that is alive does.
        OSError: the lock beside the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(_beside(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Whoever asks whether one is alive holds the lock for a moment, too.
        deadline = time.monotonic() + PATIENCE_S
        while not _taken(handle):
            if time.monotonic() > deadline:
                raise ValueError(
                    f"another guardian runs with the state file {path}; if it does not answer, "
                    "end its process"
                )
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def lives(path: Path) -> bool | None:
    """Whether a guardian with the state file ``path`` is alive; None if no lock tells."""
    try:
        handle = os.open(_beside(path), os.O_RDWR)
    except OSError:
        return None
    try:
        return not _taken(handle)
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    # Not ``.lock``: agents take that one from each other while they start a guardian.
    return path.with_name(f"{path.name}.alive")


def _taken(handle: int) -> bool:
    try:
        _lock(handle)
    except (BlockingIOError, PermissionError):
        # The second is what Windows says.
        return False
    return True
