"""One scan as it is shown to a person who labels it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image as Pillow

from drivers.errors import FileError
from drivers.formats import read_scan
from drivers.scan import Image, Scan

PICTURES = (".webp", ".png")
#: Larger scans are shown with fewer points: no screen has more.
MOST_PIXELS = 1024


@dataclass(frozen=True, slots=True)
class Sheet:
    """One scan, as far as it can be shown.

    Attributes:
        name: path below the folder, with ``/``.
        session: what was taken together: the sub-folder, else the day the file names, else "".
        scan: the scan, of at most ``MOST_PIXELS`` lines and points; None for a mere picture.
        picture: a picture without heights, shown as it is.
        size: points per line and lines of the file.
        trouble: why it cannot be shown.
    """

    name: str
    session: str = ""
    scan: Scan | None = None
    picture: Pillow.Image | None = None
    size: tuple[int, int] = (0, 0)
    trouble: str | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """Names of the pictures there are."""
        if self.scan is not None:
            return ("forward",) if self.scan.backward is None else ("forward", "backward")
        return () if self.picture is None else ("picture",)


def read_sheet(folder: Path, name: str) -> Sheet:
    """Read the scan or picture ``name`` below ``folder``; damage is told in the sheet."""
    path = folder / name
    try:
        sheet = _read_picture(name, path) if path.suffix.lower() in PICTURES else _read(name, path)
    except FileError as error:
        sheet = Sheet(name, trouble=str(error))
    day = None if sheet.scan is None else sheet.scan.started
    return replace(sheet, session=session_of(name, day))


def session_of(name: str, started: str | None) -> str:
    """What a scan was taken together with: its sub-folder, else the day it was started, else ""."""
    parent = PurePosixPath(name).parent
    if parent != PurePosixPath():
        return str(parent)
    day = re.match(r"\d+([-./])\d+\1\d+", started or "")
    return day[0] if day else ""


def _read(name: str, path: Path) -> Sheet:
    scan = read_scan(path)
    lines, pixels = scan.forward.shape
    factor = -(-max(lines, pixels) // MOST_PIXELS)
    if factor > 1:
        backward = None if scan.backward is None else _averaged(scan.backward, factor)
        scan = replace(scan, forward=_averaged(scan.forward, factor), backward=backward)
    return Sheet(name, scan=scan, size=(pixels, lines))


def _averaged(z: Image, factor: int) -> Image:
    """Means of blocks of points; a block that is not wholly scanned is NaN."""
    lines, pixels = (max(1, side // factor) for side in z.shape)
    high, wide = (min(side, factor) for side in z.shape)
    blocks = z[: lines * high, : pixels * wide].reshape(lines, high, pixels, wide)
    averaged: Image = blocks.mean(axis=(1, 3)).astype(np.float32)
    return averaged


def _read_picture(name: str, path: Path) -> Sheet:
    try:
        with Pillow.open(path) as opened:
            size = opened.size
            opened.thumbnail((MOST_PIXELS, MOST_PIXELS))
            return Sheet(name, picture=opened.convert("RGBA"), size=size)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise FileError(f"cannot read {path} as a picture: {error}") from None
