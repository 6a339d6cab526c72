"""Whether the journal of a run will fit on the disk: a night must not end because it is full."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.config import RepairSettings
from drivers.errors import FileError

MIB = 2**20
#: Entries of one look; twice what they have been seen to take.
LOOK_BYTES = 6 * 2**10
#: Entries of one action, of the ways there and back, and a trace of two seconds.
ACTION_BYTES = 40 * 2**10
#: The log that SQLite writes ahead, with what else fills the disk meanwhile.
RESERVE_BYTES = 16 * MIB


def needed_bytes(settings: RepairSettings) -> int:
    """What the journal of the longest run that ``settings`` allow may take, at most."""
    shortest = settings.least_share if settings.stop_early else 1.0
    look_s = shortest * settings.lines * (settings.forward_s + settings.backward_s)
    looks = 1 + settings.max_hours * 3600 / look_s
    return int(looks * LOOK_BYTES + settings.max_actions * ACTION_BYTES) + RESERVE_BYTES


def check_room(directory: Path, settings: RepairSettings) -> None:
    """Make sure that the journal of a run will fit into ``directory``, which need not exist yet.

    Raises:
        FileError: it may not, or there can be no such folder.
    """
    needed = needed_bytes(settings)
    place = _place(directory)
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise FileError(f"the free room in {place} is unknown: {error.strerror}") from None
    if free < needed:
        raise FileError(
            f"{place} has {free / MIB:.0f} MiB free and the journal of this run may need "
            f"{needed / MIB:.0f}; make room, choose another folder with --journal, or lower "
            "max_hours or max_actions"
        )


def _place(directory: Path) -> Path:
    """``directory``, or the folder nearest above it that exists."""
    wanted = directory.absolute()
    try:
        place = next(one for one in (wanted, *wanted.parents) if one.exists())
    except OSError as error:
        raise FileError(f"no journal can be kept in {directory}: {error.strerror}") from None
    if not place.is_dir():
        raise FileError(
            f"no journal can be kept in {directory}: {place} is no folder; choose another folder "
            "with --journal"
        )
    return place
