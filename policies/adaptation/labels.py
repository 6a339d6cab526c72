"""Labels that a person gave to scans: one row per image, one column per class."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from drivers.errors import FileError
from drivers.formats import read_scan
from drivers.scan import Scan

IMAGE, SESSION = "image", "session"
FEWEST = 20
#: Kinds of pictures that are read as scans without scale and frame.
PICTURES = (".png", ".webp")
#: Without sessions, images that follow each other count as one, so many of them in all.
BLOCKS = 5


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of some images.

    Attributes:
        images: names of the files.
        classes: names of the classes.
        votes: share of the raters that saw the class, 0..1, NaN where nobody was asked; shape
            (images, classes).
        sessions: number of the session of each image, shape (images,).
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    votes: NDArray[np.float32]
    sessions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)

    def part(self, which: NDArray[np.intp]) -> Labels:
        """The labels of some of the images, in that order."""
        images = tuple(self.images[k] for k in which)
        return Labels(images, self.classes, self.votes[which], self.sessions[which])

    def check(self) -> None:
        """Refuse labels from which nothing can be learned.

        Raises:
            FileError: a class has fewer than ``FEWEST`` labels, or all of one kind.
        """
        for name, votes in zip(self.classes, self.votes.T, strict=True):
            known = votes[np.isfinite(votes)]
            if len(known) < FEWEST:
                raise FileError(
                    f"column {name!r} has {len(known)} labels; at least {FEWEST} are needed"
                )
            yes = int((known >= 0.5).sum())
            if yes in (0, len(known)):
                raise FileError(
                    f"column {name!r} has {len(known)} labels of one kind only, all "
                    f"{'below' if yes == 0 else 'at least'} 0.5; label scans of the other kind too"
                )


def read_labels(path: Path) -> Labels:
    """Read ``labels.csv``; without a column ``session``, neighbours count as one session.

    Raises:
        FileError: the file cannot be read, or is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"cannot read labels from {path}: {error}") from None
    classes = tuple(name for name in columns if name not in (IMAGE, SESSION))
    if IMAGE not in columns or not classes or len(set(columns)) < len(columns):
        raise FileError(
            f"{path} must have a column {IMAGE!r} and one column per class, each once; "
            f"it has {', '.join(columns) or 'none'}"
        )
    votes = [[_vote(path, line, row, name) for name in classes] for line, row in enumerate(rows, 2)]
    images = tuple(row[IMAGE] for row in rows)
    twice = [name for name, count in Counter(images).items() if count > 1]
    if twice:
        raise FileError(f"{path}: {twice[0]} is labelled more than once; keep one row of it")
    table = np.array(votes, np.float32).reshape(len(rows), len(classes))
    labels = Labels(images, classes, table, _sessions(rows))
    # What nobody labelled teaches nothing.
    return labels.part(np.flatnonzero(np.isfinite(table).any(axis=1)))


def read_image(path: Path) -> Scan:
    """Read a scan file, or a picture as a scan without scale and frame.

    Raises:
        FileError: the file is missing, damaged, or of a kind that is not read.
    """
    if path.suffix.lower() not in PICTURES:
        return read_scan(path)
    try:
        with Pillow.open(path) as picture:
            grey = np.asarray(picture.convert("L"), np.float32)
    except (OSError, UnidentifiedImageError, Pillow.DecompressionBombError) as error:
        raise FileError(f"{path} is not a picture that can be read: {error}") from None
    return Scan(forward=grey, scale_known=False, source=path.name)


def _vote(path: Path, line: int, row: dict[str, str], name: str) -> float:
    text = (row[name] or "").strip()
    try:
        vote = float(text) if text else np.nan
    except ValueError:
        vote = -1.0
    if vote < 0 or vote > 1 or (text and not np.isfinite(vote)):
        raise FileError(
            f"{path}, line {line}: {name} is {text!r}; wanted is a number from 0 to 1, or nothing"
        )
    return vote


def _sessions(rows: list[dict[str, str]]) -> NDArray[np.int64]:
    names = [row.get(SESSION) or "" for row in rows]
    known = sorted(set(names))
    if len(known) > 1:
        return np.array([known.index(name) for name in names], np.int64)
    return np.arange(len(rows), dtype=np.int64) * BLOCKS // max(len(rows), 1)
