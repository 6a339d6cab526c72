"""Nominal, randomised and shifted worlds: which numbers they draw, and from where."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.environments.worlds import VARIED, changed_law, episode_preset
from sim.presets.blocks import Spread
from sim.presets.preset import Preset
from sim.tips.latents import Latents
from sim.world import World

LAWS = st.sampled_from(["uniform", "log_uniform", "normal", "log_normal"])


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    law = draw(LAWS)
    a = draw(st.floats(0.01, 10))
    b = draw(st.floats(0.01, 2)) if "normal" in law else a + draw(st.floats(0.01, 10))
    return Spread(law=law, a=a, b=b)


def ends(law: Spread) -> tuple[float, float]:
    """The range that a law counts as having."""
    match law.law:
        case "normal":
            return law.a - 2 * law.b, law.a + 2 * law.b
        case "log_normal":
            return law.a * math.exp(-2 * law.b), law.a * math.exp(2 * law.b)
    return law.a, law.b


@given(spreads(), st.integers(0, 100))
def test_nominal_is_the_middle(law: Spread, seed: int):
    drawn = changed_law(law, "nominal", np.random.default_rng(seed)).draw(
        np.random.default_rng(seed)
    )
    low, high = ends(law)
    middle = math.sqrt(low * high) if law.law.startswith("log") else (low + high) / 2
    assert drawn == pytest.approx(middle)


@given(spreads(), st.integers(0, 100))
def test_shifted_is_within_half_a_width_outside(law: Spread, seed: int):
    rng = np.random.default_rng(seed)
    drawn = changed_law(law, "shifted", rng).draw(rng)
    low, high = ends(law)
    if law.law.startswith("log"):
        low, high, drawn = math.log(low), math.log(high), math.log(drawn)
    outside = max(low - drawn, drawn - high)
    assert -1e-9 <= outside <= (high - low) / 2 + 1e-9


def test_shifted_lies_on_both_sides_but_never_changes_sign():
    rng = np.random.default_rng(0)
    both = Spread(law="uniform", a=10.0, b=12.0)
    above = Spread(law="uniform", a=0.0, b=0.4)
    assert {changed_law(both, "shifted", rng).a for _ in range(20)} == {9.0, 12.0}
    assert {changed_law(above, "shifted", rng).a for _ in range(20)} == {0.4}


def test_randomised_is_the_law_of_the_preset(preset: Preset):
    derived = episode_preset(preset, "randomised", 5)
    assert all(getattr(derived, name) == getattr(preset, name) for name in VARIED)
    times = [episode_preset(preset, "randomised", n).controller.time_constant_us for n in range(50)]
    usual = preset.controller.time_constant_us
    assert usual / 2**0.5 < min(times) < 0.9 * usual
    assert 1.1 * usual < max(times) < usual * 2**0.5


def test_nominal_worlds_differ_in_nothing_that_is_hidden(preset: Preset):
    worlds = [World(episode_preset(preset, "nominal", n), n) for n in range(3)]
    thresholds = [world.latents.pulse_threshold_v for world in worlds]
    assert thresholds == pytest.approx([4.4] * 3)
    derived = episode_preset(preset, "nominal", 1)
    assert derived.controller.time_constant_us == pytest.approx(preset.controller.time_constant_us)


def test_every_shifted_number_lies_outside_the_training_range(preset: Preset):
    low, high = preset.hidden.pulse_threshold_v.a, preset.hidden.pulse_threshold_v.b
    hum = preset.noise.hum_pm
    for episode in range(30):
        shifted = episode_preset(preset, "shifted", episode)
        latents = Latents.draw(np.random.default_rng(episode), shifted)
        assert not low < latents.pulse_threshold_v < high
        drawn = shifted.noise.hum_pm.draw(np.random.default_rng(episode))
        assert not hum.a * 1.001 < drawn < hum.b * 0.999
        factor = preset.controller.time_constant_us / shifted.controller.time_constant_us
        assert 2**0.5 * 0.999 <= max(factor, 1 / factor) <= 2.001


def test_a_derived_preset_depends_on_the_episode_alone(preset: Preset):
    assert episode_preset(preset, "shifted", 3) == episode_preset(preset, "shifted", 3)
    assert episode_preset(preset, "shifted", 3) != episode_preset(preset, "shifted", 4)
    assert episode_preset(preset, "shifted", 3).good == preset.good
