"""What viewers are sent: one JSON object per glance at a run; pure, and quick to import.

The names of its fields are those of ``Glance``, with ``schema`` besides. It can be read by any
program; nothing in it is unpickled, and nothing that comes from a network is believed unread.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar, get_args

from agent.phases import Phase
from agent.result import Ending, RepairResult

SCHEMA: Final = 1
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Mention:
    """A step or an event in words.

    Attributes:
        what: ``look``, or the kind of action.
        at_m: where, x and y (m), or None.
        words: why it is done, or what came of it.
    """

    what: str
    at_m: tuple[float, float] | None
    words: str


@dataclass(frozen=True, slots=True)
class Glance:
    """A glance at a run, as viewers see it.

    Attributes:
        phase: what it is doing.
        run: name of its folder, empty before it has one.
        instrument_s: instrument time since it began (s).
        actions: actions carried out so far.
        lines: lines of the running scan so far.
        quality: probability that the tip is good, 0..1, or None before the first judgement.
        states: probability of each trouble of tip and picture, 0..1.
        step: what is being done, or None.
        event: what has just ended, or None; told once.
        note: a sentence for the operator, or None; told once.
        asking: whether a question waits for an answer.
        result: the result, at the end.
    """

    phase: Phase
    run: str = ""
    instrument_s: float = 0.0
    actions: int = 0
    lines: int = 0
    quality: float | None = None
    states: Mapping[str, float] = field(default_factory=dict)
    step: Mention | None = None
    event: Mention | None = None
    note: str | None = None
    asking: bool = False
    result: RepairResult | None = None


def encode(glance: Glance) -> bytes:
    """The message that tells ``glance``.

    Raises:
        ValueError: a number in it is infinite or none.
    """
    result = glance.result
    # By hand: ``asdict`` would take longer than all the rest.
    message = {
        "schema": SCHEMA,
        "run": glance.run,
        "phase": glance.phase.value,
        "instrument_s": glance.instrument_s,
        "actions": glance.actions,
        "lines": glance.lines,
        "quality": glance.quality,
        "states": glance.states,
        "step": _told(glance.step),
        "event": _told(glance.event),
        "note": glance.note,
        "asking": glance.asking,
        "result": None if result is None else asdict(result),
    }
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()


def decode(message: bytes) -> Glance:
    """The glance that ``message`` tells.

    Characters that could command a terminal come back as spaces.

    Raises:
        ValueError: it is no message of this schema.
    """
    try:
        raw = json.loads(message)
        if raw["schema"] != SCHEMA:
            raise ValueError(f"it is of schema {str(raw['schema'])[:20]!r}, expected {SCHEMA}")
        return _glance(raw)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"this is no glance at a run that this version can read ({_why(error)}); see that both "
            "ends are of the same version"
        ) from None


def _told(mention: Mention | None) -> dict[str, object] | None:
    if mention is None:
        return None
    return {"what": mention.what, "at_m": mention.at_m, "words": mention.words}


def _glance(raw: Mapping[str, Any]) -> Glance:
    return Glance(
        phase=Phase(raw["phase"]),
        run=_text(raw["run"]),
        instrument_s=_number(raw["instrument_s"]),
        actions=_count(raw["actions"]),
        lines=_count(raw["lines"]),
        quality=_maybe(_chance, raw["quality"]),
        states={_text(name): _chance(value) for name, value in _table(raw["states"]).items()},
        step=_maybe(_mention, raw["step"]),
        event=_maybe(_mention, raw["event"]),
        note=_maybe(_text, raw["note"]),
        asking=_flag(raw["asking"]),
        result=_maybe(_result, raw["result"]),
    )


def _mention(raw: Any) -> Mention:  # noqa: ANN401 - whatever was sent
    table = _table(raw)
    return Mention(_text(table["what"]), _maybe(_place, table["at_m"]), _text(table["words"]))


def _result(raw: Any) -> RepairResult:  # noqa: ANN401 - whatever was sent
    table = _table(raw)
    outcome = table["outcome"]
    if outcome not in get_args(Ending):
        raise ValueError("it tells an outcome that nobody knows")
    return RepairResult(
        outcome=outcome,
        reason=_text(table["reason"]),
        confirmed_on=_count(table["confirmed_on"]),
        actions=_count(table["actions"]),
        instrument_s=_number(table["instrument_s"]),
        wall_s=_number(table["wall_s"]),
        overhead_s=_number(table["overhead_s"]),
        journal=_text(table["journal"]),
        true_state=_maybe(_facts, table["true_state"]),
        exit_code=_count(table["exit_code"]),
        warning=_maybe(_text, table["warning"]),
    )


def _maybe(read: Callable[[Any], Value], raw: Any) -> Value | None:  # noqa: ANN401 - see above
    return None if raw is None else read(raw)


def _table(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise TypeError(f"an object was expected, not {type(raw).__name__}")
    return raw


def _facts(raw: object) -> dict[str, float | bool | str]:
    return {_text(name): _fact(value) for name, value in _table(raw).items()}


def _fact(raw: object) -> float | bool | str:
    if isinstance(raw, bool):
        return raw
    return _text(raw) if isinstance(raw, str) else _number(raw)


def _place(raw: object) -> tuple[float, float]:
    if not isinstance(raw, list):
        raise TypeError(f"a place was expected, not {type(raw).__name__}")
    x_m, y_m = raw
    return _number(x_m), _number(y_m)


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"a text was expected, not {type(raw).__name__}")
    return raw if raw.isprintable() else "".join(c if c.isprintable() else " " for c in raw)


def _flag(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise TypeError(f"yes or no was expected, not {type(raw).__name__}")
    return raw


def _count(raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 0:
        raise TypeError("a count was expected")
    return raw


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        raise TypeError("a finite number was expected")
    return float(raw)


def _chance(raw: object) -> float:
    chance = _number(raw)
    if not 0 <= chance <= 1:
        raise ValueError("a probability was expected")
    return chance


def _why(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
