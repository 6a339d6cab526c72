"""I(V) and dI/dV: what sample, barrier, heat, lock-in and tip make of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from sim.presets.preset import Preset, known_presets, load_preset
from sim.spectra.electronics import draw_states
from sim.spectra.judge import SpectralJudge
from sim.spectra.spectral import Gap, SampleLevel, SpectrumLaw, SurfaceState
from sim.spectra.spectroscopy import PHASES, Barrier, Curve, demodulated
from sim.tips.states import Level, TipStates
from sim.tips.tip import Termination, Tip

SOURCE = {"*": "assumed: for a test"}
BARRIER = Barrier(4.75, 0.6)
GOOD = Tip(radius_nm=1.0)
KT_300_V = 0.02585


def surface(**others: object) -> SpectrumLaw:
    """A flat metal without a surface state in the cold, or what ``others`` make of it."""
    tip = load_preset("au111").spectrum.tip
    plain = {
        "temperature_k": 1.0,
        "slope_per_ev": 0.0,
        "curvature_per_ev2": 0.0,
        "max_bias_v": 2.0,
        "settle_s": 0.005,
        "tip": tip,
        "provenance": SOURCE,
    }
    return SpectrumLaw.model_validate({**plain, **others})


def shockley(onset_ev: float, mass: float = 0.3, width: float = 0.01) -> SurfaceState:
    return SurfaceState(
        onset_ev=onset_ev, mass=mass, linewidth_ev=width, weight=1.5, provenance=SOURCE
    )


def slope(law: SpectrumLaw, bias: np.ndarray, tip: TipStates | None = None) -> np.ndarray:
    """dI/dV without a lock-in."""
    curve = Curve(law, tip, BARRIER, (float(bias[0]) - 0.01, float(bias[-1]) + 0.01))
    return (curve.current(bias + 1e-4) - curve.current(bias - 1e-4)) / 2e-4


def width_of(line: np.ndarray, bias: np.ndarray) -> float:
    """Full width at half maximum of a single line."""
    return float(np.ptp(bias[line > line.max() / 2]))


@pytest.mark.parametrize("onset", [-0.5, -0.44, -0.065])
def test_the_surface_state_is_a_step_at_its_onset(onset: float):
    bias = np.linspace(onset - 0.2, onset + 0.2, 801)
    didv = slope(surface(surface_state=shockley(onset)), bias)
    assert bias[np.gradient(didv).argmax()] == pytest.approx(onset, abs=0.003)
    assert didv[600] > 1.5 * didv[200]


def test_the_lifetime_widens_the_onset_and_the_mass_tilts_the_band():
    bias = np.linspace(-0.6, -0.4, 801)
    laws = [surface(surface_state=shockley(-0.5, width=width)) for width in (0.01, 0.04)]
    sharp, wide = (width_of(np.gradient(slope(law, bias)), bias) for law in laws)
    assert sharp == pytest.approx(0.01, rel=0.1)
    assert wide == pytest.approx(0.04, rel=0.1)
    ends = np.array([-0.42, -0.02])
    light, heavy = (
        slope(surface(surface_state=shockley(-0.5, mass=mass)), ends) for mass in (0.1, 0.6)
    )
    assert heavy[1] / heavy[0] < 0.9 * light[1] / light[0]


def test_heat_widens_a_step_by_three_and_a_half_kt():
    bias = np.linspace(-0.7, -0.3, 801)
    hot = surface(temperature_k=300.0, surface_state=shockley(-0.5, width=0.006))
    line = np.gradient(slope(hot, bias))
    assert width_of(line - np.median(line), bias) == pytest.approx(3.53 * KT_300_V, rel=0.05)


def test_the_lock_in_sees_through_a_half_ellipse():
    bias = np.linspace(-0.05, 0.05, 4001)
    kink = np.maximum(bias[:, None] + math.sqrt(2) * 0.01 * np.sin(PHASES), 0.0)
    didv = demodulated(kink, 0.01)
    assert didv[0] == pytest.approx(0.0, abs=1e-9)
    assert didv[-1] == pytest.approx(1.0)
    # 25 % and 75 % of the area of the half ellipse lie 0.404 radii to either side.
    quarters = np.interp([0.25, 0.75], didv, bias)
    assert np.diff(quarters)[0] == pytest.approx(2 * 0.404 * math.sqrt(2) * 0.01, rel=0.01)


def test_no_bias_no_current_and_equal_metals_are_symmetric():
    bias = np.linspace(0.0, 1.5, 31)
    hot = surface(temperature_k=300.0, surface_state=shockley(-0.02))
    assert Curve(hot, None, BARRIER, (-0.1, 0.1)).current(np.zeros(1)) == pytest.approx(0, abs=1e-6)
    for kelvin in (1.0, 300.0):
        curve = Curve(surface(temperature_k=kelvin), None, BARRIER, (-1.5, 1.5))
        assert curve.current(np.zeros(1)) == pytest.approx(0.0, abs=1e-9)
        assert curve.current(-bias) == pytest.approx(-curve.current(bias), abs=1e-6)
    didv = slope(surface(), bias)
    # The barrier gets lower on average: more than ohmic, the more so the wider the gap.
    assert np.all(np.diff(didv) > 0)
    assert 1.2 < didv[20] / didv[0] < 3.0


def test_a_level_of_the_tip_shows_at_the_opposite_bias():
    bias = np.linspace(-0.9, 0.9, 361)
    tip = TipStates((Level(0.3, 0.1, 1.5),), 0.0, 0.05)
    ratio = slope(surface(), bias, tip) / slope(surface(), bias)
    assert bias[ratio.argmax()] == pytest.approx(-0.3, abs=0.03)
    assert ratio.max() > 1.8


def test_semiconductors_have_gaps_and_levels():
    gap = Gap(valence_ev=-0.4, conduction_ev=0.5, edge_ev=0.03, residual=0.001, provenance=SOURCE)
    bias = np.array([-1.0, -0.2, 0.0, 0.3, 1.0])
    didv = slope(surface(gap=gap), bias)
    assert didv[1:4].max() < 0.01 * didv[[0, 4]].min()
    level = SampleLevel(energy_ev=0.3, width_ev=0.1, weight=2.0, provenance=SOURCE)
    fine = np.linspace(-0.8, 0.8, 321)
    ratio = slope(surface(levels=(level,)), fine) / slope(surface(), fine)
    assert fine[ratio.argmax()] == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("name", known_presets())
def test_every_surface_shows_what_its_preset_says(name: str):
    law = load_preset(name).spectrum
    bias = np.linspace(-0.7, 0.3, 501)
    didv = slope(law, bias)
    if law.surface_state:
        onset = law.surface_state.onset_ev
        assert bias[np.gradient(didv).argmax()] == pytest.approx(onset, abs=0.02)
    if law.gap:
        assert didv[350] < 0.4 * slope(law, np.array([-1.4, 1.4])).min()


def test_metal_of_the_sample_makes_quieter_tips_than_dirt(preset: Preset):
    law = preset.spectrum
    judge = SpectralJudge(law, preset.good_spectrum)

    def share(tip: Tip) -> float:
        rng = np.random.default_rng(1)
        return float(np.mean([judge.accepts(draw_states(rng, law.tip, tip)) for _ in range(300)]))

    coated, bare_metal = share(replace(GOOD, coat=1.0)), share(GOOD)
    dirty = share(replace(GOOD, termination=Termination.STRONG))
    assert coated > bare_metal + 0.1 > dirty + 0.2
    assert 0.5 < coated < 0.95


def test_the_onset_counts_besides_the_shape(preset: Preset):
    """A level whose flank is steeper than the step hides the onset, however lax the rest."""
    lax = preset.good_spectrum.model_copy(update={"max_deviation": 1e3})
    hidden = TipStates((Level(0.2, 0.03, 3.0),), 0.0, 0.05)
    assert not SpectralJudge(preset.spectrum, lax).accepts(hidden)
    bare_metal = preset.spectrum.model_copy(update={"surface_state": None})
    assert SpectralJudge(bare_metal, lax).accepts(hidden)


def test_a_density_below_nothing_is_refused():
    with pytest.raises(ValidationError, match="slope_per_ev"):
        surface(slope_per_ev=0.6)
