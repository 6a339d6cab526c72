"""The checks that every driver must pass, ours or a stranger's.

A driver that claims a capability can do what belongs to it, and what it does then keeps the
promises of ``drivers.microscope``. So far this is asked of spectra.
"""

from __future__ import annotations

import math
from itertools import pairwise, starmap

import numpy as np

from drivers.microscope import Capability, Feedback, Microscope, MicroscopeState, TakesSpectra
from drivers.spectrum import Spectrum, SpectrumSettings

#: By how much an instrument may miss a bias (V): a step of a 16-bit converter of 10 V.
BIAS_TOLERANCE_V = 10 / 2**15


async def spectrum_faults(microscope: Microscope, settings: SpectrumSettings) -> list[str]:
    """Take one spectrum with ``settings`` and say what is wrong with it.

    Args:
        microscope: an open instrument in tunnelling contact.
        settings: a spectrum that is safe where the tip stands.

    Returns:
        One sentence for every promise that was broken; none for a driver that takes no spectra
        and does not claim to.

    Raises:
        InstrumentError: the instrument could not take the spectrum.
    """
    if Capability.SPECTRUM not in microscope.capabilities:
        return []
    if not isinstance(microscope, TakesSpectra):
        return [f"{microscope.name}: it claims {Capability.SPECTRUM.value} and has no such method"]
    begun_s = microscope.clock.now()
    spectrum = await microscope.spectrum(settings)
    ended_s, state = microscope.clock.now(), await microscope.state()
    told = {
        "settings are not those that were asked for": spectrum.settings == settings,
        **_of_curves(spectrum),
        **_of_time(spectrum, begun_s, ended_s),
        **_of_state(spectrum, state),
    }
    return [f"{microscope.name}: {fault}" for fault, kept in told.items() if not kept]


def _of_curves(spectrum: Spectrum) -> dict[str, bool]:
    shape = (spectrum.settings.points,)
    curves = spectrum.bias_v, spectrum.current_a, spectrum.didv_s
    if any(curve.shape != shape for curve in curves):
        return {f"bias, current and dI/dV do not all have shape {shape}": False}
    missed = np.abs(spectrum.bias_v - spectrum.settings.bias_v).max()
    return {
        "current or dI/dV is not finite": all(np.isfinite(curve).all() for curve in curves),
        "biases are not those of the sweep, in its order": bool(missed <= BIAS_TOLERANCE_V),
    }


def _of_time(spectrum: Spectrum, begun_s: float, ended_s: float) -> dict[str, bool]:
    times = begun_s, spectrum.started_s, spectrum.finished_s, ended_s
    took = spectrum.finished_s - spectrum.started_s
    return {
        "its times do not lie in order within the clock's": all(starmap(_reaches, pairwise(times))),
        "the clock was not charged for the averaging": _reaches(
            spectrum.settings.averaging_s, took
        ),
    }


def _reaches(earlier_s: float, later_s: float) -> bool:
    return earlier_s <= later_s or math.isclose(earlier_s, later_s)


def _of_state(spectrum: Spectrum, state: MicroscopeState) -> dict[str, bool]:
    at = spectrum.settings.at
    return {
        "the feedback was not closed again": state.feedback is Feedback.ON,
        "the bias did not come back to the tunnelling point": (
            abs(state.bias_v - at.bias_v) <= BIAS_TOLERANCE_V
        ),
        "the setpoint is not that of the tunnelling point": math.isclose(
            state.setpoint_a, at.setpoint_a, rel_tol=1e-3
        ),
    }
