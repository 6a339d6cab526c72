"""Figures of rehearsed repairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policies.training.rehearsal import Ended


def figures(ended: Sequence[Ended]) -> dict[str, float]:
    """Means over repairs, of which there is at least one."""
    declared = [one for one in ended if one.declared]
    good = sum(one.truly_good for one in declared)
    return {
        "scans": float(np.mean([one.scans for one in ended])),
        "actions": float(np.mean([one.actions for one in ended])),
        "success": good / len(ended),
        "false_good": 1 - good / len(declared) if declared else 0.0,
    }
