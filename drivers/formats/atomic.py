"""Files that appear complete or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from drivers.errors import FileError


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; a reader sees the old file or the new one, never a part.

    Raises:
        FileError: the place cannot be written to; what was there before is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise FileError(f"cannot write {path}: {error.strerror or error}") from None
