"""The electronic state of a tip: what its own density of states adds to a spectrum.

It is kept apart from the geometry: a tip that images well may have a poor spectrum (Barker and
Sweetman, Beilstein J. Nanotechnol. 16, 99 (2025)). Energies are eV from the tip's Fermi level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.scans.kernels import Doubles


@dataclass(frozen=True, slots=True)
class Level:
    """A resonance: centre, full width at half maximum, and height over the flat part."""

    energy_ev: float
    width_ev: float
    weight: float


@dataclass(frozen=True, slots=True)
class TipStates:
    """Density of states of an apex that is not flat.

    Attributes:
        levels: resonances.
        slope_per_ev: tilt of the density.
        floor: the least density left.
    """

    levels: tuple[Level, ...]
    slope_per_ev: float
    floor: float

    def density(self, energy_ev: Doubles) -> Doubles:
        """Density of states relative to a flat tip, shape of ``energy_ev``."""
        total: Doubles = 1 + self.slope_per_ev * energy_ev
        for level in self.levels:
            total = total + lorentzian(energy_ev, level.energy_ev, level.width_ev, level.weight)
        return np.maximum(total, self.floor)


def lorentzian(energy_ev: Doubles, centre_ev: float, width_ev: float, weight: float) -> Doubles:
    """A line of height ``weight`` and full width ``width_ev`` at half maximum."""
    line: Doubles = weight / (1 + (2 * (energy_ev - centre_ev) / width_ev) ** 2)
    return line
