"""What disturbs a scan at random times: resonances that are hit, and jumps that stay for a while.

Events are drawn for a stretch of time whole and keyed by it, so that they do not depend on who asks
for which lines. Lengths are nm, times seconds.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from sim.presets.instrument import Jumps, Rattle

#: Length of the stretches that events are drawn for; none is seen for longer (s).
STRETCH_S = 256.0
#: After this many decay times a ring-down is over.
OVER = 5.0
#: Stretches that are kept.
KEPT = 32
#: One event: (begin and end in s, nm, decay in 1/s, Hz, phase).
Row = tuple[float, float, float, float, float, float]


class Source(Protocol):
    """What happens ``rate_hz`` times per second."""

    rate_hz: float

    def row(self, rng: np.random.Generator, begin_s: float) -> Row:
        """One event."""
        ...


class RingDown:
    """A resonance of the scanner, drawn for an episode.

    Attributes:
        rate_hz: how often it is hit.
        hz: its frequency.
    """

    def __init__(self, law: Rattle, rng: np.random.Generator) -> None:
        self.rate_hz = law.rate_hz.draw(rng)
        self.hz = law.frequency_hz.draw(rng)
        self._decay_hz = math.pi * self.hz / law.quality.draw(rng)
        self._amplitude_pm = law.amplitude_pm

    def row(self, rng: np.random.Generator, begin_s: float) -> Row:
        """One hit."""
        end = begin_s + OVER / self._decay_hz
        height, phase = self._amplitude_pm.draw(rng) * 1e-3, rng.uniform(0, 2 * math.pi)
        return begin_s, end, height, self._decay_hz, self.hz, phase


class Jump:
    """Jumps of an episode.

    Attributes:
        rate_hz: how often they happen.
    """

    def __init__(self, law: Jumps, rng: np.random.Generator) -> None:
        self.rate_hz = law.rate_hz.draw(rng)
        self._law = law

    def row(self, rng: np.random.Generator, begin_s: float) -> Row:
        """One jump, up or down."""
        height = self._law.height_pm.draw(rng) * 1e-3 * (2 * int(rng.integers(2)) - 1)
        return begin_s, begin_s + self._law.stay_s.draw(rng), height, 0.0, 0.0, 0.0


class Events:
    """All events of one source in an episode.

    Args:
        source: what happens.
        rng: gives them their key.
    """

    def __init__(self, source: Source, rng: np.random.Generator) -> None:
        self._source = source
        self._key = int(rng.integers(2**32))
        self._known: dict[int, list[Row]] = {}

    def between(self, start_s: float, end_s: float) -> list[Row]:
        """Events that are seen between two times."""
        # One that began in the stretch before may last into this one.
        first, last = (math.floor(time / STRETCH_S) for time in (start_s - STRETCH_S, end_s))
        # They are few: a look at each costs less than one call that looks at all.
        return [
            row
            for number in range(first, last + 1)
            for row in self._stretch(number)
            if row[1] > start_s and row[0] < end_s
        ]

    def _stretch(self, number: int) -> list[Row]:
        if number not in self._known:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[number] = self._drawn(number)
        return self._known[number]

    def _drawn(self, number: int) -> list[Row]:
        # The stretch before time begins has a number, too.
        rng = np.random.default_rng([self._key, number + 1])
        count = rng.poisson(self._source.rate_hz * STRETCH_S)
        begins = (number + rng.uniform(size=count)) * STRETCH_S
        return [self._source.row(rng, float(begin)) for begin in begins]
