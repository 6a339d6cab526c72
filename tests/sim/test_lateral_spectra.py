"""Spectra beside steps, over adatoms and over molecules differ from those of a bare terrace."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from drivers.actions import TunnellingPoint
from drivers.spectrum import SpectrumSettings
from sim.presets.preset import Preset, load_preset
from sim.sample import Sample
from sim.spectra.lateral import TERRACE, Site, site_of, surface_share
from sim.spectra.spectroscopy import Barrier, Curve
from sim.tips.tip import Tip
from sim.world import World
from tests.sim.conftest import changed

BARRIER = Barrier(4.75, 0.6)
BIAS = np.linspace(-0.8, 0.3, 221)
AT = TunnellingPoint(bias_v=-0.8, setpoint_a=1e-9)
SWEEP = SpectrumSettings(
    start_v=-0.8,
    stop_v=0.3,
    points=111,
    at=AT,
    modulation_v_rms=0.005,
    modulation_hz=700.0,
    integration_s=0.2,
)


def didv(preset: Preset, site: Site) -> np.ndarray:
    curve = Curve(preset.spectrum, None, BARRIER, (-0.81, 0.31), site)
    return (curve.current(BIAS + 1e-4) - curve.current(BIAS - 1e-4)) / 2e-4


def rise(curve: np.ndarray, onset_v: float) -> float:
    """dI/dV above over below the onset."""
    return float(np.interp(onset_v + 0.1, BIAS, curve) / np.interp(onset_v - 0.15, BIAS, curve))


@pytest.mark.parametrize("name", ["au111", "ag111", "cu111"])
def test_the_surface_state_is_damped_at_a_step_and_comes_back_away_from_it(name: str):
    preset = load_preset(name)
    onset = preset.spectrum.surface_state.onset_ev
    at, far, open_ = (rise(didv(preset, site), onset) for site in (Site(0.0), Site(200.0), TERRACE))
    assert at - 1 < 0.6 * (open_ - 1)
    assert far == pytest.approx(open_, rel=1e-3)


def test_waves_beside_a_step_have_half_the_wavelength_of_the_electrons(preset: Preset):
    state = preset.spectrum.surface_state
    energy = np.array([0.0])
    distance = np.linspace(2.0, 12.0, 2001)
    share = np.array([surface_share(state, Site(d), energy)[0] for d in distance])
    tops = distance[1:-1][(share[1:-1] > share[:-2]) & (share[1:-1] > share[2:])]
    k = math.sqrt(26.2468 * state.mass * -state.onset_ev)
    assert np.diff(tops) == pytest.approx(math.pi / k, rel=0.03)
    below = surface_share(state, Site(3.0), np.array([state.onset_ev - 0.1, state.onset_ev - 0.2]))
    assert below[0] == below[1]


def test_an_adatom_binds_a_state_just_below_the_band(preset: Preset):
    state = preset.spectrum.surface_state
    over, bare = didv(preset, Site(adatom=1.0)), didv(preset, TERRACE)
    excess = over / np.interp(-0.75, BIAS, over) - bare / np.interp(-0.75, BIAS, bare)
    top = BIAS[excess.argmax()]
    assert state.onset_ev - 0.1 < top < state.onset_ev
    assert excess.max() > 0.3


def test_the_sample_says_what_lies_below():
    preset = load_preset("cu111")
    state, sample = preset.spectrum.surface_state, Sample(preset, 1)
    assert site_of(sample, None, 0.0, 0.0) == TERRACE
    area = np.array([-60.0, -60.0]), np.array([60.0, 60.0])
    x, y = sample.molecules.along(*area, 1.0)[0, :2]
    assert site_of(sample, state, x, y).molecule == 1.0
    assert site_of(sample, state, x + 0.4, y).molecule == pytest.approx(math.exp(-0.5), rel=0.01)
    share = surface_share(state, site_of(sample, state, x, y), np.array([0.0]))
    assert share == pytest.approx(1 - state.molecule.loss, abs=0.1)
    sample = Sample(load_preset("au111"), 1)
    x, y = sample.adatoms.along(*area, 1.0)[0, :2]
    state = load_preset("au111").spectrum.surface_state
    assert site_of(sample, state, x, y).adatom == 1.0
    assert site_of(sample, state, x, y + 5.0).adatom < 1.0


def test_the_distance_to_a_step_is_where_the_level_changes(preset: Preset):
    sample = Sample(changed(preset, adatoms={"per_nm2": 0.0}), 2)
    distances = [sample.step_distance_nm(x, 0.0) for x in np.arange(-200.0, 200.0, 0.5)]
    heights = sample.tile((-200.0, -0.5, 200.0, 0.5), 0.5).height[1, :800]
    jumps = np.flatnonzero(np.abs(np.diff(heights)) > 0.1)
    assert len(jumps)
    assert all(distances[jump] < 1.0 for jump in jumps)
    assert min(distances) < 0.5 < 10.0 < max(distances)


def test_spectra_of_the_world_vary_with_the_place(preset: Preset):
    def spectrum(world: World) -> np.ndarray:
        curve = world.spectrum(SWEEP).didv_s
        return curve / np.median(curve[:20])

    world = World(preset, 1, tip=Tip(1.0))
    places = np.array([[x, y] for x in range(-150, 151, 3) for y in (0, 40)], float)
    distances = [world.sample.step_distance_nm(x, y) for x, y in places]
    order = np.argsort(distances)
    at, away = places[order[0]], places[order[-1]]
    seen = {}
    for name, place in (("step", at), ("terrace", away)):
        other = World(preset, 1, tip=Tip(1.0))
        other.move(*(place * 1e-9), 1e-6)
        seen[name] = spectrum(other)
    plateau = slice(40, 60)
    assert np.median(seen["step"][plateau]) < 0.9 * np.median(seen["terrace"][plateau])


def test_without_a_surface_state_nothing_varies():
    preset = load_preset("hopg")
    assert np.array_equal(didv(preset, Site(0.0, 1.0, 1.0)), didv(preset, TERRACE))


def test_steps_say_nothing_where_the_preset_says_nothing(preset: Preset):
    state = preset.spectrum.surface_state.model_copy(update={"step": None})
    law = preset.spectrum.model_copy(update={"surface_state": state})
    other = preset.model_copy(update={"spectrum": law})
    assert np.array_equal(didv(other, replace(TERRACE, step_nm=0.0)), didv(other, TERRACE))
