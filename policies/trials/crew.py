"""Blocks of trials, side by side: what one process carries out at a time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from policies.report import TipReport
from policies.scorer import Scorer
from policies.trials.course import Course
from policies.trials.entrants import learned_by
from policies.trials.eye import answer
from policies.trials.record import Record
from policies.trials.trial import Question, Trial

#: Episodes that are judged together. What is judged beside a scan changes the last digits of its
#: report, so that a block is always carried out as a whole.
BLOCK = 20


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive episodes of one entrant.

    Attributes:
        entrant: its name.
        worlds: see ``Course``.
        first: number of the first episode.
        count: how many.
        learned: hash of what the entrant has learned, empty for a rule.
    """

    entrant: str
    worlds: str
    first: int
    count: int
    learned: str = ""


def blocks(entrants: Sequence[str], worlds: str, first: int, episodes: int) -> list[Block]:
    """The blocks that ``episodes`` from ``first`` on make, episode by episode for all entrants."""
    starts = range(first, first + episodes, BLOCK)
    return [
        Block(entrant, worlds, start, min(BLOCK, first + episodes - start), learned_by(entrant))
        for start in starts
        for entrant in entrants
    ]


def carry_out(course: Course, block: Block, scorer: Scorer) -> list[Record]:
    """The records of a block, in the order of its episodes."""
    course = course.model_copy(update={"worlds": block.worlds})
    numbers = range(block.first, block.first + block.count)
    stop = scorer.manifest.stop
    running = {n: Trial(course, block.entrant, n, stop).run() for n in numbers}
    records: dict[int, Record] = {}
    questions: dict[int, Question] = {}
    for number in numbers:
        _go_on(running[number], None, number, questions, records)
    while questions:
        asked, questions = questions, {}
        reports = answer(scorer, list(asked.values()))
        for number, report in zip(asked, reports, strict=True):
            _go_on(running[number], report, number, questions, records)
    return [records[number] for number in numbers]


def _go_on(
    trial: Generator[Question, TipReport, Record],
    report: TipReport | None,
    number: int,
    questions: dict[int, Question],
    records: dict[int, Record],
) -> None:
    """Let a trial go on to its next question or its end."""
    try:
        questions[number] = next(trial) if report is None else trial.send(report)
    except StopIteration as end:
        records[number] = end.value
