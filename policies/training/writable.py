"""Finding out before a long training that its result has a place to go."""

from __future__ import annotations

import tempfile
from pathlib import Path

from drivers.errors import FileError


def check_writable(folder: Path) -> None:
    """Make ``folder`` and see that a file can be written there.

    Raises:
        FileError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(f"cannot write weights to {folder}: {error.strerror}") from None
