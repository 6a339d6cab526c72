"""Scan files: what instruments write, as ``Scan``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drivers.errors import FileError
from drivers.formats.gsf import read_gsf, write_gsf
from drivers.formats.sxm import read_sxm, write_sxm
from drivers.scan import Scan

_READERS: dict[str, Callable[[Path], Scan]] = {".gsf": read_gsf, ".sxm": read_sxm}


def read_scan(path: Path | str) -> Scan:
    """Read a scan file; its suffix says of which kind it is.

    Raises:
        FileError: the kind is not supported, or the file is missing or damaged.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise FileError(
            f"cannot read {path}: files of kind {path.suffix or '(no suffix)'!r} are not "
            f"supported; supported are {', '.join(sorted(_READERS))}"
        )
    return reader(path)


__all__ = ["read_gsf", "read_scan", "read_sxm", "write_gsf", "write_sxm"]
