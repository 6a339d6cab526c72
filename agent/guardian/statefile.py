"""The file that says what the guardian is doing: for people, for the agent, for its successor."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent.guardian.states import State

#: What others than its owner may not do with the file.
READ_OR_WRITE, WRITE = 0o077, 0o022


@dataclass(frozen=True, slots=True)
class Report:
    """What a guardian last wrote down.

    Attributes:
        state: what it was doing.
        reason: why, in one line.
        since_utc: wall time of the change, a label for people.
        pid: its process.
        port: where on this machine it listens.
        token: what whoever asks it has to know; only the owner can read the file.
        handed: the orders and times it was handed, so that a successor can withdraw; or None.
    """

    state: State
    reason: str
    since_utc: str
    pid: int
    port: int
    token: str = field(repr=False)
    handed: Mapping[str, Any] | None


def write_report(path: Path, report: Report) -> None:
    """Replace the file as a whole, so that even a power cut leaves the old one or the new one.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(report), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        # Of one that failed nothing is left: neither its token nor the room that it takes.
        draft.unlink(missing_ok=True)
    _settle(path.parent)


def keep_torn(path: Path) -> Path:
    """Give a file that holds no report a second name, under which it outlives its replacement.

    Returns:
        The second name; what had it before is gone.

    Raises:
        OSError: it cannot be kept.
    """
    kept = path.with_name(f"{path.name}.torn")
    kept.unlink(missing_ok=True)
    kept.hardlink_to(path)
    return kept


def check_private(path: Path, forbidden: int, power: str = "command the guardian") -> None:
    """Make sure that the file, if there is one, is nobody else's; where the system knows owners.

    Args:
        path: the file, or a folder.
        forbidden: what others may not do, as bits of its mode: ``READ_OR_WRITE`` or ``WRITE``.
        power: what they could do with what it holds.

    Raises:
        ValueError: it belongs to somebody else, or others may do it.
        OSError: the file cannot be asked.
    """
    if os.name != "posix" or not path.exists():
        return
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        raise ValueError(f"{path} belongs to another user; give one of your own")
    if mode & forbidden:
        private = "700" if stat.S_ISDIR(status.st_mode) else "600"
        raise ValueError(
            f"others can read or change {path} (mode {mode:o}), and with what it holds they can "
            f"{power}; see that nobody has, then run 'chmod {private} {path}'"
        )


def read_report(path: Path) -> Report | None:
    """What the file says, or None if there is none.

    Raises:
        ValueError: it cannot be read, or does not hold a report.
    """
    try:
        raw = json.loads(path.read_bytes())
        return Report(**{**raw, "state": State(raw["state"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Some errors hold what was read, the token with it, and this goes into logs.
        raise ValueError(
            f"{path} holds no report of a guardian ({type(error).__name__}), so nobody "
            "knows what was armed; see at the instrument that the tip is withdrawn, then run "
            "'tipsmith guardian --rearm'"
        ) from None


def _settle(folder: Path) -> None:
    # Some systems cannot open a folder, and some file systems cannot sync one.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
