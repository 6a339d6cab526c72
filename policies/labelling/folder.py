"""The scans of a folder, in order, each once."""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache
from pathlib import Path, PurePosixPath

from drivers.errors import FileError
from policies.labelling.sheet import PICTURES, Sheet, read_sheet

SCANS = (".sxm", ".gsf")
#: Of a scan that is there in several formats the first of these is shown.
KINDS = (*SCANS, *PICTURES)
_BACKWARD = "_backward"
#: Scans that are kept in memory: the one on show and its neighbours.
KEPT = 6


class ScanFolder:
    """The scans in a folder and below.

    Attributes:
        path: the folder.
        names: paths below it, with ``/``, in order.
    """

    def __init__(self, path: Path) -> None:
        """List the folder.

        Raises:
            FileError: there is no such folder, or nothing in it can be read as a scan.
        """
        if not path.is_dir():
            raise FileError(f"{path} is no folder; name the folder that holds the scans")
        self.path = path
        self.names = find_scans(path)
        self._kept = lru_cache(KEPT)(read_sheet)
        if not self.names:
            raise FileError(
                f"{path} holds no scans; looked for {', '.join(KINDS)} in it and in its folders"
            )
        if all(self.sheet(place).trouble for place in range(len(self.names))):
            raise FileError(
                f"none of the {len(self.names)} scans in {path} can be read; of the first one: "
                f"{self.sheet(0).trouble}"
            )

    def sheet(self, place: int) -> Sheet:
        """The scan at index ``place``."""
        return self._kept(self.path, self.names[place])


def find_scans(folder: Path) -> tuple[str, ...]:
    """Paths of the scans in ``folder`` and below, in order; one of each scan.

    Files of one name and several suffixes are one scan in several formats. What was drawn of a scan
    (``a.sxm.png``) and the way back of another file (``a_backward.gsf``) are not scans; nor is a
    file whose name is not in UTF-8, since no table could name it.
    """
    best: dict[PurePosixPath, PurePosixPath] = {}
    for found in folder.rglob("*"):
        path = PurePosixPath(found.relative_to(folder).as_posix())
        if not _may_be_scan(path) or not found.is_file():
            continue
        stem = path.with_suffix("")
        best[stem] = min(path, best.get(stem, path), key=_preference)
    scans = [str(path) for stem, path in best.items() if not _is_way_back(stem, best)]
    return tuple(sorted(scans, key=_natural))


def _may_be_scan(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    nameable = str(path).encode(errors="ignore").decode() == str(path)
    drawn = PurePosixPath(path.stem).suffix.lower() in SCANS
    return path.suffix.lower() in KINDS and nameable and not hidden and not drawn


def _preference(path: PurePosixPath) -> tuple[int, str]:
    return KINDS.index(path.suffix.lower()), path.suffix


def _is_way_back(stem: PurePosixPath, stems: Container[PurePosixPath]) -> bool:
    forward = stem.name.removesuffix(_BACKWARD)
    return forward not in ("", stem.name) and stem.with_name(forward) in stems


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts ``scan9`` before ``scan10``, as they were taken."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part[-18:]), "") if part.isdecimal() else (-1, part) for part in parts], name
