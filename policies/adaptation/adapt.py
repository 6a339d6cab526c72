"""Adapts the scorer to a surface: from labelled images to weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from drivers.errors import FileError
from policies.adaptation.adapted import (
    AdaptedManifest,
    Expectation,
    Heads,
    Judges,
    write_adapted,
)
from policies.adaptation.examples import Example, Parts, example, whole_parts, window_parts
from policies.adaptation.heads import taught
from policies.adaptation.labels import FEWEST, Labels, read_image, read_labels
from policies.adaptation.validation import (
    Progress,
    Validated,
    cross_validate,
    gain,
    session_folds,
)
from policies.scorer import Scorer
from policies.threads import single_thread
from policies.training.reporting import reporting

#: Heads of each part: their mean errs less than each of them.
MEMBERS = 3


@dataclass(frozen=True, slots=True)
class Adapted:
    """What was learned, and what is to be expected of it.

    Attributes:
        judges: the heads.
        expected: by class.
    """

    judges: Judges
    expected: dict[str, Expectation]


def adapt(scorer: Scorer, labels_path: Path, images: Path, out: Path, seed: int) -> AdaptedManifest:
    """Learn the classes of a table of labels and write weights with their manifest.

    Args:
        scorer: what is adapted.
        labels_path: the table.
        images: the folder that holds the images of the table.
        out: weights file; the manifest goes beside it.
        seed: seed of everything.

    Raises:
        FileError: labels or images cannot be read or do not suffice, or the weights could not be
            written; nothing is written then.
    """
    labels = read_labels(labels_path)
    labels.check()
    if not out.parent.is_dir():
        raise FileError(f"cannot write {out}: {out.parent} is not a folder")
    with reporting("adapting", len(labels) * 5, 0) as report:
        examples, labels = read_examples(scorer, labels, images, seed, report)
        labels.check()
        found = teach(examples, labels, seed, report)
    sessions = len(np.unique(labels.sessions))
    return write_adapted(
        out,
        found.judges,
        {
            "command": f"tipsmith adapt --seed {seed}",
            "seed": seed,
            "data": f"{len(labels)} labelled scans, {sessions} sessions",
            "scorer": scorer.manifest.sha256,
            "classes": labels.classes,
            "expected": found.expected,
        },
    )


def read_examples(
    scorer: Scorer, labels: Labels, folder: Path, seed: int, progress: Progress
) -> tuple[list[Example], Labels]:
    """Turn the labelled images into numbers; those that show nothing are left out.

    Raises:
        FileError: an image is missing or damaged, or too few show anything.
    """
    examples, kept = [], []
    for number, name in enumerate(labels.images):
        scan = read_image(folder / name)
        try:
            examples.append(example(scorer, scan, np.random.default_rng([seed, number])))
            kept.append(number)
        except ValueError:
            # Nothing to be seen, such as a scan of one line: nothing to be learned.
            pass
        progress(1, "reading")
    if len(kept) < FEWEST:
        raise FileError(
            f"only {len(kept)} of {len(labels)} images in {folder} show anything; "
            f"at least {FEWEST} are needed"
        )
    return examples, labels.part(np.array(kept, np.intp))


def teach(examples: list[Example], labels: Labels, seed: int, progress: Progress) -> Adapted:
    """Teach heads for whole scans and for beginnings; each stops when other sessions say so.

    Args:
        examples: the scans in numbers.
        labels: what is known of them.
        seed: seed of the heads.
        progress: told how many scans were done; four times each.
    """
    votes, folds = torch.from_numpy(labels.votes), session_folds(labels.sessions)
    shipped = torch.stack([one.logits for one in examples])
    groups = whole_parts(examples), window_parts(examples)
    validated, heads = [], []
    with single_thread():
        for parts in groups:
            validated.append(cross_validate(parts, votes, folds, seed, progress))
            heads.append(_members(parts, votes, validated[-1], seed))
            progress(len(labels), "learning")
    expected = {
        name: _expectation(shipped, validated[0].logits[:, k], validated[1].logits[:, k], labels, k)
        for k, name in enumerate(labels.classes)
    }
    return Adapted(Judges(*heads), expected)


def _members(parts: Parts, votes: torch.Tensor, validated: Validated, seed: int) -> Heads:
    """Heads taught by all scans, as long as was found best."""
    return {
        name: [
            list(taught(numbers, votes, validated.epochs, seed + 1 + member))[-1]
            for member in range(MEMBERS)
        ]
        for name, numbers in parts.items()
    }


def _expectation(
    shipped: torch.Tensor, whole: torch.Tensor, begun: torch.Tensor, labels: Labels, column: int
) -> Expectation:
    votes = torch.from_numpy(labels.votes[:, column])
    found = gain(shipped, whole, votes, labels.sessions)
    first = gain(shipped, begun, votes, labels.sessions)
    low, high = found.interval
    return Expectation(
        shipped=round(found.shipped, 4),
        adapted=round(found.adapted, 4),
        from_first_lines=round(first.adapted, 4),
        gain_low=round(low, 4),
        gain_high=round(high, 4),
    )
