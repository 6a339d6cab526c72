"""Runs and how they stand, as far as their journals tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.journal import storage
from agent.journal.journal import FILE
from agent.journal.understanding import read
from agent.record import Intent, Kind, Record, decode_intent
from drivers.complaints import shown
from drivers.errors import ConfigError, FileError
from drivers.microscope import Debts
from drivers.registry import Address


class Standing(StrEnum):
    """How a run stands.

    ``BROKEN_OFF`` has no end in its journal and no process that could still write one; what the
    tip has been left in is unknown. ``PAUSED`` has left it to somebody at the instrument.
    """

    RUNNING = "running"
    GOOD = "good"
    GAVE_UP = "gave up"
    PAUSED = "paused"
    STOPPED = "stopped"
    BROKEN_OFF = "broken off"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Past:
    """A run as its journal shows it.

    Attributes:
        name: of its folder.
        standing: how it stands.
        microscope: address, or None if the journal does not say.
        started_utc: when the first entry was written, or None if there is none.
        entries: how many there are, those of what is owed not counted.
        withdrawn: whether the run's last word is that the tip is withdrawn.
        unknown: an action that it sent, or found sent by the run before, of unknown outcome; None
            if there is none, or the tip was looked at since.
        reason: why it is unreadable, or what stopped it.
        owed: what it, or the runs before it, changed at the instrument and did not put back; None
            if it never came to take account of that.
    """

    name: str
    standing: Standing
    microscope: str | None = None
    started_utc: str | None = None
    entries: int = 0
    withdrawn: bool = False
    unknown: Intent | None = None
    reason: str = ""
    owed: Debts | None = None


def find_run(run: str, directory: Path) -> Path:
    """The journal of ``run``: the path of its file or folder, or a folder's name in ``directory``.

    Raises:
        FileError: there is none, or its name is none that a file can have.
    """
    for place in (Path(run), directory / run):
        try:
            path = place / FILE if place.is_dir() else place
            if path.is_file():
                return path
        except OSError as error:
            raise FileError(f"the run {run!r} cannot be looked up: {error.strerror}") from None
    raise FileError(
        f"no run {run!r}; expected the folder of a run or the name of one in {directory}, "
        "which 'tipsmith journal list' shows"
    )


def runs(directory: Path) -> list[Past]:
    """All runs in ``directory``, the latest first.

    Raises:
        FileError: the folder cannot be read.
    """
    return list(_latest_first(directory))


def latest_run(directory: Path, microscope: str) -> Past | None:
    """The latest run on ``microscope`` that is over, whether it ended or broke off.

    A run that cannot be read may have been on any microscope. One that broke off before it did
    anything is passed over: it has left things as it found them.

    Raises:
        FileError: the folder cannot be read.
    """
    for past in _latest_first(directory):
        if past.standing is Standing.UNREADABLE:
            return past
        idle = past.standing is Standing.BROKEN_OFF and past.entries <= 1 and not past.unknown
        over = past.standing is not Standing.RUNNING
        if same_instrument(past.microscope, microscope) and over and not idle:
            return past
    return None


def latest_owed(directory: Path, microscope: str) -> Past | None:
    """The latest run on ``microscope`` that has taken account of what is owed there.

    None if there is none, or a run that is alive has it in its hands.

    Raises:
        FileError: the folder cannot be read.
    """
    for past in _latest_first(directory):
        if same_instrument(past.microscope, microscope) and past.owed is not None:
            return None if past.standing is Standing.RUNNING else past
    return None


def same_instrument(address: object, other: str) -> bool:
    """Whether two addresses may be of one instrument, however they are written.

    Options do not count, nor does a port that only one of them names: it is the usual one, or not.

    Args:
        address: what a journal has as its address.
        other: the address that is asked for.

    Raises:
        ConfigError: ``other`` is no address.
    """
    one, two = _journaled(address), Address.parse(other)
    # What is no address may have been any instrument's. What that run owes must not be written to
    # the wrong one, and its end must not hide what the run before has left here. That the tip is
    # withdrawn all the same sees ``read_past``: for it such a run is one that cannot be read.
    if one is None:
        return False
    places = {(each.scheme, each.host, each.name) for each in (one, two)}
    return len(places) == 1 and (one.port == two.port or None in (one.port, two.port))


def _journaled(address: object) -> Address | None:
    """What a journal has as its address; None if that is none."""
    try:
        return Address.parse(address) if isinstance(address, str) else None
    except ConfigError:
        return None


def _latest_first(directory: Path) -> Iterator[Past]:
    try:
        if directory.exists() and not directory.is_dir():
            raise FileError(f"{directory} is no folder; expected one with a folder for each run")
        paths = sorted(directory.glob(f"*/{FILE}"), reverse=True)
    except OSError as error:
        raise FileError(f"the runs in {directory} cannot be read: {error.strerror}") from None
    return (read_past(path) for path in paths)


def read_past(path: Path) -> Past:
    """How the run with the journal at ``path`` stands; never fails."""
    # Before the entries: a run that ends meanwhile has then written its last.
    alive = storage.is_held(path.parent)
    try:
        with read(path) as journal:
            return _judge(path.parent.name, journal.about(), journal.records(), alive=alive)
    except FileError as error:
        reason = str(error)
    standing = Standing.RUNNING if alive else Standing.UNREADABLE
    return Past(path.parent.name, standing, reason=reason)


def _judge(name: str, about: dict[str, Any], records: Sequence[Record], *, alive: bool) -> Past:
    microscope = about.get("microscope")
    if microscope is not None and _journaled(microscope) is None:
        raise ValueError(f"its microscope is no address but {shown(microscope)}")
    told = [record for record in records if record.kind is not Kind.OWED]
    last = told[-1] if told else None
    ended = None if last is None else _ending(last)
    return Past(
        name=name,
        standing=ended or (Standing.RUNNING if alive else Standing.BROKEN_OFF),
        microscope=microscope,
        started_utc=records[0].written_utc if records else None,
        entries=len(told),
        withdrawn=last is not None
        and last.kind is Kind.ERROR
        and last.payload["withdrawn"] is True,
        unknown=_unknown(records),
        reason=last.payload.get("reason", "") if last is not None and ended else "",
        owed=_owed(records),
    )


def _ending(last: Record) -> Standing | None:
    if last.kind is Kind.DECLARED:
        return Standing.GOOD if last.payload["outcome"] == "good" else Standing.GAVE_UP
    return {Kind.ERROR: Standing.STOPPED, Kind.PAUSED: Standing.PAUSED}.get(last.kind)


def _owed(records: Sequence[Record]) -> Debts | None:
    changes = [record.payload for record in records if record.kind is Kind.OWED]
    if not changes:
        return None
    debts = {name: debt for change in changes for name, debt in change.items()}
    return {name: debt for name, debt in debts.items() if debt is not None}


def _unknown(records: Sequence[Record]) -> Intent | None:
    unknown: Intent | None = None
    found: Intent | None = None
    for record in records:
        match record.kind:
            case Kind.FOUND if record.payload["intent"] is not None:
                found = decode_intent(record.payload["intent"])
            case Kind.LOOKED:
                found = None
            case Kind.INTENT:
                unknown = decode_intent(record.payload)
            case Kind.OUTCOME | Kind.REFUSED:
                unknown = None
    return unknown or found
