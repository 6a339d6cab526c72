"""The rows of the table that real pictures of H:Si(100) fill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.benchmark import Row, judged
from policies.bench.figures import Doubles, Question, calibration_error
from policies.bench.hsi import (
    BLURRY,
    FEW_LABELS,
    FEW_SESSIONS,
    TIP_CHANGE,
    Judged,
    Pictures,
)
from sim.benches.realism.classifier import auc
from sim.benches.realism.real import CLASSES, Voted

ON = "H:Si(100), "
SHIPPED, CALIBRATION, LOSS_FEW, LOSS_FIRST = ">= 0.90", "<= 0.05", "<= 0.03", "<= 0.02"
GOOD = "good vs bad"
TARGETS = {"blurry": ">= 0.91", "tip_change": ">= 0.96", GOOD: ">= 0.993"}


def rows(pictures: Pictures, found: Judged) -> list[Row]:
    """All rows, each figure with its interval over sessions."""
    made = [_shipped(pictures)]
    for name in TARGETS:
        made += _of_class(name, pictures, found)
    made += [_ceiling(pictures.voted), _agreed(pictures, found)]
    errors = [
        calibration_error(found.adapted[:, k], pictures.labels.votes[:, k].astype(float))
        for k in range(len(CLASSES))
    ]
    title = f"{ON}adapted: expected calibration error, mean of the classes"
    worst = CLASSES[int(np.argmax(errors))]
    note = f"largest {max(errors):.3f}, {worst}"
    made.append(judged(title, float(np.mean(errors)), "", CALIBRATION, note=note))
    return made


def goodness(probabilities: Doubles) -> Doubles:
    """How good a tip is by the probabilities of the classes, shape (..., classes) to (...)."""
    found: Doubles = 1 - probabilities[..., BLURRY]
    return found


def scores_of(name: str, probabilities: Doubles) -> Doubles:
    """What tells the class, of probabilities of shape (..., classes)."""
    if name == GOOD:
        return goodness(probabilities)
    found: Doubles = probabilities[..., CLASSES.index(name)]
    return found


def asked(name: str, pictures: Pictures) -> tuple[NDArray[np.intp], Question]:
    """Which pictures are asked about, and what the answer is."""
    sessions = pictures.labels.sessions
    if name == GOOD:
        clear, good = pictures.good()
        which = np.flatnonzero(clear)
        return which, Question(good[which], sessions[which])
    positive = pictures.labels.votes[:, CLASSES.index(name)] >= 0.5
    return np.arange(len(sessions)), Question(positive, sessions)


def _shipped(pictures: Pictures) -> Row:
    which, question = asked(GOOD, pictures)
    name = f"{ON}shipped weights, no real label seen: AUC, {GOOD}, unanimous"
    return question.answered(name, pictures.shipped_good[which], SHIPPED)


def _of_class(name: str, pictures: Pictures, found: Judged) -> list[Row]:
    which, question = asked(name, pictures)
    whole = scores_of(name, found.adapted)[which]
    few = scores_of(name, found.few)[:, which]
    baseline = scores_of(name, found.baseline)[which]
    title = f"{name}, unanimous" if name == GOOD else name

    def lost_by_few(pick: NDArray[np.intp]) -> float:
        right = question.positive[pick]
        return auc(whole[pick], right) - float(np.mean([auc(one[pick], right) for one in few]))

    few_title = f"{ON}{FEW_LABELS} labels from {FEW_SESSIONS} sessions: loss of AUC, {title}"
    return [
        question.answered(f"{ON}adapted on other sessions: AUC, {title}", whole, TARGETS[name]),
        question.answered(f"{ON}hand-made features, boosted trees: AUC, {title}", baseline),
        question.measured(few_title, lost_by_few, LOSS_FEW),
        _lost_by_first(title, question, whole, scores_of(name, found.first)[which]),
    ]


def _lost_by_first(title: str, question: Question, whole: Doubles, first: Doubles) -> Row:
    """Compared where the first lines show anything at all."""
    told = np.flatnonzero(np.isfinite(first))
    part = Question(question.positive[told], question.sessions[told])
    whole, first = whole[told], first[told]

    def lost(pick: NDArray[np.intp]) -> float:
        return auc(whole[pick], part.positive[pick]) - auc(first[pick], part.positive[pick])

    note = f"{len(question.positive) - len(told)} left out: nothing in these lines"
    if title == CLASSES[TIP_CHANGE]:
        note += "; most tips change later"
    name = f"{ON}first 12 % of the lines alone: loss of AUC, {title}"
    return part.measured(name, lost, LOSS_FIRST, note)


def _agreed(pictures: Pictures, found: Judged) -> Row:
    """What is left of the errors where two raters or more said the same."""
    clear = [one.raters > 1 and one.votes[BLURRY] in (0.0, 1.0) for one in pictures.voted]
    which = np.flatnonzero(clear)
    positive = pictures.labels.votes[which, BLURRY] == 1
    question = Question(positive, pictures.labels.sessions[which])
    name = f"{ON}adapted on other sessions: AUC, blurry where raters agree"
    return question.answered(name, found.adapted[which, BLURRY])


def _ceiling(voted: list[Voted]) -> Row:
    """One rater against the others, over every rater of every picture."""
    hits = {True: [0.0, 0.0], False: [0.0, 0.0]}
    for one in voted:
        if one.raters < 2:
            continue
        yes = round(one.votes[BLURRY] * one.raters)
        for vote, count in ((True, yes), (False, one.raters - yes)):
            others = (yes - vote) / (one.raters - 1) >= 0.5
            hits[others][0] += count * (vote == others)
            hits[others][1] += count
    shares = [right / max(total, 1) for right, total in hits.values()]
    note = "one rater against the others; single votes allow no finer scale"
    return Row(f"{ON}raters' own ceiling: AUC, blurry", float(np.mean(shares)), note=note)
