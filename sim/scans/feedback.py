"""The z controller as one exact step per pixel: a logarithmic PI loop behind a preamplifier.

With a logarithm in front the loop is linear in height, so that a pixel costs one update of its
states however fast the loop is: two, or five where a scanner with a resonance and a dead time comes
after it. Lengths are nm, times seconds.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sim.presets.instrument import Controller
from sim.scans.kernels import Doubles
from sim.scans.signal_chain import SWINGING, Swing

#: Parts of a sample per period of the resonance, where the error may clip.
PARTS_PER_PERIOD = 4
#: Steps of a scanner that follows at once; read-only like all others, so that compiled code fits.
NO_STEPS: Doubles = np.empty((0, 3, SWINGING, SWINGING + 2))
NO_STEPS.flags.writeable = False


# The same loop scans again and again; its step is worked out once.
@lru_cache(maxsize=256)
def loop_step(
    p_gain_nm: float, time_constant_s: float, decay_per_nm: float, preamp_hz: float, dt_s: float
) -> Doubles:
    """Exact step of the feedback for a signal that is straight between samples ``dt_s`` apart.

    With y the filtered error in height and w the integral: dy/dt = omega (u - z - y),
    dw/dt = y P/T, z = P y + w; gains are per decade of current, hence a factor 2 kappa / ln 10.

    Returns:
        (a00, a01, a10, a11, b0, b1, c0, c1, P), as the kernel ``follow`` wants it; read-only.
    """
    omega = 2 * math.pi * preamp_hz
    gain = p_gain_nm * decay_per_nm / math.log(10)
    a = np.array([[-omega * (1 + gain), -omega], [gain / time_constant_s, 0.0]])
    step = _exact_step(a, np.array([omega, 0.0]), dt_s)
    result = np.array([*step[:, :2].reshape(-1), *step[:, 2], *step[:, 3], gain])
    result.flags.writeable = False
    return result


@dataclass(frozen=True, slots=True)
class SwingingLoop:
    """The feedback of ``loop_step`` with a scanner behind it.

    With z = P y + w as before, a dead time tau as its first Pade approximant q + q' = z behind
    dq/dt = 2 (z - q) / tau, and the height h of the tip with h'' = omega^2 (2q - z - h) -
    omega h' / Q; the error is that of the tip, not of the output.

    Attributes:
        p_gain_nm: proportional gain (nm per decade of current).
        time_constant_s: time constant of the integral gain (s).
        decay_per_nm: decay of the current.
        preamp_hz: bandwidth of the preamplifier.
        resonance_hz: resonance of the scanner.
        quality: its quality factor.
        delay_s: dead time.
    """

    p_gain_nm: float
    time_constant_s: float
    decay_per_nm: float
    preamp_hz: float
    resonance_hz: float
    quality: float
    delay_s: float

    @property
    def gain(self) -> float:
        """Proportional factor from the error in height to the output."""
        return self.p_gain_nm * self.decay_per_nm / math.log(10)

    @property
    def stable(self) -> bool:
        """Whether small errors die away."""
        return bool(np.linalg.eigvals(self.matrix(True)).real.max() < 0)

    @property
    def damping(self) -> float:
        """Damping ratio of its least damped oscillation, negative if that grows."""
        modes = np.linalg.eigvals(self.matrix(True))
        return float((-modes.real / np.abs(modes)).min())

    @property
    def lag_s(self) -> float:
        """By how much the height is late on an even slope (s)."""
        return self.time_constant_s / self.gain

    def step(self, dt_s: float, closed: bool = True) -> Doubles:
        """Exact step of (error, integral, height, speed, delayed output), shape (5, 7).

        The last two columns take the signal before and after; with the loop not ``closed`` they
        take the error.
        """
        return _exact_step(self.matrix(closed), self.inlet(), dt_s)

    def weakening(self, hz: float) -> float:
        """How much of an oscillation of the gap at ``hz`` the output shows."""
        return _weakening(self, hz)

    def inlet(self) -> Doubles:
        """How fast the states follow the signal (1/s), shape (5,)."""
        return np.array([2 * math.pi * self.preamp_hz, 0.0, 0.0, 0.0, 0.0])

    def matrix(self, closed: bool) -> Doubles:
        """How fast they follow each other (1/s), shape (5, 5)."""
        preamp, gain = 2 * math.pi * self.preamp_hz, self.gain
        pole, own = 2 / self.delay_s, 2 * math.pi * self.resonance_hz
        # Speeds count in units of the resonance, so that all states are heights.
        return np.array(
            [
                [-preamp, 0.0, -preamp if closed else 0.0, 0.0, 0.0],
                [gain / self.time_constant_s, 0.0, 0.0, 0.0, 0.0],
                [0.0, 0.0, 0.0, own, 0.0],
                [-own * gain, -own, -own, -own / self.quality, 2 * own],
                [pole * gain, pole, 0.0, 0.0, -pole],
            ]
        )


def swinging(
    controller: Controller, gains: tuple[float, float], decay_per_nm: float
) -> SwingingLoop | None:
    """The loop of ``controller`` with ``gains`` (nm per decade, s) if its scanner has mechanics."""
    scanner = controller.scanner
    if scanner is None:
        return None
    mechanics = scanner.resonance_hz, scanner.quality, scanner.delay_us * 1e-6
    return SwingingLoop(*gains, decay_per_nm, controller.preamp_hz, *mechanics)


def swing(
    controller: Controller,
    loop: SwingingLoop | None,
    setpoint_a: float,
    dts_s: tuple[float, float],
) -> Swing:
    """``loop`` for the compiled pass; empty if there is none.

    Args:
        controller: the numbers.
        loop: the feedback with what comes after it.
        setpoint_a: current that is held (A), between the preamplifier's floor and its end.
        dts_s: times per sample there and back.
    """
    if loop is None or controller.preamplifier is None:
        return Swing(NO_STEPS, np.empty((0, 7)))
    steps, timing = _stepped(loop, dts_s)
    bounds = controller.preamplifier.bounds(setpoint_a, loop.decay_per_nm)
    limits = np.empty((2, 7))
    limits[:, :4] = *bounds, controller.preamplifier.recovery_ms * 1e-3, loop.gain
    limits[:, 4:] = timing
    return Swing(steps, limits)


@lru_cache(maxsize=256)
def _stepped(loop: SwingingLoop, dts_s: tuple[float, float]) -> tuple[Doubles, Doubles]:
    """``_pass`` for the way there and back, with one axis more; read-only."""
    steps, timing = zip(*(_pass(loop, dt) for dt in dts_s), strict=True)
    found = np.stack(steps), np.array(timing)
    for array in found:
        array.flags.writeable = False
    return found


@lru_cache(maxsize=256)
def _weakening(loop: SwingingLoop, hz: float) -> float:
    system = 2j * cmath.pi * hz * np.eye(SWINGING) - loop.matrix(True)
    states = np.linalg.solve(system, loop.inlet().astype(complex))
    return float(abs(loop.gain * states[0] + states[1]))


def _pass(loop: SwingingLoop, dt_s: float) -> tuple[Doubles, tuple[float, float, float]]:
    """Steps over a sample and its parts; parts per sample, their time, 1 if the loop is stable."""
    parts = math.ceil(dt_s * loop.resonance_hz * PARTS_PER_PERIOD)
    part, stable = dt_s / parts, loop.stable
    # What grows would be beyond all numbers after a long sample; it is followed in parts only.
    whole = loop.step(dt_s if stable else part)
    steps = np.stack([whole, loop.step(part), loop.step(part, closed=False)])
    return steps, (float(parts), part, float(stable))


def _exact_step(a: Doubles, inlet: Doubles, dt_s: float) -> Doubles:
    """Step of ds/dt = a s + inlet u over ``dt_s``: columns for s, and for u before and after."""
    n = len(a)
    # Signal and slope ride along as states: one exponential integrates a straight piece exactly.
    block = np.zeros((n + 2, n + 2))
    block[:n, :n] = a * dt_s
    block[:n, n] = inlet * dt_s
    block[n, n + 1] = 1.0
    step = _expm(block)
    return np.column_stack([step[:n, :n], step[:n, n] - step[:n, n + 1], step[:n, n + 1]])


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
