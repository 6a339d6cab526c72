"""What an observation tells about one action: what was asked for, and what it did."""

from __future__ import annotations

import math

import numpy as np

from drivers.actions import Indentation
from drivers.outcome import Outcome
from sim.environments.catalogue import NM, PM, Choice
from sim.environments.memory import FEATURES, TOLD, within

#: Current that counts as contact: it flows from a third of a nanometre before the metal on.
CONTACT_A = 0.5e-9


def action_features(
    choice: Choice, outcome: Outcome | None, refused: bool, scanned: float
) -> list[float]:
    """One row of the history: the kind of the choice, then ``FEATURES``.

    Args:
        choice: what was asked for.
        outcome: what it did, as far as the instrument could tell; None if nothing was done.
        refused: whether it was not allowed.
        scanned: share of the lines of the scan that followed, 0..1.
    """
    depth_m = contact_depth_m(choice, outcome)
    jump_m = outcome.z_jump_m if outcome and outcome.z_jump_m is not None else 0.0
    told = {
        "refused": float(refused),
        "level": choice.level,
        "duration_s": choice.duration_s,
        "z_jump_nm": jump_m / NM,
        "contact": float(depth_m is not None),
        "contact_depth_nm": (depth_m or 0.0) / NM,
        "peak_current_decades": _peak_decades(outcome),
        "scanned": scanned,
    }
    kinds = [float(choice.kind is kind) for kind in TOLD]
    return kinds + [within(told[name], bounds) for name, bounds in FEATURES.items()]


def contact_depth_m(choice: Choice, outcome: Outcome | None) -> float | None:
    """How far down an indentation met the metal (m); None if it did not, or was none."""
    trace = outcome.trace if outcome else None
    if trace is None or not isinstance(choice.actions[-1], Indentation):
        return None
    met = np.flatnonzero(np.abs(trace.current_a) > CONTACT_A)
    return float(trace.z_m[0] - trace.z_m[met[0]]) if met.size else None


def _peak_decades(outcome: Outcome | None) -> float:
    """Decades of the largest current during the action over 1 pA; 0 without a trace."""
    if outcome is None or outcome.trace is None:
        return 0.0
    peak_pa = float(np.abs(outcome.trace.current_a).max()) / PM
    return math.log10(max(peak_pa, 1.0))
