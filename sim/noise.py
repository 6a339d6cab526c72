"""The noise of one episode: levels drawn once, in the form that the compiled passes want."""

from __future__ import annotations

import math

import numpy as np

from sim.kernels import Doubles, Floats
from sim.preset import Preset

#: Harmonics of the mains that are heard.
HARMONICS = (1, 2, 3)


class NoiseLevels:
    """Levels in nm and A, drawn once per episode.

    Attributes:
        tones: hum, rows (frequency Hz, amplitude nm, phase).
        current_a: deviation of a current reading (A).
        reading_nm: deviation of a height reading (nm).
    """

    def __init__(self, preset: Preset, rng: np.random.Generator) -> None:
        law = preset.noise
        self._pixel = law.pixel_pm.draw(rng) * 1e-3
        self._line = law.line_pm.draw(rng) * 1e-3
        self._slow = law.slow_pm.draw(rng) * 1e-3
        self._slow_s = law.slow_s.draw(rng)
        self._start = law.line_start_pm.draw(rng) * 1e-3
        self._start_share = law.line_start_share
        self.current_a = law.current_pa.draw(rng) * 1e-12
        self.reading_nm = math.hypot(self._pixel, self._slow)
        self.tones: Doubles = np.array(
            [
                [law.hum_hz * h, law.hum_pm.draw(rng) * 1e-3 / h, rng.uniform(0, 2 * math.pi)]
                for h in HARMONICS
            ]
        )

    def line_levels(self, pixels: int) -> Doubles:
        """(pixel, line, line start in nm, decay of the line start in pixels)."""
        return np.array([self._pixel, self._line, self._start, self._start_share * pixels])

    def slow_step(self, dt_s: float) -> tuple[float, float]:
        """Memory and kick per sample of the slow (Ornstein-Uhlenbeck) noise."""
        # Exact for any step: the deviation does not depend on the pixel time.
        memory = math.exp(-dt_s / self._slow_s)
        return memory, self._slow * math.sqrt(1 - memory**2)

    def tables(self, pixels: int, dts_s: tuple[float, float]) -> Floats:
        """Sine and cosine of each tone along both passes, shape (2, tones, 2, pixels)."""
        # Sines are worked out once per scan; lines only turn them by their phase.
        steps = np.outer(dts_s, np.arange(pixels))
        angle = 2 * math.pi * self.tones[:, 0][None, :, None] * steps[:, None, :]
        return np.stack([np.sin(angle), np.cos(angle)], axis=2).astype(np.float32)
