"""Finished blocks in a file, so that a benchmark that was killed goes on where it was."""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import drivers
import policies
import sim
from drivers.errors import FileError
from policies.scorer import Scorer
from policies.trials.course import Course
from policies.trials.crew import Block, carry_out
from policies.trials.record import Record
from sim.presets.preset import load_preset

ROOMS = {one.__name__: Path(str(one.__file__)).parent for one in (drivers, sim, policies)}
#: What carries out a block.
CREW = carry_out.__module__


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


def _sources(start: str) -> dict[str, bytes]:
    """Sources of a module and of all of ours that it imports, directly or through others."""
    found: dict[str, bytes] = {}
    wanted = [start]
    while wanted:
        name = wanted.pop()
        path = None if name in found else _path(name)
        # What is imported from a module may be a name in it rather than a module.
        if path is not None:
            found[name] = path.read_bytes()
            wanted += [*_imported(ast.parse(found[name])), name.rpartition(".")[0]]
    return found


def _path(name: str) -> Path | None:
    """Where a module of ours lies; None if it is none."""
    room, *parts = name.split(".")
    if room not in ROOMS:
        return None
    base = ROOMS[room].joinpath(*parts)
    paths = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in paths if path.is_file()), None)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{one.name}" for one in names)


def fingerprint(course: Course, scorer: Scorer) -> str:
    """Names everything that decides a result but what an entrant has learned (see ``Block``)."""
    digest = hashlib.sha256()
    for name, source in sorted(_sources(CREW).items()):
        digest.update(name.encode() + source)
    digest.update(scorer.manifest.sha256.encode())
    digest.update(load_preset(course.preset).hash.encode())
    digest.update(course.model_dump_json().encode())
    return digest.hexdigest()[:16]
