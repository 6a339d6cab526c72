"""Current and height while an action runs, as the instrument would record them.

Lengths are nm inside, SI in the ``Trace`` that comes out. Contact conducts in units of 2e^2/h; the
preamplifier clips long before that at any usual bias, so contact shows as saturation. One with a
bandwidth and a recovery time of its own rounds the current and stays at its end after an overload.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from drivers.outcome import Trace
from sim.presets.preset import Preset
from sim.scans.kernels import Doubles
from sim.tips.tip import Tip

#: Recorded before and after a pulse.
LEAD_S = 0.02


@dataclass(frozen=True, slots=True)
class Ramp:
    """An indentation as the z controller drives it.

    Attributes:
        start_nm: height before.
        depth_nm: how far down from there.
        lift_nm: how far up again.
        times_s: durations of averaging, way down, dwell and way up.
        biases_v: bias while averaging and from then on.
        gap_nm: gap before.
        contact_depth_nm: depth at which tip and sample first touch.
        gap_after_nm: gap at the end, with the new tip and the new surface.
    """

    start_nm: float
    depth_nm: float
    lift_nm: float
    times_s: tuple[float, float, float, float]
    biases_v: tuple[float, float]
    gap_nm: float
    contact_depth_nm: float
    gap_after_nm: float


@dataclass(frozen=True, slots=True)
class PulseShape:
    """A pulse: its width, the bias at rest and during it, and the decay of the current."""

    width_s: float
    biases_v: tuple[float, float]
    decay_per_nm: float


class Recorder:
    """Makes traces at the recording rate of the preset.

    Args:
        preset: numbers of the preamplifier.
        noise_a: deviation of the current noise (A).
        rng: generator for that noise.
    """

    def __init__(self, preset: Preset, noise_a: float, rng: np.random.Generator) -> None:
        self._rate = preset.controller.trace_hz
        self._limit = preset.controller.saturation_na * 1e-9
        self._amplifier = preset.controller.preamplifier
        self._g0 = preset.tunnelling.contact_conductance_s
        self._dip = preset.dip
        self._noise = noise_a
        self._rng = rng

    def indentation(self, ramp: Ramp, tip: Tip) -> Trace:
        """The trace of an indentation by ``tip``, as it was before."""
        average, down, dwell, up = ramp.times_s
        marks = np.cumsum([0.0, average, down, dwell, up])
        time = self._times(float(marks[-1]))
        bottom = ramp.start_nm - ramp.depth_nm
        top = bottom + ramp.lift_nm
        z = np.interp(time, marks, [ramp.start_nm, ramp.start_nm, bottom, bottom, top])
        # The tip changes when it breaks loose, so the way up belongs to the new one.
        leaving = time > marks[3]
        conductance = self._conductance(ramp, tip, z, leaving)
        bias = np.where(time < average, *ramp.biases_v)
        return self._trace(time, conductance * bias, z)

    def _conductance(self, ramp: Ramp, tip: Tip, z_nm: Doubles, leaving: Doubles) -> Doubles:
        """Conductance (S); on the way up a neck holds on for a while before it breaks."""
        depth = ramp.start_nm - z_nm
        pressed = max(ramp.depth_nm - ramp.contact_depth_nm, 0.0)
        neck = np.where(leaving, self._dip.neck_per_nm * pressed, 0.0)
        touching = (depth >= ramp.contact_depth_nm - neck) & (pressed > 0)
        inside = np.maximum(depth - ramp.contact_depth_nm, 0.0)
        # Contact grows like the cap of a sphere, one channel per atom in it.
        channels = 1 + np.floor(2 * math.pi * tip.radius_nm * inside / self._dip.atom_area_nm2)
        # The gap closes evenly from its nominal width to nothing at the depth of contact.
        before = ramp.gap_nm * (1 - depth / max(ramp.contact_depth_nm, 1e-3))
        top = ramp.start_nm - ramp.depth_nm + ramp.lift_nm
        gap = np.where(leaving, ramp.gap_after_nm - (top - z_nm), before)
        tunnelling = np.exp(-tip.decay_per_nm * np.maximum(gap, 0.0))
        conductance: Doubles = np.where(touching, channels, tunnelling) * self._g0
        return conductance

    def held_pulse(self, pulse: PulseShape, z_nm: float, gaps_nm: tuple[float, float]) -> Trace:
        """A pulse at constant height; the gap changes in its middle."""
        time = self._times(2 * LEAD_S + pulse.width_s)
        pulsing = (time >= LEAD_S) & (time < LEAD_S + pulse.width_s)
        bias = np.where(pulsing, pulse.biases_v[1], pulse.biases_v[0])
        gap = np.where(time < LEAD_S + pulse.width_s / 2, *gaps_nm)
        current = self._g0 * np.exp(-pulse.decay_per_nm * np.maximum(gap, 0.0)) * bias
        return self._trace(time, current, np.full_like(time, z_nm))

    def followed_pulse(
        self, pulse: PulseShape, z_nm: tuple[float, float], current_a: float, rate_per_s: float
    ) -> Trace:
        """A pulse under feedback, which backs off at its loop rate until the current is right.

        ``z_nm`` are the heights at the tunnelling point before and after.
        """
        time = self._times(2 * LEAD_S + pulse.width_s)
        rest, peak = pulse.biases_v
        # A bias of nothing has no logarithm; below a millivolt the feedback is lost anyway.
        ratio = max(abs(peak), 1e-3) / max(abs(rest), 1e-3)
        stretch = math.log(ratio) / pulse.decay_per_nm
        inside = np.clip(time - LEAD_S, 0.0, pulse.width_s)
        after = np.maximum(time - LEAD_S - pulse.width_s, 0.0)
        low, high = self._bounds(current_a, pulse.decay_per_nm)
        # There and back, the feedback goes by the error that the preamplifier shows.
        there, back = (high, -low) if stretch > 0 else (-low, high)
        offset = stretch * (1 - _left(abs(stretch), there, rate_per_s, inside))
        farthest = float(np.abs(offset).max())
        offset = offset * _left(farthest, back, rate_per_s, after)
        pulsing = (inside > 0) & (after == 0)
        error = np.where(pulsing, stretch, 0.0) - offset
        sign = np.where(pulsing, math.copysign(1.0, peak * rest), 1.0)
        current = sign * current_a * np.exp(np.clip(error * pulse.decay_per_nm, -50, 50))
        height = np.where(time < LEAD_S + pulse.width_s / 2, *z_nm)
        return self._trace(time, current, height + offset)

    def _bounds(self, current_a: float, decay_per_nm: float) -> tuple[float, float]:
        if self._amplifier is None:
            return -math.inf, math.inf
        return self._amplifier.bounds(abs(current_a), decay_per_nm)

    def _times(self, duration_s: float) -> Doubles:
        return np.arange(max(round(duration_s * self._rate), 1) + 1) / self._rate

    def _trace(self, time: Doubles, current: Doubles, z_nm: Doubles) -> Trace:
        noisy = self._passed(current) + self._noise * self._rng.normal(size=time.size)
        clipped = self._held(np.clip(noisy, -self._limit, self._limit))
        return Trace(time, clipped.astype(np.float32), (z_nm * 1e-9).astype(np.float32))

    def _passed(self, current: Doubles) -> Doubles:
        """What the bandwidth of the preamplifier leaves of a current."""
        if self._amplifier is None:
            return current
        memory = math.exp(-2 * math.pi * self._amplifier.bandwidth_hz / self._rate)
        return np.array(list(accumulate(current, lambda y, x: memory * y + (1 - memory) * x)))

    def _held(self, current: Doubles) -> Doubles:
        """A clipped current, kept at its end until the preamplifier has recovered."""
        if self._amplifier is None:
            return current
        number = np.arange(current.size)
        last = np.maximum.accumulate(np.where(np.abs(current) >= self._limit, number, -1))
        fresh = number - last > self._amplifier.recovery_ms * 1e-3 * self._rate
        return np.where(fresh | (last < 0), current, current[np.maximum(last, 0)])


def _left(distance_nm: float, bound_nm: float, rate_per_s: float, time_s: Doubles) -> Doubles:
    """Share of a distance that is left after a time, where at most ``bound_nm`` of it is seen."""
    if distance_nm <= bound_nm:
        left: Doubles = np.exp(-rate_per_s * time_s)
        return left
    # Straight while the error clips, then as usual.
    slewing_s = (distance_nm - bound_nm) / (rate_per_s * bound_nm)
    straight = rate_per_s * bound_nm / distance_nm * np.minimum(time_s, slewing_s)
    return (1 - straight) * np.exp(-rate_per_s * np.maximum(time_s - slewing_s, 0.0))
