"""Current against bias across a gap at rest, from the densities of states of sample and tip.

I(V) is the integral of rho_s(E) rho_t(E - eV) T(E, V) between both Fermi levels, with the
transmission T of a trapezoidal barrier in the WKB approximation (Ukraintsev, Phys. Rev. B 53, 11176
(1996)). Energies are eV from the Fermi level of the sample, V is the bias of the sample, so that
eV in volts and V are the same number. The unit of the current is left open: whoever measures scales
it by the setpoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.constants import Boltzmann, elementary_charge
from scipy.interpolate import CubicSpline

from sim.scans.kernels import Doubles
from sim.spectra.lateral import TERRACE, Site, bound_density, surface_share
from sim.spectra.spectral import Gap, SpectrumLaw, SurfaceState
from sim.tips.states import TipStates, lorentzian

#: 2 kappa = 10.25 sqrt(phi / eV) per nm (Binnig and Rohrer, 1982).
DECAY_PER_NM = 10.25
#: Steps of the energy grid within the narrowest line; its Lorentzian then integrates to 1e-5.
STEPS_PER_WIDTH = 4
FINEST_EV = 5e-4
COARSEST_EV = 5e-3
#: The thermal kernel 1 / (4 cosh^2(x/2)) in units of kT, 3.5 wide at half maximum; cut at 1e-6.
#: Ten steps per kT, because lines may be sharper than the Fermi edge.
THERMAL = np.linspace(-14.0, 14.0, 281)
THERMAL_WEIGHTS = 0.025 / np.cosh(THERMAL / 2) ** 2
#: Phases at which a period of the lock-in's modulation is looked at.
PHASES = (np.arange(64) + 0.5) * (2 * math.pi / 64)


@dataclass(frozen=True, slots=True)
class Barrier:
    """The vacuum between tip and sample: mean height (eV) and width (nm)."""

    height_ev: float
    width_nm: float

    @classmethod
    def of(cls, decay_per_nm: float, gap_nm: float) -> Barrier:
        """The barrier in which the current decays by ``decay_per_nm`` = 2 kappa."""
        return cls((decay_per_nm / DECAY_PER_NM) ** 2, gap_nm)


class Curve:
    """I(V) at the temperature of the preset.

    Args:
        law: the surface.
        states: the electronic state of the tip; None is flat.
        barrier: the vacuum in between.
        span_v: lowest and highest bias that will be asked for (V).
        site: where over the surface.
    """

    def __init__(
        self,
        law: SpectrumLaw,
        states: TipStates | None,
        barrier: Barrier,
        span_v: tuple[float, float],
        site: Site = TERRACE,
    ) -> None:
        kt = Boltzmann * law.temperature_k / elementary_charge
        step, reach = _step_ev(law, states), kt * THERMAL[-1]
        grid = bias_grid(span_v[0] - reach, span_v[1] + reach, step)
        sharp = CubicSpline(grid, cold_currents(law, states, barrier, grid, site))
        inside = bias_grid(*span_v, step)
        smooth = sharp(inside[:, None] + kt * THERMAL) @ THERMAL_WEIGHTS
        # Without bias both Fermi edges are smeared alike and no current is left.
        self._spline = CubicSpline(inside, smooth - sharp(kt * THERMAL) @ THERMAL_WEIGHTS)

    def current(self, bias_v: Doubles) -> Doubles:
        """Current at ``bias_v`` (V), any shape."""
        current: Doubles = self._spline(bias_v)
        return current

    def modulated(self, bias_v: Doubles, modulation_v_rms: float) -> Doubles:
        """Currents at ``PHASES`` of a modulation around ``bias_v``, shape (n, phases)."""
        return self.current(bias_v[:, None] + math.sqrt(2) * modulation_v_rms * np.sin(PHASES))


def demodulated(currents: Doubles, modulation_v_rms: float) -> Doubles:
    """What a lock-in amplifier makes of currents at ``PHASES``: dI/dV, shape (n,).

    The first harmonic over the modulation. It sees dI/dV through a half ellipse, sqrt(6) = 2.45
    times the modulation (rms) wide at half maximum: Klein et al., Phys. Rev. B 7, 2336 (1973).
    """
    first: Doubles = currents @ np.sin(PHASES) * (2 / PHASES.size)
    return first / (math.sqrt(2) * modulation_v_rms)


def bias_grid(low_v: float, high_v: float, step_v: float) -> Doubles:
    """Multiples of ``step_v`` that reach over ``low_v``, zero and ``high_v``."""
    first, last = math.floor(min(low_v, 0.0) / step_v), math.ceil(max(high_v, 0.0) / step_v)
    # Splines need four points, also where the span is narrower than a step.
    return np.arange(first - 1, last + 2, dtype=np.float64) * step_v


def cold_currents(
    law: SpectrumLaw,
    states: TipStates | None,
    barrier: Barrier,
    grid_v: Doubles,
    site: Site = TERRACE,
) -> Doubles:
    """Currents at absolute zero on a grid that ``bias_grid`` made, shape of ``grid_v``."""
    step = float(grid_v[1] - grid_v[0])
    offsets = np.arange(1 - grid_v.size, grid_v.size, dtype=np.float64) * step
    tip = np.ones_like(offsets) if states is None else states.density(offsets)
    # In-plane motion does not help through the barrier; only the surface state has it given.
    state = law.surface_state
    bulk, surface = _bulk_density(law, grid_v), np.zeros_like(grid_v)
    if state is not None:
        bulk = bulk + bound_density(state, site, grid_v)
        surface = _step_density(state, grid_v) * surface_share(state, site, grid_v)
    across = grid_v if state is None else _normal_energy(state, grid_v)
    shape = DECAY_PER_NM * barrier.width_nm, barrier.height_ev
    return _integrate(grid_v, bulk, surface, across, tip, *shape)


def _step_ev(law: SpectrumLaw, states: TipStates | None) -> float:
    """Step of the energy grid that the sharpest feature needs."""
    widths = [level.width_ev for level in law.levels]
    widths += [level.width_ev for level in states.levels] if states else []
    widths += [law.surface_state.linewidth_ev] if law.surface_state else []
    widths += [law.gap.edge_ev] if law.gap else []
    finest = min(widths, default=math.inf) / STEPS_PER_WIDTH
    return min(max(finest, FINEST_EV), COARSEST_EV)


def _bulk_density(law: SpectrumLaw, energy_ev: Doubles) -> Doubles:
    density: Doubles = 1 + law.slope_per_ev * energy_ev + law.curvature_per_ev2 * energy_ev**2
    if law.gap is not None:
        density = density * _outside(law.gap, energy_ev)
    # Levels of the surface may lie in the gap of the bulk.
    for level in law.levels:
        density = density + lorentzian(energy_ev, level.energy_ev, level.width_ev, level.weight)
    return density


def _outside(gap: Gap, energy_ev: Doubles) -> Doubles:
    """Share of the density that the gap leaves."""
    empty = 1 + np.tanh((energy_ev - gap.conduction_ev) / gap.edge_ev)
    filled = 1 + np.tanh((gap.valence_ev - energy_ev) / gap.edge_ev)
    share: Doubles = gap.residual + (1 - gap.residual) * (empty + filled) / 2
    return share


def _step_density(state: SurfaceState, energy_ev: Doubles) -> Doubles:
    """A two-dimensional band with a Lorentzian lifetime: Li et al., Phys. Rev. Lett. 81, 4464."""
    phase = np.arctan(2 * (energy_ev - state.onset_ev) / state.linewidth_ev)
    density: Doubles = state.weight * (0.5 + phase / math.pi)
    return density


def _normal_energy(state: SurfaceState, energy_ev: Doubles) -> Doubles:
    """Energy left for the way across the barrier by an electron that moves along the surface."""
    # k^2 = 2 m* (E - E0) / hbar^2 raises the barrier by hbar^2 k^2 / 2m.
    normal: Doubles = energy_ev - state.mass * np.maximum(energy_ev - state.onset_ev, 0.0)
    return normal


@njit(cache=True, forceinline=True)
def _mean_root(near: float, far: float) -> float:
    """Mean of sqrt(u) along a straight line from ``near`` to ``far``; forbidden parts only."""
    a, b = math.sqrt(max(near, 0.0)), math.sqrt(max(far, 0.0))
    if a + b == 0.0:
        return 0.0
    mean = 2 / 3 * (a * a + a * b + b * b) / (a + b)
    # High bias leaves a triangle: only its share of the way is under the barrier.
    below = min(near, far) < 0
    return mean * (a * a + b * b) / abs(near - far) if below else mean


@njit(cache=True)
def _integrate(
    grid_v: Doubles,
    bulk: Doubles,
    surface: Doubles,
    across_ev: Doubles,
    tip: Doubles,
    decay: float,
    height_ev: float,
) -> Doubles:
    """Trapezoidal sums of rho_s rho_t T from zero to every bias of the grid."""
    count = grid_v.size
    zero = round(-grid_v[0] / (grid_v[1] - grid_v[0]))
    rest = math.sqrt(height_ev)
    out = np.zeros(count)
    for i in range(count):
        low, high = min(i, zero), max(i, zero)
        lifted = height_ev + grid_v[i]
        for j in range(low, high + 1):
            if low == high:
                break
            energy, normal = grid_v[j], across_ev[j]
            through = bulk[j] * math.exp(
                decay * (rest - _mean_root(height_ev - energy, lifted - energy))
            )
            if surface[j] > 0:
                through += surface[j] * math.exp(
                    decay * (rest - _mean_root(height_ev - normal, lifted - normal))
                )
            share = 0.5 if j in (low, high) else 1.0
            out[i] += share * through * tip[j - i + count - 1]
        out[i] *= (grid_v[1] - grid_v[0]) * (1.0 if i >= zero else -1.0)
    return out
