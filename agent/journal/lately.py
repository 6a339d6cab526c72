"""What the runs before have sent to an instrument of late: limits on what comes together go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.journal.journal import FILE, Journal
from agent.journal.past import same_instrument
from agent.record import Kind, Record, decode_intent
from drivers.actions import Action, CoarseMove, Pulse
from drivers.errors import FileError
from drivers.sample_map import spoiled_diameter_m
from policies.before import Before

#: What was sent longer ago counts no more (s): a night.
WITHIN_S = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class Sent:
    """An action that was sent, as far as anybody knows.

    Attributes:
        action: what.
        x_m: where (m).
        y_m: where (m).
        ago_s: how long ago (wall s).
    """

    action: Action
    x_m: float
    y_m: float
    ago_s: float


def sent_lately(directory: Path, microscope: str, now: datetime) -> list[Sent]:
    """What the runs in ``directory`` have sent to ``microscope`` in the last night, in order.

    What cannot be read is passed over: the start of a run complains of it elsewhere.
    """
    found = [one for path in directory.glob(f"*/{FILE}") for one in _read(path, microscope, now)]
    return sorted(found, key=lambda one: -one.ago_s)


def done_before(sent: Sequence[Sent], now_s: float) -> Before:
    """What policies have to know of what was ``sent``, in the order in which it was.

    Args:
        sent: what runs before have sent.
        now_s: instrument time (s).
    """
    moves = [index for index, one in enumerate(sent) if isinstance(one.action, CoarseMove)]
    here = sent[moves[-1] + 1 :] if moves else sent
    discs = [(one.x_m, one.y_m, spoiled_diameter_m(one.action)) for one in here]
    return Before(
        pulses_s=tuple(now_s - one.ago_s for one in sent if isinstance(one.action, Pulse)),
        touched=tuple(disc for disc in discs if disc[2]),
    )


def _read(path: Path, microscope: str, now: datetime) -> list[Sent]:
    try:
        if now.timestamp() - _touched_s(path) > WITHIN_S:
            return []
        with Journal.open(path) as journal:
            if not same_instrument(journal.about().get("microscope"), microscope):
                return []
            return list(_sent(journal.records(), now))
    # Damaged, or written by another version.
    except (FileError, OSError, LookupError, TypeError, ValueError):
        return []


def _sent(records: Sequence[Record], now: datetime) -> Iterator[Sent]:
    refused = {record.intent for record in records if record.kind is Kind.REFUSED}
    for record in records:
        if record.kind is not Kind.INTENT or record.sequence in refused:
            continue
        # A clock that was put back makes nothing happen in the future.
        ago_s = max((now - _written(record.written_utc)).total_seconds(), 0.0)
        if ago_s <= WITHIN_S:
            intent = decode_intent(record.payload)
            yield Sent(intent.action, intent.x_m, intent.y_m, ago_s)


def _touched_s(path: Path) -> float:
    """When the journal was last written to; what is new may still lie in a file beside it."""
    return max(one.stat().st_mtime for one in path.parent.glob(f"{path.name}*"))


def _written(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
