"""What an action did, as far as the instrument could tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Trace:
    """Current and height while an action ran.

    Attributes:
        time_s: instrument time of each sample, from the start of the recording, shape (n,).
        current_a: preamplifier output, clipped where the preamplifier clips, shape (n,).
        z_m: height of the tip, positive away from the sample, shape (n,).
    """

    time_s: NDArray[np.float64]
    current_a: NDArray[np.float32]
    z_m: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known after an action has ended.

    Attributes:
        started_s: instrument time at the start (s).
        finished_s: instrument time at the end (s).
        z_before_m: averaged z before, at the action's tunnelling point (m).
        z_after_m: averaged z after, same place, bias and setpoint (m).
        z_jump_m: ``z_after - z_before`` less the drift in between (m); positive means that the
            feedback now holds the tip farther out: a longer tip, or a mound below it.
        trace: current and z during the action, where the instrument can record it.
        notes: what else belongs on the record, in sentences: a protection that was suspended.
    """

    started_s: float
    finished_s: float
    z_before_m: float | None = None
    z_after_m: float | None = None
    z_jump_m: float | None = None
    trace: Trace | None = None
    notes: tuple[str, ...] = ()
