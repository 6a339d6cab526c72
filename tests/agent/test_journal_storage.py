"""The file under the journal: read-only places, full disks, what survives a crash."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from agent.config import USUAL_WATCHES, RepairSettings
from agent.journal import FILE, Journal, room, storage
from agent.record import Kind
from agent.repair import repair
from agent.result import RepairResult
from drivers.errors import FileError
from tests.agent.conftest import Start
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe

TOLD_S = 5.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB; mounting one takes root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", 0) as ballast, pytest.raises(OSError, match="No space left"):
        [ballast.write(b"x" * 4096) for _ in range(1024)]


def cap(journal: Journal) -> None:
    """Let SQLite itself find no page free, on any disk."""
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")


def night(journal: Journal, fill_up: object) -> tuple[RepairResult, ScriptedMicroscope, float]:
    """A repair on whose disk something else takes all room during the second scan."""
    microscope = ScriptedMicroscope([0.1])
    scan, times = microscope.scan, []

    async def main() -> RepairResult:
        loop = asyncio.get_running_loop()

        def scanned(settings: object) -> object:
            if len(microscope.lines) == 1:
                fill_up()
                times.append(loop.time())
            return scan(settings)

        microscope.scan = scanned
        settings = RepairSettings(pixels=16, lines=24, max_actions=300)
        policy, scorer = Always(DIP), ScriptedScorer()
        # The watch over the disk would end the run before its first byte too many.
        watches = USUAL_WATCHES.model_copy(update={"min_disk_mib": 0.0})
        result = await repair(
            microscope.enveloped(),
            scorer,
            policy,
            settings,
            scribe(journal),
            watchdogs=watches,
        )
        times.append(loop.time())
        return result

    result = asyncio.run(main())
    return result, microscope, times[1] - times[0]


def check_night(journal: Journal, told: tuple[RepairResult, ScriptedMicroscope, float]) -> None:
    result, microscope, seconds = told
    assert (result.outcome, result.exit_code) == ("stopped", 2)
    assert "full" in result.reason
    assert microscope.calls[-1] == "withdraw"
    assert seconds < TOLD_S
    kept = journal.records()
    assert [one.sequence for one in kept] == list(range(1, len(kept) + 1))
    assert Kind.LOOKED in {one.kind for one in kept}
    # What was sent was journaled before.
    assert len(microscope.performed) <= sum(one.kind is Kind.INTENT for one in kept)


def test_a_full_disk_withdraws_and_leaves_a_journal_to_read(small_disk: Path):
    with Journal.create(small_disk, {}, "night") as journal:
        # Something of this size is written anyway; the log already has its pages on the disk.
        told = night(journal, lambda: fill(small_disk))
        check_night(journal, told)
        before = journal.records()
    with Journal.open(journal.path) as again:
        assert again.records() == before
        assert again._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_that_cannot_grow_withdraws_and_can_be_read(tmp_path: Path):
    with Journal.create(tmp_path, {}, "night") as journal:
        check_night(journal, night(journal, lambda: cap(journal)))


def test_every_entry_that_was_acknowledged_survives_a_full_disk(small_disk: Path):
    with Journal.create(small_disk, {}, "night") as journal:
        written: list[int] = []
        with pytest.raises(FileError, match="full"):
            written.extend(journal.note(Kind.ERROR, 0.0, {"text": "x" * 5000}) for _ in range(1000))
        assert written
        assert [one.sequence for one in journal.records()] == written
    with Journal.open(journal.path) as again:
        assert [one.sequence for one in again.records()] == written


def test_a_read_only_folder_is_told_before_anything_begins(small_disk: Path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(FileError, match="Read-only file system"):
        Journal.create(small_disk, {})


def test_a_journal_in_a_read_only_folder_is_read(small_disk: Path):
    with Journal.create(small_disk, {}, "night") as journal:
        journal.note(Kind.STARTED, 0.0, {})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with Journal.open(journal.path) as again:
        assert len(again.records()) == 1


def copied(journal: Journal, to: Path) -> Path:
    """The files as a killed process leaves them."""
    to.mkdir()
    for name in (FILE, f"{FILE}-wal"):
        (to / name).write_bytes(journal.path.with_name(name).read_bytes())
    return to / FILE


def test_a_killed_run_is_read_where_nothing_can_be_written(tmp_path: Path):
    with Journal.create(tmp_path, {}, "night") as journal:
        for number in range(3):
            journal.note(Kind.ERROR, float(number), {})
        copy = copied(journal, tmp_path / "copy")
    # SQLite wants to share its index of the log here, and cannot.
    copy.with_name(f"{FILE}-shm").mkdir()
    files = {one.name: one.read_bytes() for one in copy.parent.iterdir() if one.is_file()}
    with Journal.open(copy) as again:
        assert [one.instrument_s for one in again.records()] == [0.0, 1.0, 2.0]
        with pytest.raises(FileError, match="readonly"):
            again.note(Kind.ERROR, 0.0, {})
    assert files == {one.name: one.read_bytes() for one in copy.parent.iterdir() if one.is_file()}


def test_an_opened_journal_is_not_written_to(tmp_path: Path):
    with Journal.create(tmp_path, {}) as journal, Journal.open(journal.path) as reader:
        with pytest.raises(FileError, match="readonly"):
            reader.note(Kind.ERROR, 0.0, {})
        assert journal.records() == []


def test_what_a_run_that_is_alive_writes_can_be_followed(tmp_path: Path):
    with Journal.create(tmp_path, {}) as journal, Journal.open(journal.path) as reader:
        assert reader.records() == []
        journal.note(Kind.STARTED, 0.0, {})
        assert reader.records() == journal.records() != []


def test_a_lock_that_is_only_asked_for_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = FileLock(tmp_path / storage.LOCK)
    asked.acquire()
    monkeypatch.setattr(time, "sleep", lambda _: asked.release())
    storage.hold(tmp_path).release()
    # A run that is alive has its name refused without a long wait.
    assert 0.5 < storage._ASKED_S < 2.0


@pytest.mark.parametrize("place", ["none", "folder"])
def test_nobody_holds_a_lock_that_cannot_be_had(tmp_path: Path, place: str):
    if place == "folder":
        (tmp_path / storage.LOCK).mkdir()
    assert storage.is_held(tmp_path) is False


def test_new_folders_are_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync_folder", synced.append)
    with Journal.create(tmp_path / "a" / "b", {}, "night"):
        pass
    made = tmp_path / "a" / "b" / "night"
    assert sorted(synced) == [tmp_path, tmp_path / "a", tmp_path / "a" / "b", made]


def open_handles() -> int:
    # Of what others have left behind nothing is to be closed between two counts.
    gc.collect()
    return len(os.listdir("/dev/fd"))


def test_folders_are_synced_where_the_system_lets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    handles = open_handles()
    storage.sync_folder(tmp_path)
    assert len(synced) == 1
    assert open_handles() == handles
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        storage.sync_folder(tmp_path / "file")
    monkeypatch.delattr(os, "O_DIRECTORY")
    storage.sync_folder(tmp_path)
    assert len(synced) == 1


def test_half_a_journal_is_never_made(tmp_path: Path):
    handles = open_handles()
    # What was raised keeps alive what was not let go of.
    with pytest.raises(FileError, match="UNIQUE constraint") as making:
        Journal.create(tmp_path, Twice(), "night")
    with pytest.raises(FileError, match="ended before it had begun") as opening:
        Journal.open(tmp_path / "night" / FILE)
    assert storage.is_held(tmp_path / "night") is False
    assert open_handles() == handles
    del making, opening


class Twice(dict[str, object]):
    """What is known, with one name twice."""

    def items(self) -> list[tuple[str, object]]:
        return [("seed", 1), ("seed", 2)]


def test_a_night_that_will_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = RepairSettings()
    needed = room.needed_bytes(settings)
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=free)

    monkeypatch.setattr(room.shutil, "disk_usage", usage)
    free = needed
    room.check_room(tmp_path / "not" / "yet", settings)
    assert asked == [tmp_path]
    free = needed - 1
    with pytest.raises(FileError, match=r"MiB free and the journal of this run may need \d+;"):
        room.check_room(tmp_path, settings)


def test_room_that_is_not_known_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def lost(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(room.shutil, "disk_usage", lost)
    with pytest.raises(FileError, match="is unknown: Input/output error"):
        room.check_room(tmp_path, RepairSettings())


def test_a_place_where_no_journal_can_be_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for below in ("file", "file/below"):
        with pytest.raises(FileError, match="file is no folder; choose another folder"):
            room.check_room(tmp_path / below, RepairSettings())
    with pytest.raises(FileError, match=r"no journal can be kept in .*: File name too long$"):
        room.check_room(tmp_path / (300 * "a"), RepairSettings())


def test_the_room_is_that_of_all_looks_and_actions_and_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = RepairSettings(
        lines=100, forward_s=1.5, backward_s=0.5, max_hours=1.0, max_actions=10, stop_early=False
    )
    assert room.needed_bytes(settings) == (1 + 18) * 6144 + 10 * 40960 + 16 * 1024 * 1024
    free = SimpleNamespace(free=3 * 1024 * 1024)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: free)
    with pytest.raises(FileError, match=r" has 3 MiB free .* may need 17; make room"):
        room.check_room(tmp_path, settings)


def test_longer_nights_need_more_room():
    def needed(**changes: object) -> int:
        return room.needed_bytes(RepairSettings(**changes)) - room.RESERVE_BYTES

    base = needed()
    assert needed(max_actions=600) - base == 300 * room.ACTION_BYTES
    looks = (base - 300 * room.ACTION_BYTES) / room.LOOK_BYTES
    assert looks == pytest.approx(1 + 6 * 3600 / (0.33 * 96 * 0.25), abs=1)
    assert needed(max_hours=12.0) > base > needed(stop_early=False) > needed(lines=960)


def emptied(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(16))


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nobody can remove a file that is open")
@pytest.mark.parametrize("name", [FILE, f"{FILE}-wal"])
@pytest.mark.parametrize("harm", [Path.unlink, emptied, replaced, overwritten])
def test_a_journal_that_is_no_longer_there_takes_no_entry(
    tmp_path: Path, name: str, harm: Callable[[Path], object]
):
    with Journal.create(tmp_path, {}, "night") as journal:
        journal.note(Kind.STARTED, 0.0, {})
        harm(journal.path.with_name(name))
        told = rf"night/{FILE} was removed, replaced or emptied while it was written \({name}\)"
        with pytest.raises(FileError, match=told):
            journal.note(Kind.ERROR, 0.0, {})


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nobody can remove a file that is open")
async def test_no_action_follows_a_journal_that_vanished(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1])
    scan = microscope.scan

    def scanned(settings: object) -> object:
        shutil.rmtree(journal.path.parent, ignore_errors=True)
        return scan(settings)

    microscope.scan = scanned
    result = await start(microscope)
    assert (result.outcome, microscope.calls) == ("stopped", ["scan", "withdraw"])
    assert "was removed, replaced or emptied" in result.reason
