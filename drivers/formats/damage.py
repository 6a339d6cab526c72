"""Files that cannot be read, said alike for every kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from drivers.errors import FileError
from drivers.scan import Scan


class Damaged(Exception):
    """What is wrong with the file; becomes a ``FileError`` that also says which file."""


def read_file(path: Path | str, kind: str, parse: Callable[[BinaryIO, str], Scan]) -> Scan:
    """Open ``path``, described to people as ``kind``, and let ``parse`` read it.

    Raises:
        FileError: the file is missing, or ``parse`` found it damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return parse(file, str(path))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except Damaged as damage:
        raise FileError(f"cannot read {path} as {kind}: {damage}") from None
