"""Where the metal is: the depth of first contact, read from what an indentation recorded.

The current grows exponentially with depth until contact conducts one quantum, 1 G0 = 77.5 uS
(Limot et al., Phys. Rev. Lett. 94, 126102, 2005). Every preamplifier clips long before: 1 G0 at
20 mV is 1.55 uA. What it still shows is a straight line of the logarithm that leads on to contact.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from drivers.actions import Indentation
from drivers.outcome import Outcome, Trace

QUANTUM_S = 7.748e-5
#: Currents that the line is fitted to: above the noise, and below where any preamplifier clips.
FAINT_A = 20e-12
STRONG_A = 5e-9
#: The line needs so many samples, and a range of currents of this factor.
SAMPLES = 8
RANGE = 5.0
#: Without a line, a current far above tunnelling at 20 mV counts as contact.
CONTACT_A = 0.5e-9
#: Change of the tip's length above drift and noise.
CHANGED_M = 30e-12


def contact_depth_m(dip: Indentation, outcome: Outcome) -> float | None:
    """The depth at which an indentation met the metal, or would have, or None if nothing tells.

    Without a trace a jump in z says that there was contact but not where: then the whole depth of
    the indentation counts.
    """
    trace = outcome.trace
    if trace is None or not trace.current_a.size:
        return dip.depth_m if apex_changed(outcome) else None
    depth, current = _way_down(trace)
    extrapolated = _extrapolated_m(depth, current, QUANTUM_S * abs(dip.contact_bias_v))
    if extrapolated is not None:
        return extrapolated
    met = np.flatnonzero(current > max(CONTACT_A, 10 * dip.at.setpoint_a))
    return float(depth[met[0]]) if met.size else None


def apex_changed(outcome: Outcome) -> bool:
    """Whether an action changed the length of the tip by more than drift and noise do."""
    return outcome.z_jump_m is not None and abs(outcome.z_jump_m) > CHANGED_M


def _way_down(trace: Trace) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth (m) below the start and size of the current (A), up to the deepest point."""
    depth = (trace.z_m[0] - trace.z_m).astype(float)
    deepest = int(np.argmax(depth)) + 1
    return depth[:deepest], np.abs(trace.current_a[:deepest]).astype(float)


def _extrapolated_m(
    depth: NDArray[np.float64], current: NDArray[np.float64], contact_a: float
) -> float | None:
    """Depth at which the rising current would reach ``contact_a``; None if there is no line."""
    # Half of the highest current is safely below whatever this preamplifier clips at.
    strong = min(STRONG_A, current.max() / 2)
    over = np.flatnonzero(current > strong)
    rise = slice(0, int(over[0]) if over.size else None)
    # Before the ramp begins the current is that of another bias.
    seen = (current[rise] > FAINT_A) & (depth[rise] > 0.02 * depth.max())
    x, y = depth[rise][seen], np.log(current[rise][seen])
    if x.size < SAMPLES or np.ptp(y) < math.log(RANGE):
        return None
    # Least squares by hand: a rule reads every trace of a repair again at every choice.
    away = x - x.mean()
    slope = float(away @ (y - y.mean()) / (away @ away))
    return float(x.mean() + (math.log(contact_a) - y.mean()) / slope) if slope > 0 else None
