"""Figures of rehearsed repairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policies.training.rehearsal import Ended


def figures(ended: Sequence[Ended]) -> dict[str, float]:
    """Means over repairs, of which there is at least one."""
    good = [one for one in ended if one.declared]
    return {
        "scans": float(np.mean([one.scans for one in ended])),
        "actions": float(np.mean([one.actions for one in ended])),
        "success": len(good) / len(ended),
        "false_good": float(np.mean([not one.truly_good for one in good])) if good else 0.0,
    }
