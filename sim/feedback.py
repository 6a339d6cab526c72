"""The z controller as one exact step per pixel: a logarithmic PI loop behind a preamplifier.

With a logarithm in front the loop is linear in height, so that a pixel costs one update of two
states however fast the loop is. Lengths are nm, times seconds.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernels import Doubles


def loop_step(
    p_gain_nm: float, time_constant_s: float, decay_per_nm: float, preamp_hz: float, dt_s: float
) -> Doubles:
    """Exact step of the feedback for a signal that is straight between samples ``dt_s`` apart.

    With y the filtered error in height and w the integral: dy/dt = omega (u - z - y),
    dw/dt = y P/T, z = P y + w; gains are per decade of current, hence a factor 2 kappa / ln 10.

    Returns:
        (a00, a01, a10, a11, b0, b1, c0, c1, P), as the kernel ``follow`` wants it.
    """
    omega = 2 * math.pi * preamp_hz
    gain = p_gain_nm * decay_per_nm / math.log(10)
    a = np.array([[-omega * (1 + gain), -omega], [gain / time_constant_s, 0.0]])
    # Signal and slope ride along as states: one exponential integrates a straight piece exactly.
    block = np.zeros((4, 4))
    block[:2, :2] = a * dt_s
    block[0, 2] = omega * dt_s
    block[2, 3] = 1.0
    step = _expm(block)
    before, after = step[:2, 2] - step[:2, 3], step[:2, 3]
    return np.array([*step[:2, :2].reshape(-1), *before, *after, gain])


def _expm(matrix: Doubles) -> Doubles:
    """Matrix exponential by scaling and squaring of its series."""
    squarings = max(0, math.ceil(math.log2(max(np.abs(matrix).sum(axis=1).max(), 1e-300))) + 3)
    # Nine terms are exact to double precision once the norm is below one eighth.
    scaled = matrix / 2.0**squarings
    result = term = np.eye(len(matrix))
    for order in range(1, 10):
        term = term @ scaled / order
        result = result + term
    for _ in range(squarings):
        result = result @ result
    return result
