"""The noise of one episode: levels drawn once, in the form that the compiled passes want."""

from __future__ import annotations

import math

import numpy as np

from sim.presets.preset import Preset
from sim.scans.events import Events, Jump, RingDown, Row
from sim.scans.feedback import SwingingLoop
from sim.scans.kernels import Doubles, Floats
from sim.scans.signal_chain import Disturbances

#: Harmonics of the mains that are heard.
HARMONICS = (1, 2, 3)
#: Ratio of the distances between the knots of 1/f noise, and the distances (s).
BAND_RATIO = 4.0
KNOTS_S = 4e-3 * BAND_RATIO ** np.arange(8)


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
        self._tables: tuple[object, Floats] = (None, np.empty(0, np.float32))
        self.tones: Doubles = np.array(
            [
                [law.hum_hz * h, law.hum_pm.draw(rng) * 1e-3 / h, rng.uniform(0, 2 * math.pi)]
                for h in HARMONICS
            ]
        )
        self._hum_hz, self._mains = law.hum_hz, (0.0, 1.0)
        if law.mains:
            self._mains = law.mains.wander_hz.draw(rng), law.mains.period_s.draw(rng)
        self._corner_hz = law.pink.corner_hz.draw(rng) if law.pink else 0.0
        self._key = int(rng.integers(2**32)) if law.pink else 0
        self._ring_down = RingDown(law.rattle, rng) if law.rattle else None
        self._hits = Events(self._ring_down, rng) if self._ring_down else None
        self._jumps = [
            Events(Jump(jumps, rng), rng) for jumps in (law.jumps, law.glitches) if jumps
        ]

    @property
    def rms_nm(self) -> float:
        """Deviation of the heights in a picture that is always there: no jumps, no rattling."""
        hum = math.sqrt(float((self.tones[:, 1] ** 2).sum()) / 2)
        return math.hypot(self._pixel, self._line, self._slow, hum)

    def mains_s(self, time_s: Doubles) -> Doubles:
        """Time by a clock that runs on the mains."""
        wander, period = self._mains
        if not wander:
            return time_s
        pace = period / (2 * math.pi)
        return time_s + wander / self._hum_hz * pace * np.sin(time_s / pace)

    def disturbances(
        self,
        start_s: float,
        end_s: float,
        dts_s: tuple[float, float],
        loop: SwingingLoop | None,
    ) -> Disturbances:
        """What happens between two times with ``dts_s`` per sample there and back.

        ``loop`` weakens the rattling of the scanner that it belongs to.
        """
        jumps = [row for events in self._jumps for row in events.between(start_s, end_s)]
        rattles = _table([])
        if self._hits and self._ring_down and loop:
            rattles = _table(self._hits.between(start_s, end_s))
            rattles[:, 2] *= loop.weakening(self._ring_down.hz)
        return Disturbances(
            bands=self._bands(dts_s[0]),
            key=self._key,
            jumps=_table(jumps),
            rattles=rattles,
            dts=np.array(dts_s),
        )

    def _bands(self, dt_s: float) -> Doubles:
        """Rows (nm, s) of the 1/f noise that is as strong as the pixels' at the corner."""
        if not self._corner_hz:
            return np.empty((0, 2))
        # White noise of the pixels has the density 2 sigma^2 dt; 1/f fills each band alike.
        power = 2 * self._pixel**2 * dt_s * self._corner_hz * math.log(BAND_RATIO)
        bands = np.empty((len(KNOTS_S), 2))
        bands[:, 0], bands[:, 1] = math.sqrt(power), KNOTS_S
        return bands

    def line_levels(self, pixels: int, current_nm: float = 0.0) -> Doubles:
        """(pixel, line, line start in nm, decay of the line start in pixels).

        ``current_nm`` is what the noise of the current adds to that of the pixels.
        """
        pixel = math.hypot(self._pixel, current_nm)
        return np.array([pixel, self._line, self._start, self._start_share * pixels])

    def slow_step(self, dt_s: float) -> tuple[float, float]:
        """Memory and kick per sample of the slow (Ornstein-Uhlenbeck) noise."""
        # Exact for any step: the deviation does not depend on the pixel time.
        memory = math.exp(-dt_s / self._slow_s)
        return memory, self._slow * math.sqrt(1 - memory**2)

    def tables(self, pixels: int, dts_s: tuple[float, float]) -> Floats:
        """Sine and cosine of each tone along both passes, shape (2, tones, 2, pixels)."""
        # Sines are worked out once for scans of one kind; lines only turn them by their phase.
        if self._tables[0] != (pixels, dts_s):
            self._tables = (pixels, dts_s), self._sines(pixels, dts_s)
        return self._tables[1]

    def _sines(self, pixels: int, dts_s: tuple[float, float]) -> Floats:
        steps = np.outer(dts_s, np.arange(pixels))
        angle = 2 * math.pi * self.tones[:, 0][None, :, None] * steps[:, None, :]
        return np.stack([np.sin(angle), np.cos(angle)], axis=2).astype(np.float32)


def _table(rows: list[Row]) -> Doubles:
    """Events in the form of ``sim.scans.signal_chain.strike``."""
    return np.array(rows) if rows else np.empty((0, 6))
