"""Where the sample has gone: drift, creep after moves, landings; and how the scanner bends."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from sim.presets.preset import Preset
from sim.scans.kernels import Doubles, Floats

X = TypeVar("X", float, Doubles)


class Motion:
    """Displacement of the sample relative to the scanner, in nm.

    Creep is logarithmic in time; a sum of exponentials, one per decade, is linear in the moves and
    cheap to carry along.

    Attributes:
        hysteresis: lag of the way back as a share of the frame's width.
        loop: how much farther apart both ways are in the middle, as a share of the same.
        bow_per_nm: bend of z with the square of the distance from the middle (1/nm).
    """

    def __init__(self, preset: Preset, rng: np.random.Generator) -> None:
        law = preset.motion
        speed = law.drift_nm_per_min.draw(rng) / 60
        angle = rng.uniform(0, 2 * math.pi)
        along_z = speed * law.z_drift_share.draw(rng) * (1 if rng.uniform() < 0.5 else -1)
        self._drift = np.array([speed * math.cos(angle), speed * math.sin(angle), along_z])
        self._creep = law.creep_per_decade.draw(rng)
        self.hysteresis = law.hysteresis.draw(rng)
        self._landing_nm = law.landing_drift_nm
        self._tau = np.array([*law.creep_s, law.landing_drift_s.draw(rng)])
        self._lag = np.zeros((len(self._tau), 3))
        self._since = 0.0
        self._known: tuple[float, Doubles] | None = None
        bends = law.bending
        self.loop = bends.loop.draw(rng) if bends else 0.0
        self.bow_per_nm = bends.bow_nm_per_um2.draw(rng) * 1e-6 if bends else 0.0

    def offset_nm(self, time_s: float | Doubles) -> Doubles:
        """Displacement (x, y, z) at ``time_s``, shape (3, ...)."""
        if isinstance(time_s, float):
            return self._at(time_s)
        decayed = np.exp(-np.multiply.outer(1 / self._tau, time_s - self._since))
        lag = (self._lag.T @ decayed.reshape(len(self._tau), -1)).reshape(3, *decayed.shape[1:])
        offset: Doubles = np.multiply.outer(self._drift, time_s) + lag
        return offset

    def bow_nm(self, x_nm: X, y_nm: X) -> X:
        """How far z bends at a position of the scanner."""
        return self.bow_per_nm * (x_nm * x_nm + y_nm * y_nm)

    def pace(self, pixels: int) -> Floats:
        """How many steps of a line the scanner has made at each pixel, (pixels,).

        Either way it lags behind, in the middle by half of ``loop`` times the length of the line.
        """
        steps = np.arange(pixels, dtype=float)
        # Rayleigh's law: a hysteresis loop is made of two parabolas.
        lag = 2 * self.loop * steps * (1 - steps / (pixels - 1))
        return (steps - lag).astype(np.float32)

    def speed_nm_per_s(self, time_s: float) -> Doubles:
        """Velocity (x, y, z) at ``time_s``."""
        decayed = np.exp(-(time_s - self._since) / self._tau) / self._tau
        velocity: Doubles = self._drift - self._lag.T @ decayed
        return velocity

    def moved(self, time_s: float, dx_nm: float, dy_nm: float, dz_nm: float) -> None:
        """The scanner was told to move at ``time_s``; it creeps after."""
        self._settle(time_s)
        # At first the scanner falls short of its command, then it makes up for it.
        self._lag[:-1] -= self._creep * np.array([dx_nm, dy_nm, dz_nm])

    def landed(self, time_s: float, rng: np.random.Generator) -> None:
        """A coarse approach ended at ``time_s``; what it warmed and strained relaxes."""
        self._settle(time_s)
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        # The last exponential belongs to landings; the others are creep.
        self._lag[-1] += self._landing_nm.draw(rng) * direction

    def _at(self, time_s: float) -> Doubles:
        # Height, gap and current are asked for one after the other at the same time.
        if self._known is None or self._known[0] != time_s:
            decayed = np.exp((self._since - time_s) / self._tau)
            self._known = time_s, self._drift * time_s + decayed @ self._lag
        return self._known[1]

    def _settle(self, time_s: float) -> None:
        # Exponentials forget when they began, so all earlier moves fit in one row each.
        self._lag *= np.exp(-(time_s - self._since) / self._tau)[:, None]
        self._since = time_s
        self._known = None
