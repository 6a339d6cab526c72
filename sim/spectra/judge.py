"""Whether a tip is electronically good: its dI/dV beside that of a tip with a flat density."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sim.scans.kernels import Doubles
from sim.spectra.spectral import GoodSpectrum, SpectrumLaw
from sim.spectra.spectroscopy import Barrier, bias_grid, cold_currents
from sim.tips.states import TipStates

#: Points of the comparison: 5 mV apart in a window of 1 V, as fine as a good lock-in resolves.
POINTS = 200


class SpectralJudge:
    """Judges the electronic state of tips over one surface.

    Args:
        law: the surface.
        good: what counts as good.
    """

    def __init__(self, law: SpectrumLaw, good: GoodSpectrum) -> None:
        self._law = law
        self._good = good
        self._barrier = Barrier(good.barrier_ev, good.gap_nm)
        self._grid = bias_grid(good.from_v, good.to_v, (good.to_v - good.from_v) / POINTS)
        self._last: tuple[TipStates | None, bool] = (None, True)

    def accepts(self, states: TipStates | None) -> bool:
        """Whether a tip with ``states`` is electronically good; a flat one is."""
        # Asked after every step of an episode, while tips change only now and then.
        if states != self._last[0]:
            self._last = states, states is None or self._compare(states)
        return self._last[1]

    def _compare(self, states: TipStates) -> bool:
        seen, flat = self._didv(states), self._flat
        ratio = seen / flat
        if np.abs(ratio / np.median(ratio) - 1).max() > self._good.max_deviation:
            return False
        error = abs(self._steepest_v(seen) - self._steepest_v(flat))
        return self._law.surface_state is None or error <= self._good.max_onset_error_v

    @cached_property
    def _flat(self) -> Doubles:
        return self._didv(None)

    def _didv(self, states: TipStates | None) -> Doubles:
        currents = cold_currents(self._law, states, self._barrier, self._grid)
        didv: Doubles = np.gradient(currents, self._grid)
        return didv

    def _steepest_v(self, didv: Doubles) -> float:
        return float(self._grid[np.gradient(didv).argmax()])
