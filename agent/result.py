"""What a repair tells: its progress while it runs, and its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from agent.phases import Phase

# Whoever only watches a run must not load what it takes to make one.
if TYPE_CHECKING:
    from agent.approval import Request
    from policies.episode import Step
    from policies.history import Event
    from policies.report import TipReport

GOOD_EXIT, NOT_GOOD_EXIT = 0, 1

Ending = Literal["good", "gave_up", "paused", "stopped"]


@dataclass(frozen=True, slots=True)
class RepairResult:
    """How a repair ended.

    Attributes:
        outcome: ``good`` is confirmed, ``gave_up`` is the plan's end, ``paused`` leaves the tip
            to somebody who is at work on the instrument, ``stopped`` is any other.
        reason: why, in one line.
        confirmed_on: fresh spots on which the tip was seen to be good.
        actions: actions carried out.
        instrument_s: instrument time of the whole repair (s).
        wall_s: wall time of it (s).
        overhead_s: the part of ``wall_s`` in which the agent did not wait for the instrument (s).
        journal: path of the journal, or None if none was begun.
        true_state: hidden state at the end, where the instrument is simulated.
        exit_code: of the command line.
        warning: what could not be put back in order at the instrument afterwards, or None.
    """

    outcome: Ending
    reason: str
    confirmed_on: int
    actions: int
    instrument_s: float
    wall_s: float
    overhead_s: float
    journal: str | None
    true_state: Mapping[str, float | bool | str] | None
    exit_code: int
    warning: str | None = None

    @classmethod
    def unbegun(cls, reason: str, exit_code: int) -> RepairResult:
        """That of a repair that ended before its journal had begun."""
        return cls(
            outcome="stopped",
            reason=reason,
            confirmed_on=0,
            actions=0,
            instrument_s=0.0,
            wall_s=0.0,
            overhead_s=0.0,
            journal=None,
            true_state=None,
            exit_code=exit_code,
        )

    def to_json(self) -> str:
        """The result as one JSON object on one line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Progress:
    """A glance at a running repair.

    Attributes:
        phase: what it is doing.
        instrument_s: instrument time since it began (s).
        actions: actions carried out so far.
        step: the step being carried out, or None.
        lines: lines of the running scan so far.
        report: the latest judgement, of a running scan too, or None.
        event: the look or action that has just ended, or None.
        result: the result, at the end.
        note: a sentence for the operator, or None.
        request: the question that waits for an answer, or None.
    """

    phase: Phase
    instrument_s: float = 0.0
    actions: int = 0
    step: Step | None = None
    lines: int = 0
    report: TipReport | None = None
    event: Event | None = None
    result: RepairResult | None = None
    note: str | None = None
    request: Request | None = None


Listener = Callable[[Progress], None]
