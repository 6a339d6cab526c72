"""Finished blocks in a file, so that a benchmark that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import drivers
import policies
import sim
from drivers.errors import FileError
from policies.scorer import Scorer
from policies.trials.course import Course
from policies.trials.crew import Block
from policies.trials.record import Record
from sim.presets.preset import load_preset


class Store:
    """Records of blocks, one line each; a line that was torn by a kill is as if never written.

    Args:
        path: the file; its folder is made.

    Raises:
        FileError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise FileError(f"{path} cannot be used: {error.strerror or error}") from None
        self._torn = bool(content) and not content.endswith(b"\n")
        self._known: dict[Block, list[Record]] = {}
        for line in content.splitlines():
            self._read(line)

    def get(self, block: Block) -> list[Record] | None:
        """The records of a block, or None if it has to be carried out."""
        return self._known.get(block)

    def add(self, block: Block, records: Sequence[Record]) -> None:
        """Keep the records of a block.

        Raises:
            FileError: they cannot be written.
        """
        kept = {"block": asdict(block), "records": [asdict(record) for record in records]}
        line = ("\n" if self._torn else "") + json.dumps(kept) + "\n"
        try:
            with self._path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileError(f"{self._path} cannot be written: {error.strerror}") from None
        self._torn = False
        self._known[block] = list(records)

    def _read(self, line: bytes) -> None:
        try:
            kept = json.loads(line)
            block = Block(**kept["block"])
            records = [Record(**record) for record in kept["records"]]
        except (ValueError, KeyError, TypeError):
            return
        if len(records) == block.count:
            self._known[block] = records


def fingerprint(course: Course, scorer: Scorer) -> str:
    """Names everything that decides a result but what an entrant has learned (see ``Block``)."""
    digest = hashlib.sha256()
    for package in (drivers, sim, policies):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    digest.update(scorer.manifest.sha256.encode())
    digest.update(load_preset(course.preset).hash.encode())
    digest.update(course.model_dump_json().encode())
    return digest.hexdigest()[:16]
