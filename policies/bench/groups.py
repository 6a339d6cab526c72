"""Where the scorer can tell a tip, and where it cannot: simulated scans by what they show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.benchmark import Row
from policies.report import ImageState
from policies.scorer.outputs import NAMES, OUTPUTS, STATES
from policies.training.scans import Examples
from policies.training.settings import SURFACES
from sim.benches.realism.classifier import auc

ON = "simulated, "
#: Protrusions from which a scan shows what the tip is like, and rows from which it is whole.
ENOUGH, WHOLE_ROWS = 4, 64
GOLD = next(number for number, one in enumerate(SURFACES) if one.name == "au111")

Found = NDArray[np.float32]
Flags = NDArray[np.bool_]


def rows(examples: Examples, found: Found) -> list[Row]:
    """Macro AUC over the states for each group of scans, with that of "good" beside it.

    Args:
        examples: the scans and the truth.
        found: probabilities, shape (n, OUTPUTS).
    """
    labels = examples.labels[:, :OUTPUTS] > 0.5
    made = []
    for name, group in _groups(examples, labels).items():
        both = _both(labels[group])
        if both[STATES].any():
            told = f"; good {auc(found[group, 0], labels[group, 0]):.3f}" if both[0] else ""
            value = macro(found[group], labels[group])
            made.append(Row(f"{ON}macro AUC, {name}", value, note=f"{group.sum()} scans{told}"))
    return made


def macro(found: Found, labels: Flags) -> float:
    """Mean AUC over those states that some scans have and others have not."""
    told = np.arange(labels.shape[1])[STATES][_both(labels)[STATES]]
    return float(np.mean([auc(found[:, state], labels[:, state]) for state in told]))


def _both(labels: Flags) -> Flags:
    """Whether some scans have a state and others have not, for each of them."""
    return np.array([0 < column.sum() < column.size for column in labels.T])


def _groups(examples: Examples, labels: Flags) -> dict[str, Flags]:
    spoiled = labels[:, [NAMES.index(state) for state in ImageState]].any(axis=1)
    shown = np.expm1(examples.numbers[:, 4]).round()
    read = np.isfinite(examples.row_labels[:, :, 0]).sum(axis=1)
    still = ~labels[:, NAMES.index("changed")]
    clear = (examples.surfaces == GOLD) & ~spoiled & (read >= WHOLE_ROWS) & (shown >= ENOUGH)
    return {
        "noise or feedback spoil the picture": spoiled,
        "nothing but the tip spoils the picture": ~spoiled,
        "no protrusion": shown == 0,
        f"{ENOUGH} protrusions or more": shown >= ENOUGH,
        **{one.name: examples.surfaces == number for number, one in enumerate(SURFACES)},
        f"whole, unspoiled, of gold, {ENOUGH} protrusions or more": clear,
        "the same, the tip did not change": clear & still,
    }
