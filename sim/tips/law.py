"""What all laws of tip and sample share: the numbers, chance, and what they say has happened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim.presets.preset import Preset
from sim.sample import Bump
from sim.tips.latents import Latents
from sim.tips.tip import Apex, Termination, Tip, draw_apexes, steadied, terminated

#: What became of a molecule below the tip: it is on the tip now, or the tip's is there now.
Transfer = Literal["taken", "left"]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened: the tip afterwards, marks relative to its position, and a molecule's move."""

    tip: Tip
    marks: list[Bump]
    transfer: Transfer | None = None


class Law:
    """A part of the laws of one episode: preset, hidden parameters, and the generator of chance."""

    def __init__(self, preset: Preset, latents: Latents, rng: np.random.Generator) -> None:
        self._preset = preset
        self._latents = latents
        self._rng = rng

    def _happens(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def _apexes(self, radius_nm: float, mean_gap_nm: float) -> tuple[Apex, ...]:
        return draw_apexes(self._rng, self._preset, radius_nm, mean_gap_nm)

    def _terminated(self, tip: Tip, termination: Termination) -> Tip:
        return terminated(self._rng, self._preset, tip, termination)

    def _cleaned(self, tip: Tip) -> Tip:
        return self._terminated(tip, Termination.CLEAN)

    def _steadied(self, tip: Tip, unstable: float) -> Tip:
        return steadied(self._rng, self._preset, tip, not self._happens(unstable))

    def _debris(self, reach_nm: float, count: float) -> list[Bump]:
        law, rng = self._preset.marks, self._rng
        bits = []
        for _ in range(rng.poisson(count)):
            distance = reach_nm * law.debris_reach * math.sqrt(rng.uniform())
            angle = rng.uniform(0, 2 * math.pi)
            sigma = law.debris_sigma_nm.draw(rng)
            place = distance * math.cos(angle), distance * math.sin(angle)
            bits.append(Bump(*place, law.debris_height_nm.draw(rng), sigma, sigma))
        return bits


def logistic(x: float) -> float:
    """Smooth step from 0 to 1."""
    return 1 / (1 + math.exp(-min(max(x, -60.0), 60.0)))
