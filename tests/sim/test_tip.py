"""Tips: what is good, how they are drawn, and what comes with dirt and instability; presets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.errors import ConfigError
from sim.presets.blocks import Spread
from sim.presets.preset import Preset, load_preset
from sim.tips.blocks import Good
from sim.tips.tip import (
    Apex,
    Termination,
    Tip,
    draw_apexes,
    draw_bad,
    draw_first,
    steadied,
    terminated,
)
from tests.sim.conftest import changed

SHARP = Tip(radius_nm=1.0, apexes=(Apex(1.0, 0.0, 0.3),))


def test_only_sharp_single_clean_and_stable_is_good(preset: Preset):
    rng = np.random.default_rng(0)
    assert SHARP.is_good(preset.good)
    assert Tip(1.0).is_good(preset.good)
    assert not Tip(1.6).is_good(preset.good)
    assert not Tip(1.0, (Apex(1.0, 0.0, 0.1), Apex(1.0, 0.0, 0.5))).is_good(preset.good)
    assert not terminated(rng, preset, SHARP, Termination.WEAK).is_good(preset.good)
    assert not steadied(rng, preset, SHARP, stable=False).is_good(preset.good)


def test_a_single_apex_has_no_gap():
    assert math.isinf(Tip(1.0).gap_nm)
    assert Tip(1.0, (Apex(0, 1, 0.4), Apex(1, 0, 0.2))).gap_nm == 0.2


def test_a_good_tip_for_steps_has_no_apex_that_doubles_them(preset: Preset):
    good, step = preset.good, 0.2355
    assert SHARP.is_step_good(good, step)
    shallow = Tip(1.0, (Apex(1.0, 0.0, 0.28),))
    assert shallow.is_good(good)
    assert not shallow.is_step_good(good, step)
    assert shallow.is_step_good(good, 0.2087)
    assert Tip(1.0, (Apex(25.0, 20.0, 0.2),)).is_step_good(good, step)
    assert not Tip(1.6, (Apex(1.0, 0.0, 0.5),)).is_step_good(good, step)


def test_a_good_tip_lasts_where_the_preset_asks_for_it():
    good = load_preset("au111").good
    assert good.min_life_frames == 10
    assert SHARP.is_good(good, life_frames=10.0)
    assert not SHARP.is_good(good, life_frames=9.9)
    assert not SHARP.is_step_good(good, 0.2, life_frames=9.9)


def test_first_tips_are_drawn_bad_and_varied(preset: Preset):
    rng = np.random.default_rng(1)
    tips = [draw_bad(rng, preset, dirt=0.2) for _ in range(300)]
    assert not any(tip.is_good(preset.good) for tip in tips)
    assert 0.2 < np.mean([not tip.stable for tip in tips]) < 0.5
    usual = {Termination.CLEAN, Termination.WEAK, Termination.STRONG}
    assert {tip.termination for tip in tips} == usual
    radii = np.array([tip.radius_nm for tip in tips])
    assert 3.5 < np.median(radii) < 7.0
    assert radii.min() >= preset.apexes.min_radius_nm
    assert radii.max() <= preset.apexes.max_radius_nm


def test_some_first_tips_are_good(preset: Preset):
    rng = np.random.default_rng(2)
    tips = [draw_first(rng, preset, dirt=0.0) for _ in range(3000)]
    assert any(tip.is_good(preset.good) for tip in tips)


def test_minor_apexes_come_in_order_and_farther_out_on_blunt_tips(preset: Preset):
    rng = np.random.default_rng(3)
    near, far = (
        [draw_apexes(rng, preset, radius, 0.1) for _ in range(300)] for radius in (0.5, 30.0)
    )
    assert all(first.gap_nm <= second.gap_nm for first, second in near + far)
    mean = [
        np.mean([math.hypot(apex.dx_nm, apex.dy_nm) for tip in tips for apex in tip])
        for tips in (near, far)
    ]
    assert mean[1] > 1.5 * mean[0]


def test_dirt_lowers_the_barrier_and_spikes_and_cleaning_ends_both(preset: Preset):
    rng = np.random.default_rng(4)
    dirty = terminated(rng, preset, SHARP, Termination.STRONG)
    assert dirty.decay_per_nm < 18.0 < SHARP.decay_per_nm
    assert dirty.stable
    assert dirty.flicker is not None
    assert 0 < dirty.duty < 0.1
    clean = terminated(rng, preset, dirty, Termination.CLEAN)
    assert clean.flicker is None
    assert clean.duty == 0.0
    assert clean.decay_per_nm > 21.0


def test_preset_hash_follows_the_content(preset: Preset):
    same = Preset.model_validate_json(preset.model_dump_json())
    assert same.hash == preset.hash
    assert changed(preset, good={"max_radius_nm": 2.0}).hash != preset.hash


def test_unknown_preset_names_the_known():
    with pytest.raises(ConfigError, match=r"'pb111'; known are .*au111"):
        load_preset("pb111")


@pytest.mark.parametrize(
    ("provenance", "says"),
    [
        ({}, "no provenance for"),
        ({"max_radius_nm": "assumed: x"}, "no provenance for"),
        ({"*": "guessed"}, "must start with"),
        ({"*": "assumed: x", "colour": "assumed: x"}, "unknown fields"),
    ],
)
def test_every_number_says_where_it_comes_from(provenance: dict[str, str], says: str):
    with pytest.raises(ValidationError, match=says):
        Good(max_radius_nm=1.5, min_gap_nm=0.15, provenance=provenance)


@pytest.mark.parametrize(
    ("spread", "middle"),
    [
        (Spread(law="uniform", a=1, b=3), 2.0),
        (Spread(law="log_uniform", a=0.1, b=10), 1.0),
        (Spread(law="normal", a=-1, b=0.5), -1.0),
        (Spread(law="log_normal", a=5, b=0.3), 5.0),
    ],
)
def test_spreads_have_their_median(spread: Spread, middle: float):
    rng = np.random.default_rng(5)
    assert np.median([spread.draw(rng) for _ in range(4000)]) == pytest.approx(middle, rel=0.1)


@pytest.mark.parametrize("bad", [("log_uniform", 0.0, 1.0), ("log_normal", -1.0, 1.0)])
def test_logarithmic_spreads_need_positive_numbers(bad: tuple[str, float, float]):
    law, a, b = bad
    with pytest.raises(ValidationError, match=law):
        Spread(law=law, a=a, b=b)
