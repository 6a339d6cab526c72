"""A journal as tables for other programs: all entries, the looks, the actions, and their traces.

Columns come in the units that people read, with the unit in the name: nm, pA, V, s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.journal.journal import Journal
from agent.record import Kind, Record, decode_intent, decode_looked, decode_trace
from policies.report import ImageState, TipState

#: Columns by name, each with one value per row; None where there is none.
Table = Mapping[str, Sequence[Any]]

NM, PA = 1e-9, 1e-12
_ENTRY = ("sequence", "kind", "instrument_s", "written_utc", "intent", "payload")
_LOOK = (
    *("sequence", "finished_s", "x_nm", "y_nm", "width_nm", "height_nm", "angle_deg", "lines"),
    *("quality", "uncertainty", "novelty", *TipState, *ImageState),
)
_ACTION = (
    *("sequence", "kind", "own", "x_nm", "y_nm", "reason", "action", "answer", "started_s"),
    *("finished_s", "z_before_nm", "z_after_nm", "z_jump_nm"),
)
_TRACE = ("action", "time_s", "current_pa", "z_nm")


def tables(journal: Journal) -> dict[str, Table]:
    """The tables ``events``, ``looks``, ``actions`` and ``traces``.

    ``action`` of a trace is ``sequence`` of its action; ``answer`` of an action is ``outcome``,
    ``refused`` or, where nothing answers its intent, ``unknown``.

    Raises:
        FileError: the journal is damaged.
    """
    records = journal.records()
    answers = {record.intent: record for record in records if record.intent is not None}
    intents = [record for record in records if record.kind is Kind.INTENT]
    looks = [record for record in records if record.kind is Kind.LOOKED]
    return {
        "events": _table(_ENTRY, [_entry(record) for record in records]),
        "looks": _table(_LOOK, [_look(record) for record in looks]),
        "actions": _table(_ACTION, [_action(one, answers.get(one.sequence)) for one in intents]),
        "traces": _table(_TRACE, [row for one in answers.values() for row in _trace(one)]),
    }


def _table(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    return {str(name): [row.get(name) for row in rows] for name in names}


def _entry(record: Record) -> dict[str, Any]:
    return {
        "sequence": record.sequence,
        "kind": record.kind.value,
        "instrument_s": record.instrument_s,
        "written_utc": record.written_utc,
        "intent": record.intent,
        "payload": json.dumps(record.payload),
    }


def _look(record: Record) -> dict[str, Any]:
    looked = decode_looked(record.payload)
    frame, report = looked.frame, looked.report
    return {
        "sequence": record.sequence,
        "finished_s": looked.finished_s,
        "x_nm": frame.x_m / NM,
        "y_nm": frame.y_m / NM,
        "width_nm": frame.width_m / NM,
        "height_nm": frame.height_m / NM,
        "angle_deg": frame.angle_deg,
        "lines": report.lines,
        "quality": report.quality,
        "uncertainty": report.uncertainty,
        "novelty": report.novelty,
        **{str(state): share for state, share in report.states.items()},
        **{str(state): share for state, share in report.image.items()},
    }


def _action(record: Record, answer: Record | None) -> dict[str, Any]:
    intent = decode_intent(record.payload)
    said = answer.payload if answer is not None and answer.kind is Kind.OUTCOME else {}
    return {
        "sequence": record.sequence,
        "kind": intent.action.kind,
        "own": intent.own,
        "x_nm": intent.x_m / NM,
        "y_nm": intent.y_m / NM,
        "reason": intent.reason,
        "action": intent.action.model_dump_json(),
        "answer": "unknown" if answer is None else answer.kind.value,
        "started_s": said.get("started_s"),
        "finished_s": said.get("finished_s"),
        **{f"{name}_nm": _nm(said.get(f"{name}_m")) for name in ("z_before", "z_after", "z_jump")},
    }


def _trace(answer: Record) -> list[dict[str, Any]]:
    if answer.trace is None:
        return []
    trace = decode_trace(answer.trace)
    columns = (trace.time_s, trace.current_a.astype(float) / PA, trace.z_m.astype(float) / NM)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [dict(zip(_TRACE, (answer.intent, *row), strict=True)) for row in rows]


def _nm(height_m: float | None) -> float | None:
    return None if height_m is None else height_m / NM
