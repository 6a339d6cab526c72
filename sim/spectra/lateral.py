"""What lies below the tip, as far as a spectrum shows it: steps, adatoms and molecules nearby.

Beside a straight step the surface state has the density 1 - J0(2kx): Crommie, Lutz and Eigler,
Nature 363, 524 (1993); Hasegawa and Avouris, Phys. Rev. Lett. 71, 1071 (1993). An adatom binds a
state just below the band: Olsson et al., Phys. Rev. Lett. 93, 206803 (2004); Limot et al., ibid.
94, 036805 (2005). Lengths are nm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import j0

from sim.sample import Sample
from sim.scans.kernels import Doubles
from sim.spectra.spectral import SurfaceState
from sim.surfaces.strewn import Strewn
from sim.surfaces.waves import FREE_PER_EV_NM2
from sim.tips.states import lorentzian

#: Deviations beyond which a Gaussian is nothing.
CUT = 5.0


@dataclass(frozen=True, slots=True)
class Site:
    """Where over the surface a spectrum is taken.

    Attributes:
        step_nm: distance to the nearest step.
        adatom: how much of an adatom is below the tip, 0 to 1.
        molecule: how much of a molecule is.
    """

    step_nm: float = math.inf
    adatom: float = 0.0
    molecule: float = 0.0


#: Far from everything.
TERRACE = Site()


def site_of(sample: Sample, state: SurfaceState | None, x_nm: float, y_nm: float) -> Site:
    """The site at a point of ``sample``, as far as ``state`` is changed there."""
    if state is None:
        return TERRACE
    adatom = _nearness(sample.adatoms, state.adatom.sigma_nm, x_nm, y_nm) if state.adatom else 0.0
    molecule = 0.0
    if state.molecule and sample.molecules:
        molecule = _nearness(sample.molecules, state.molecule.sigma_nm, x_nm, y_nm)
    step_nm = sample.step_distance_nm(x_nm, y_nm) if state.step else math.inf
    return Site(step_nm, adatom, molecule)


def surface_share(state: SurfaceState, site: Site, energy_ev: Doubles) -> Doubles:
    """Share of the surface state's density that ``site`` leaves, shape of ``energy_ev``."""
    share = np.ones_like(energy_ev)
    if state.step and math.isfinite(site.step_nm):
        k2 = FREE_PER_EV_NM2 * state.mass * np.maximum(energy_ev - state.onset_ev, 0.0)
        coherent = state.step.loss * math.exp(-site.step_nm / state.step.coherence_nm)
        share -= coherent * j0(2 * np.sqrt(k2) * site.step_nm)
    if state.molecule:
        share *= 1 - state.molecule.loss * site.molecule
    return share


def bound_density(state: SurfaceState, site: Site, energy_ev: Doubles) -> Doubles:
    """Density of the state that an adatom binds, shape of ``energy_ev``."""
    bound = state.adatom
    if bound is None or not site.adatom:
        return np.zeros_like(energy_ev)
    centre = state.onset_ev - bound.below_ev
    return lorentzian(energy_ev, centre, bound.width_ev, bound.weight * site.adatom)


def _nearness(things: Strewn, sigma_nm: float, x_nm: float, y_nm: float) -> float:
    """A Gaussian of the distance to the nearest of ``things``."""
    point = np.array([x_nm, y_nm])
    rows = things.along(point, point, CUT * sigma_nm)
    distances = np.hypot(rows[:, 0] - x_nm, rows[:, 1] - y_nm)
    return math.exp(-0.5 * (float(distances.min()) / sigma_nm) ** 2) if len(rows) else 0.0
