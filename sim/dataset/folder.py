"""The folder of a data set: what belongs where, what is finished, and what is not yet.

Scans lie a thousand to a folder, ``000/000017.sxm``. A line of ``.labels.part`` says that all files
of a scan are complete; ``labels.jsonl`` gathers the lines in order, whose fields
``sim.dataset.example`` explains; ``dataset.json`` says what the scans were made of. Every file
appears complete or not at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from drivers.errors import ConfigError, FileError
from drivers.formats.atomic import write_atomically
from sim.dataset.settings import DatasetSettings, Format

PER_FOLDER = 1000
ENDINGS: Mapping[Format, tuple[str, ...]] = {
    "sxm": (".sxm",),
    "gsf": (".gsf", "_backward.gsf"),
    "png": (".png",),
}
#: What an interrupted write leaves behind.
_LEFT_OVER = re.compile(r"\.\d{6,}(_backward)?\.(sxm|gsf|png)\.\d+")

Lines = dict[int, str]


class DatasetFolder:
    """A data set on disk."""

    def __init__(self, path: Path, formats: Sequence[Format]) -> None:
        self._path = path
        self._formats = formats
        self._part = path / ".labels.part"
        self._labels = path / "labels.jsonl"

    def claim(self, settings: DatasetSettings) -> None:
        """Make the folder one for these settings, or see that it is.

        Raises:
            ConfigError: it holds a data set of other settings.
            FileError: it cannot be used.
        """
        wanted = settings.as_dict()
        about = self._path / "dataset.json"
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            held = json.loads(about.read_text()) if about.exists() else None
        except OSError as error:
            reason = error.strerror or error
            raise FileError(f"cannot use {self._path} for a data set: {reason}") from None
        except ValueError as error:
            raise FileError(f"{about} is damaged ({error}); use another folder") from None
        if held is None:
            content = {"simulated": True, **wanted}
            write_atomically(about, (json.dumps(content, indent=2) + "\n").encode())
            return
        other = [name for name, value in wanted.items() if held.get(name) != value]
        if other:
            raise ConfigError(
                f"{self._path} holds a data set with {other[0]} {held.get(other[0])!r}, not "
                f"{wanted[other[0]]!r}; name another folder with --out"
            )

    def stem(self, index: int) -> Path:
        """Path of a scan without its ending."""
        return self._path / f"{index // PER_FOLDER:03d}" / f"{index:06d}"

    def paths(self, index: int) -> Iterator[tuple[Format, str, Path]]:
        """Format, ending and path of each file of a scan."""
        stem = self.stem(index)
        for kind in self._formats:
            for ending in ENDINGS[kind]:
                yield kind, ending, stem.with_name(stem.name + ending)

    def finished(self) -> Lines:
        """Label lines of the scans all of whose files are there."""
        there = self._files()
        lines: Lines = {}
        for text in (self._labels, self._part):
            for line in text.read_text().splitlines() if text.exists() else ():
                index = _index(line)
                if index is not None and all(
                    path.name in there for _, _, path in self.paths(index)
                ):
                    lines[index] = line
        return lines

    def note(self, lines: Sequence[str]) -> None:
        """Write down that the scans of these label lines are complete.

        Raises:
            FileError: the folder cannot be written to.
        """
        try:
            with self._part.open("a") as part:
                # A line that an interrupted run broke off is closed first.
                part.write("\n" + "\n".join(lines) + "\n")
        except OSError as error:
            raise FileError(f"cannot write {self._part}: {error.strerror or error}") from None

    def gather(self, lines: Lines) -> None:
        """Write ``labels.jsonl`` with all lines in order, and tidy up.

        Raises:
            FileError: the folder cannot be written to.
        """
        text = "".join(f"{lines[index]}\n" for index in sorted(lines))
        write_atomically(self._labels, text.encode())
        self._part.unlink(missing_ok=True)

    def _files(self) -> set[str]:
        """Names of all scan files; what an interrupted write left is removed."""
        names: set[str] = set()
        for folder in self._path.glob("[0-9]*"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _LEFT_OVER.fullmatch(entry.name):
                        Path(entry.path).unlink(missing_ok=True)
                    else:
                        names.add(entry.name)
        return names


def _index(line: str) -> int | None:
    """Index of the scan that a line labels; None if the line is not whole."""
    try:
        return int(json.loads(line)["index"])
    except (ValueError, TypeError, KeyError):
        return None
