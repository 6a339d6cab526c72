"""Silver and copper: standing waves with the wavelength of the surface state, and CO as dents."""

from __future__ import annotations

import numpy as np
import pytest

from sim.presets.preset import Preset, load_preset
from sim.sample import Box, Sample
from sim.scans.contour import Contour
from sim.surfaces.view import View
from sim.surfaces.waves import profiles
from sim.tips.tip import Tip
from tests.sim.conftest import changed

COPPER, SILVER = (-0.44, 0.38), (-0.065, 0.40)
SHAPE = {"core_nm": 0.6, "coherence_nm": 20.0, "reach_nm": 24.0, "phase": 2.356}


def wavelength_nm(profile: np.ndarray) -> float:
    """Mean distance of the maxima of a profile, the first one left out."""
    tops = np.flatnonzero((profile[1:-1] > profile[:-2]) & (profile[1:-1] > profile[2:])) + 1
    tops = tops[tops > len(profile) // 10][:4]
    return float(np.diff(tops).mean() * SHAPE["reach_nm"] / (len(profile) - 1))


@pytest.mark.parametrize(("state", "half_nm"), [(COPPER, 1.50), (SILVER, 3.80)])
@pytest.mark.parametrize("kind", [0, 1])
def test_waves_at_the_fermi_level_have_half_its_wavelength(state, half_nm: float, kind: int):
    profile = profiles(*state, 0.0, **SHAPE)[kind]
    assert wavelength_nm(profile) == pytest.approx(half_nm, rel=0.03)


def test_waves_get_shorter_with_the_bias_as_the_dispersion_says():
    low, high = (profiles(*COPPER, bias_v, **SHAPE)[1] for bias_v in (1e-3, 0.6))
    # The steepest change of the integral is at its upper end, where k is that of 0.6 eV.
    step = profiles(*COPPER, 0.61, **SHAPE)[1] * 0.61 - high * 0.6
    assert wavelength_nm(step) == pytest.approx(1.50 * np.sqrt(0.44 / 1.045), rel=0.05)
    assert np.abs(high[100:]).max() < 0.7 * np.abs(low[100:]).max()


def test_there_are_no_waves_below_the_bottom_of_the_band():
    above, below = (profiles(*COPPER, bias_v, **SHAPE)[0] for bias_v in (-0.44, -0.88))
    # All that the second half of the energies adds is current: half the contrast is left.
    assert below == pytest.approx(above / 2, abs=0.03)


def alone(preset: Preset) -> Preset:
    """Molecules only, on one endless terrace without waves."""
    flat = {"trend": 0.0, "jitter": 0.0}
    still = changed(preset, steps=flat, adatoms={"per_nm2": 0.0})
    return still.model_copy(update={"waves": None})


@pytest.mark.parametrize(
    ("radius_nm", "lowest_nm", "highest_nm"), [(0.4, 0.04, 0.06), (10, 0, 0.02)]
)
def test_molecules_are_dents_that_blunt_tips_hardly_see(
    radius_nm: float, lowest_nm: float, highest_nm: float
):
    preset, box = alone(load_preset("cu111")), Box(0, 0, 60, 60)
    contour = Contour(preset, Sample(preset, 2), Tip(radius_nm), box, 0.1)
    heights = np.log(contour.field) / contour.tip.decay_per_nm
    depth = np.median(heights) - np.quantile(heights, 1e-3)
    assert lowest_nm < depth < highest_nm


def test_molecules_are_as_dense_as_the_preset_says():
    preset = alone(load_preset("cu111"))
    height = Sample(preset, 2).tile(Box(0, 0, 200, 200), 0.2).height
    middle = height[1:-1, 1:-1]
    shifted = [
        height[1 + j : len(height) - 1 + j, 1 + i : height.shape[1] - 1 + i]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    ]
    dents = (middle < -0.03) & np.all([middle <= other for other in shifted], axis=0)
    assert dents.sum() == pytest.approx(0.035 * 200**2, rel=0.2)


@pytest.mark.parametrize(("name", "picometres"), [("ag111", (0.3, 4)), ("cu111", (1, 8))])
def test_waves_are_as_high_as_published(name: str, picometres: tuple[float, float]):
    preset = load_preset(name)
    texture = (
        Sample(preset, 1).tile(Box(0, 0, 40, 40), 0.2, View(0.01, 0.8, 22.0, 0.0, 0.0)).texture
    )
    assert texture is not None
    assert picometres[0] < texture.std() * 1e3 < picometres[1]


def test_blunt_tips_see_lower_waves():
    sample, box = Sample(load_preset("cu111"), 1), Box(0, 0, 20, 20)
    sharp, blunt = (
        sample.tile(box, 0.2, View(0.01, radius, 22.0, 0.0, 0.0)).texture for radius in (0.4, 8.0)
    )
    assert blunt.std() < 0.15 * sharp.std()
