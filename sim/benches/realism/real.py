"""Real scans from a folder of public sets; what is missing there is missing here.

``hsi100/images.zip`` holds pictures of H:Si(100) with ``hsi100/labels.csv`` (votes of raters,
session and order); ``real_scans/tiles.npz`` heights of other surfaces, ``real_scans/labels.csv``
what is known of them.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivers.errors import FileError
from drivers.scan import Image
from sim.dataset.photograph import Photo, decode

#: A picture of which less was scanned shows the end of a scan, not a surface.
LEAST_LINES = 0.9

#: What raters were asked of a picture of H:Si(100).
CLASSES = ("asymmetric", "atoms", "dimers", "rows", "tip_change", "blurry")

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a scan.

    Attributes:
        photo: its grey values.
        session: name of the session it is from.
        good: whether all raters found a good tip; None if they were not asked or disagree.
    """

    photo: Photo
    session: str
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Voted(Picture):
    """A picture, whole or not, with what its raters said.

    Attributes:
        raters: how many there were.
        votes: share of them that saw each class, 0..1, by ``CLASSES``.
    """

    raters: int = 0
    votes: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Tile:
    """Heights of a scan (m), there and back; ``width_nm`` is zero where the size is unknown.

    ``label`` is what the viewer called it, empty where nobody did.
    """

    forward: Image
    backward: Image | None
    width_nm: float
    session: str
    label: str = ""


def hsi_pictures(data: Path, most: int | None = None) -> list[Picture]:
    """Complete pictures of H:Si(100) in the order of time; ``most`` of them, evenly spread.

    Raises:
        FileError: the set is not there or cannot be read.
    """
    folder = data / "hsi100"
    rows = [row for row in _in_order(folder) if _complete(row)]
    if most is not None and len(rows) > most:
        rows = [rows[k] for k in np.linspace(0, len(rows) - 1, most).astype(int)]
    photos = _photos(folder, rows)
    pictures = [
        Picture(photo, row["session"], _good(row)) for photo, row in zip(photos, rows, strict=True)
    ]
    # A frame in one grey shows that nothing was recorded.
    return [picture for picture in pictures if picture.photo.std() > 0]


def hsi_votes(data: Path) -> list[Voted]:
    """All pictures of H:Si(100), also of scans that were broken off, in the order of time.

    Raises:
        FileError: the set is not there or cannot be read.
    """
    folder = data / "hsi100"
    rows = _in_order(folder)
    return [
        Voted(
            photo,
            row["session"],
            _good(row),
            int(row["raters"]),
            tuple(float(row[name]) for name in CLASSES),
        )
        for photo, row in zip(_photos(folder, rows), rows, strict=True)
    ]


def tiles(data: Path, surface: str) -> list[Tile]:
    """Scans whose surface begins with ``surface``.

    Raises:
        FileError: the set is not there or cannot be read.
    """
    folder = data / "real_scans"
    rows = [row for row in _rows(folder / "labels.csv") if row["surface"].startswith(surface)]
    try:
        with np.load(folder / "tiles.npz") as arrays:
            return [_tile(row, arrays) for row in rows]
    except (OSError, KeyError, ValueError) as error:
        raise FileError(f"cannot read the scans in {folder / 'tiles.npz'}: {error}") from None


def _tile(row: Row, arrays: Mapping[str, Image]) -> Tile:
    scale = np.float32(row["scale"])
    forward = arrays[f"{row['key']}_forward"].astype(np.float32) * scale
    name = f"{row['key']}_backward"
    backward = arrays[name].astype(np.float32) * scale if name in arrays else None
    size = row["size_nm"].partition("x")[0]
    # Files of one session lie in one folder.
    session = row["file"].rpartition("/")[0]
    width_nm = float(size) if size else 0.0
    return Tile(forward, backward, width_nm, session, row.get("label", ""))


def _in_order(folder: Path) -> list[Row]:
    rows = list(_rows(folder / "labels.csv"))
    return sorted(rows, key=lambda row: (row["session"], int(row["run"]), int(row["repeat"])))


def _photos(folder: Path, rows: Sequence[Row]) -> list[Photo]:
    try:
        with zipfile.ZipFile(folder / "images.zip") as images:
            return [decode(images.read(row["image"])) for row in rows]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(f"cannot read the pictures in {folder / 'images.zip'}: {error}") from None


def _rows(path: Path) -> Sequence[Row]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None


def _complete(row: Row) -> bool:
    return float(row["height"]) >= LEAST_LINES * float(row["width"])


def _good(row: Row) -> bool | None:
    """What two raters or more agree on."""
    votes = {name: float(row[name]) for name in ("asymmetric", "tip_change", "blurry")}
    seen = max(float(row["atoms"]), float(row["dimers"]))
    if int(row["raters"]) < 2 or {*votes.values(), seen} - {0.0, 1.0}:
        return None
    if seen == 1 and not any(votes.values()):
        return True
    return False if votes["blurry"] == 1 else None
