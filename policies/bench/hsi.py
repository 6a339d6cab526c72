"""The scorer on pictures of H:Si(100) that people have labelled, always on unseen sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from drivers.errors import FileError
from drivers.scan import Scan
from policies.adaptation.adapt import teach
from policies.adaptation.adapted import Judges
from policies.adaptation.descriptors import describe
from policies.adaptation.examples import (
    DESCRIBED,
    FIRST_SHARE,
    Example,
    example,
    expected_lines,
    whole_parts,
)
from policies.adaptation.heads import combined
from policies.adaptation.labels import Labels
from policies.adaptation.validation import session_folds
from policies.bench.boosting import boosted
from policies.bench.figures import Doubles
from policies.scorer import Scorer
from sim.benches.realism.features import table
from sim.benches.realism.real import CLASSES, Voted, hsi_votes

SEED = 1
#: The hand-made features compare lines four apart.
FEWEST_LINES = 5
FEW_LABELS, FEW_SESSIONS, FEW_DRAWS = 100, 3, 3
#: Draws of few pictures before it is said that there are none such.
TRIES = 1000
ASYMMETRIC, ATOMS, DIMERS, _, TIP_CHANGE, BLURRY = range(len(CLASSES))

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Labelled pictures, and what is seen in them.

    Attributes:
        voted: the pictures.
        labels: their votes and sessions.
        examples: the pictures in numbers.
        first: described first lines of each, None where they show nothing.
        hand: features made by hand, shape (n, features).
    """

    voted: list[Voted]
    labels: Labels
    examples: list[Example]
    first: list[torch.Tensor | None]
    hand: Doubles

    @property
    def shipped_good(self) -> Doubles:
        """What the shipped scorer says of the tip being good, logits."""
        return np.array([float(one.logits[0]) for one in self.examples])

    def good(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which pictures all raters found clearly good or bad, and which of all are good."""
        clear = np.array([one.good is not None for one in self.voted])
        return clear, np.array([one.good is True for one in self.voted])


@dataclass(frozen=True, slots=True)
class Judged:
    """Probabilities of each class by judges that saw no picture of the session; (n, classes).

    Attributes:
        adapted: by all labels of other sessions.
        first: the same, from the first lines alone; NaN where these show nothing.
        few: by few labels from few sessions, drawn several times; shape (draws, n, classes).
        baseline: by boosted trees on features made by hand.
    """

    adapted: Doubles
    first: Doubles
    few: Doubles
    baseline: Doubles


def read_pictures(scorer: Scorer, data: Path, most: int | None, progress: Progress) -> Pictures:
    """Read pictures and turn them into numbers, ``most`` of them, evenly spread.

    Raises:
        FileError: the set is not there or cannot be read.
    """
    every = [one for one in hsi_votes(data) if len(one.photo) >= FEWEST_LINES]
    if most is not None and len(every) > most:
        every = [every[k] for k in np.linspace(0, len(every) - 1, most).astype(int)]
    voted, examples, first = [], [], []
    for number, one in enumerate(every):
        scan = Scan(forward=one.photo.astype(np.float32), scale_known=False)
        try:
            found = example(scorer, scan, np.random.default_rng([SEED, number]))
        except ValueError:
            # One grey: nothing was recorded.
            continue
        voted.append(one)
        examples.append(found)
        first.append(_first(scan))
        if number % 50 == 0:
            progress(number / len(every), "reading pictures")
    hand, _ = table([one.photo for one in voted])
    return Pictures(voted, _labels(voted), examples, first, hand)


def _labels(voted: list[Voted]) -> Labels:
    names = sorted({one.session for one in voted})
    return Labels(
        tuple(str(number) for number in range(len(voted))),
        CLASSES,
        np.array([one.votes for one in voted], np.float32),
        np.array([names.index(one.session) for one in voted], np.int64),
    )


def _first(scan: Scan) -> torch.Tensor | None:
    lines = max(round(FIRST_SHARE * expected_lines(scan)), 2)
    try:
        return torch.from_numpy(describe(scan.forward[:lines]))
    except ValueError:
        return None


def judge(pictures: Pictures, progress: Progress) -> Judged:
    """Judge every picture by what the other folds of sessions have taught.

    Raises:
        FileError: there are too few pictures for a few labels that show every class.
    """
    folds = session_folds(pictures.labels.sessions)
    shape = pictures.labels.votes.shape
    adapted, first, baseline = (np.full(shape, np.nan) for _ in range(3))
    few = np.full((FEW_DRAWS, *shape), np.nan)
    count = int(folds.max()) + 1
    for fold in range(count):
        progress(fold / count, f"adapting, sessions {fold + 1} of {count}")
        rest, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        judges = _taught(pictures, rest)
        adapted[held] = _whole(judges, pictures, held)
        first[held] = _begun(judges, pictures, held)
        for draw in range(FEW_DRAWS):
            some = _few(pictures.labels, rest, np.random.default_rng([SEED, fold, draw]))
            few[draw, held] = _whole(_taught(pictures, some), pictures, held)
        baseline[held] = _boosted(pictures, rest, held)
    return Judged(adapted, first, few, baseline)


def _taught(pictures: Pictures, which: NDArray[np.intp]) -> Judges:
    examples = [pictures.examples[k] for k in which]
    return teach(examples, pictures.labels.part(which), SEED, lambda _done, _text: None).judges


def _whole(judges: Judges, pictures: Pictures, which: NDArray[np.intp]) -> Doubles:
    parts = whole_parts([pictures.examples[k] for k in which])
    found: Doubles = torch.sigmoid(combined(judges.whole, parts)).numpy()
    return found


def _begun(judges: Judges, pictures: Pictures, which: NDArray[np.intp]) -> Doubles:
    found = np.full((len(which), len(CLASSES)), np.nan)
    for place, k in enumerate(which):
        one = pictures.first[k]
        if one is not None:
            logits = combined(judges.begun, {DESCRIBED: one[None, None]})
            found[place] = torch.sigmoid(logits)[0].numpy()
    return found


def _few(labels: Labels, among: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Pictures from a few sessions in which every class is seen and missed; in order of time.

    Raises:
        FileError: none were found.
    """
    sessions = labels.sessions[among]
    names, sizes = np.unique(sessions, return_counts=True)
    large = names[sizes >= FEW_LABELS // FEW_SESSIONS]
    for _ in range(TRIES):
        chosen = rng.choice(large, min(FEW_SESSIONS, len(large)), replace=False)
        inside = among[np.isin(sessions, chosen)]
        some = np.sort(rng.choice(inside, min(FEW_LABELS, len(inside)), replace=False))
        seen = labels.votes[some] >= 0.5
        if (seen.any(axis=0) & ~seen.all(axis=0)).all():
            return some
    raise FileError(
        f"no {FEW_LABELS} pictures from {FEW_SESSIONS} sessions show every class; "
        "more labelled pictures are needed"
    )


def _boosted(pictures: Pictures, rest: NDArray[np.intp], held: NDArray[np.intp]) -> Doubles:
    votes = pictures.labels.votes.astype(float)
    logits = [
        boosted(pictures.hand[rest], votes[rest, k], pictures.hand[held], SEED)
        for k in range(len(CLASSES))
    ]
    found: Doubles = 1 / (1 + np.exp(-np.stack(logits, axis=1)))
    return found
