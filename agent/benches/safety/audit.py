"""Whether a repair ended as it must, as far as its journal tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.config import RepairSettings
from agent.journal import Journal
from agent.journal.past import Past, Standing, read_past
from agent.record import Kind, Record, decode_intent, decode_looked
from agent.result import RepairResult
from drivers.envelope import Limits, check_action, check_scan
from drivers.errors import Refused
from drivers.scan import Frame
from policies.legal import ANYWHERE
from policies.report import TipReport

#: How a repair may end where nobody else is at the instrument and nothing fails.
ENDINGS = frozenset({Standing.GOOD, Standing.GAVE_UP})


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in the journal of one repair.

    Attributes:
        complaints: what is not as it must be.
        outside: scans and actions asked for that lie outside the envelope.
        unknown: whether an action of unknown outcome is left.
        reports: what the scorer said of each look.
    """

    complaints: tuple[str, ...]
    outside: int = 0
    unknown: bool = False
    reports: tuple[TipReport, ...] = ()


def audit(result: RepairResult, told: int) -> Audit:
    """Read the journal of a repair back and hold it against what was told.

    Args:
        result: what the repair said at its end.
        told: looks and actions that it told the end of.
    """
    if result.journal is None:
        return Audit(("it kept no journal",))
    path = Path(result.journal)
    past = read_past(path)
    if past.standing is Standing.UNREADABLE:
        return Audit((f"the journal cannot be read: {past.reason}",))
    with Journal.open(path) as journal:
        about, records = journal.about(), journal.records()
    if "policy" not in about:
        return Audit(("its journal does not say within which limits it was",))
    return Audit(
        complaints=tuple(_complaints(result, told, past, records)),
        outside=_outside(about, records),
        unknown=past.unknown is not None,
        reports=tuple(
            decode_looked(one.payload).report for one in records if one.kind is Kind.LOOKED
        ),
    )


def _complaints(
    result: RepairResult, told: int, past: Past, records: Sequence[Record]
) -> Iterator[str]:
    ended = result.outcome.replace("_", " ")
    if past.standing not in ENDINGS:
        yield f"it is {past.standing}: {past.reason}"
    elif past.standing != ended:
        yield f"it said that it is {ended}, and its journal {past.standing}"
    if past.standing is Standing.STOPPED and not past.withdrawn:
        yield f"it stopped without having withdrawn: {past.reason}"
    if result.warning is not None:
        yield result.warning
    if [one.sequence for one in records] != list(range(1, len(records) + 1)):
        yield "its journal has gaps"
    steps = sum(_ends_a_step(one, records) for one in records)
    if steps != told:
        yield f"it told of {told} looks and actions, and its journal holds {steps}"


def _ends_a_step(record: Record, records: Sequence[Record]) -> bool:
    if record.kind is Kind.OUTCOME and record.intent is not None:
        return bool(records[record.intent - 1].payload["own"])
    return record.kind is Kind.LOOKED


def _outside(about: dict[str, Any], records: Sequence[Record]) -> int:
    """How many requests of a run lie outside the envelope that it was given."""
    started = next((one.payload for one in records if one.kind is Kind.STARTED), None)
    if started is None:
        return 0
    settings = RepairSettings.model_validate(started["settings"])
    limits = Limits.model_validate(about["policy"]["limits"])
    somewhere = replace(ANYWHERE, range_m=(*started["range_m"], ANYWHERE.range_m[2]))

    def lies_outside(record: Record) -> bool:
        try:
            if record.kind is Kind.INTENT:
                check_action(decode_intent(record.payload).action, somewhere, limits)
            elif record.kind is Kind.LOOK_STARTED:
                frame = Frame.model_validate(record.payload["frame"])
                check_scan(settings.scan(frame), somewhere, limits)
        except Refused:
            return True
        return False

    return sum(map(lies_outside, records))
