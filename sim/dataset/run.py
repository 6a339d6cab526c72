"""Makes a data set: on all cores, and from where an interrupted run left off."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path

from filelock import FileLock, Timeout

from drivers.errors import ConfigError, FileError, TipsmithError
from drivers.formats.atomic import write_atomically
from drivers.formats.gsf import write_gsf
from drivers.formats.sxm import write_sxm
from sim.dataset.example import make_example
from sim.dataset.folder import DatasetFolder, Lines
from sim.dataset.picture import png
from sim.dataset.settings import FORMATS, LARGEST_COUNT, DatasetSettings, Format

#: Scans per errand: large enough that handing out costs nothing, small enough to lose.
CHUNK = 16

Progress = Callable[[int, int], None]


def make_dataset(
    settings: DatasetSettings,
    count: int,
    out: Path,
    formats: Sequence[Format] = FORMATS,
    workers: int = 1,
    progress: Progress = lambda _done, _count: None,
) -> int:
    """Write scans 0 to ``count`` - 1 that ``out`` does not hold yet; return how many were missing.

    Args:
        settings: what the scans are made of.
        count: how many the folder shall hold.
        out: folder; made if it is not there.
        formats: which files to write of each scan.
        workers: processes; the scans do not depend on it.
        progress: told how many scans are done, and of how many.

    Interrupted, it goes on from there when it is called again.

    Raises:
        ConfigError: a value cannot be, or the folder holds a data set of other settings.
        FileError: a file cannot be written, or another run is writing into the folder.
    """
    if not 1 <= count <= LARGEST_COUNT:
        raise ConfigError(f"count must be from 1 to {LARGEST_COUNT}, got {count}")
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    folder = DatasetFolder(out, formats)
    folder.claim(settings)
    try:
        with FileLock(out / ".lock", timeout=0):
            return _fill(folder, count, _Errand(settings, out, formats), workers, progress)
    except Timeout:
        raise FileError(f"another run is writing into {out}; wait for it to end") from None


class _Errand:
    """What a worker is to do; called with the indices of a chunk, it returns their label lines."""

    def __init__(self, settings: DatasetSettings, out: Path, formats: Sequence[Format]) -> None:
        self._settings = settings
        self._out = out
        self._formats = formats

    def __call__(self, indices: Sequence[int]) -> list[str]:
        folder = DatasetFolder(self._out, self._formats)
        return [_write(self._settings, folder, index) for index in indices]


def _write(settings: DatasetSettings, folder: DatasetFolder, index: int) -> str:
    """Make one scan with all its files; return its label as a line of JSON."""
    example = make_example(settings, index)
    stem = folder.stem(index)
    _make_folder(stem.parent)
    for kind, ending, path in folder.paths(index):
        if kind == "sxm":
            write_sxm(path, example.scan)
        elif kind == "png":
            write_atomically(path, png(example.scan))
        else:
            write_gsf(path, example.scan, "backward" if "backward" in ending else "forward")
    files = {"files": f"{stem.parent.name}/{stem.name}"}
    return json.dumps({**files, **example.label})


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make {path}: {error.strerror or error}") from None


def _fill(
    folder: DatasetFolder,
    count: int,
    errand: _Errand,
    workers: int,
    progress: Progress,
) -> int:
    lines = folder.finished()
    missing = [index for index in range(count) if index not in lines]
    done = count - len(missing)
    progress(done, count)
    try:
        for fresh in _carry_out(errand, missing, workers):
            folder.note(fresh)
            lines |= _indexed(fresh)
            done += len(fresh)
            progress(done, count)
    finally:
        # Also after Ctrl-C: what is finished is labelled.
        folder.gather(lines)
    return len(missing)


def _indexed(lines: Sequence[str]) -> Lines:
    return {int(json.loads(line)["index"]): line for line in lines}


def _carry_out(errand: _Errand, missing: Sequence[int], workers: int) -> Iterator[list[str]]:
    """Label lines, chunk by chunk."""
    chunks = (missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK))
    if workers == 1 or len(missing) <= CHUNK:
        yield from map(errand, chunks)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as pool:
        try:
            # A few chunks ahead and no more, so that an interruption loses little.
            with _sheltered_from_interrupts():
                ahead = deque(pool.submit(errand, chunk) for chunk in islice(chunks, 2 * workers))
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(pool.submit(errand, chunk) for chunk in islice(chunks, 1))
        except BrokenProcessPool:
            raise TipsmithError(
                "a worker was ended from outside; run the same command again to go on"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _sheltered_from_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back, for good from processes started here: they would die of it loudly."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
