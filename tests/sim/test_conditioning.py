"""What pulses and indentations do: thresholds, marks, healing, and what stays within bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.presets.preset import Preset, load_preset
from sim.tips.conditioning import Conditioning
from sim.tips.latents import Latents
from sim.tips.tip import Apex, Termination, Tip, draw_bad, steadied, terminated

LATENTS = Latents(
    pulse_threshold_v=4.0,
    polarity=1,
    depth_offset_nm=0.0,
    depth_scale=1.0,
    best_depth_nm=0.7,
    dirt=0.1,
    change_per_frame=0.01,
)
TIP = Tip(radius_nm=2.0, apexes=(Apex(1.5, 0.0, 0.2), Apex(0.0, 3.0, 0.6)))


def laws(preset: Preset, seed: int = 0, latents: Latents = LATENTS) -> Conditioning:
    return Conditioning(preset, latents, np.random.default_rng(seed))


@pytest.mark.parametrize("bias_v", [0.5, 1.5, -1.5])
def test_a_pulse_far_below_threshold_does_nothing(preset: Preset, bias_v: float):
    change = laws(preset).pulse(TIP, bias_v, 0.1, 0.0, feedback_on=False)
    assert change.tip == TIP
    assert change.marks == []


def test_a_pulse_far_above_threshold_reshapes_and_leaves_a_mark(preset: Preset):
    change = laws(preset).pulse(TIP, 9.0, 0.1, 0.0, feedback_on=False)
    assert change.tip.apexes != TIP.apexes
    assert abs(change.marks[0].height) > 0.1


def effects(preset: Preset, bias_v: float, **how: object) -> float:
    """Share of 300 pulses that leave a mark."""
    given_how = {"width_s": 0.1, "lift_nm": 0.0, "feedback_on": False, **how}
    law = laws(preset)
    return float(np.mean([bool(law.pulse(TIP, bias_v, **given_how).marks) for _ in range(300)]))


def test_the_threshold_depends_on_polarity_width_lift_and_feedback(preset: Preset):
    usual = effects(preset, 4.0)
    assert 0.35 < usual < 0.65
    assert effects(preset, -4.0) < usual - 0.1
    assert effects(preset, 4.0, width_s=0.002) < usual - 0.1
    assert effects(preset, 4.0, lift_nm=0.5) < usual - 0.1
    assert effects(preset, 4.0, feedback_on=True) < usual - 0.1


def test_mounds_and_pits_are_about_as_frequent(preset: Preset):
    law = laws(preset)
    heights = [law.pulse(TIP, 7.0, 0.1, 0.0, feedback_on=False).marks[0].height for _ in range(200)]
    assert 0.4 < np.mean(np.array(heights) > 0) < 0.6


def test_gentle_pulses_take_a_weak_adsorbate_off(preset: Preset):
    weak = terminated(np.random.default_rng(0), preset, TIP, Termination.WEAK)
    law = laws(preset)
    changes = [law.pulse(weak, 3.2, 0.1, 0.0, feedback_on=False) for _ in range(100)]
    cleaned = [change for change in changes if change.tip.clean]
    assert len(cleaned) > 40
    assert sum(not change.marks for change in cleaned) > 20


@pytest.mark.parametrize("penetration", [-0.3, 0.0])
def test_a_dip_short_of_contact_does_nothing(preset: Preset, penetration: float):
    change = laws(preset).dip(TIP, penetration, 0.02, 0.1)
    assert change.tip == TIP
    assert change.marks == []


def test_first_contact_leaves_one_atom_behind(preset: Preset):
    law = laws(preset)
    changes = [law.dip(TIP, 0.1, 0.02, 0.1) for _ in range(100)]
    left = [change for change in changes if change.marks]
    assert 70 <= len(left) <= 97
    assert all(len(change.marks) == 1 for change in left)
    assert all(change.tip.gentle_dips == 1 for change in changes)


def test_an_imprint_mirrors_the_apexes_that_reached_the_sample(preset: Preset):
    marks = laws(preset).dip(TIP, 0.4, 0.02, 0.1).marks
    places = {(mark.x, mark.y): mark.height for mark in marks[:2]}
    assert set(places) == {(0.0, 0.0), (1.5, 0.0)}
    assert all(0.1 < height < 0.6 for height in places.values())


def test_a_deep_dip_leaves_a_crater_with_a_rim(preset: Preset):
    marks = laws(preset).dip(TIP, 3.0, 0.02, 0.1).marks
    assert min(mark.height for mark in marks) < -1.0
    assert sum(mark.height > 0 for mark in marks) >= 3


def test_the_depth_of_contact_and_the_penetration_agree():
    latents = replace(LATENTS, depth_offset_nm=0.1, depth_scale=1.2)
    contact = latents.contact_depth_nm(0.5)
    assert contact == pytest.approx(0.4 / 1.2)
    assert latents.penetration_nm(contact, 0.5) == pytest.approx(0.0)
    assert latents.penetration_nm(contact + 0.5, 0.5) == pytest.approx(0.6)
    assert replace(LATENTS, depth_offset_nm=2.0).contact_depth_nm(0.5) == 0.0


def heal(preset: Preset, seed: int, most: int, depth_factor: float) -> bool:
    """Whether dips of a suitable depth times ``depth_factor`` make a bad tip good."""
    rng = np.random.default_rng(seed)
    latents = Latents.draw(rng, preset)
    law = Conditioning(preset, latents, rng)
    tip = draw_bad(rng, preset, latents.dirt)
    for _ in range(most):
        blunt = (tip.radius_nm - preset.dip.blunt_offset_nm) / preset.dip.blunt_slope
        depth = max(latents.best_depth_nm, blunt + 0.05) * depth_factor
        tip = law.dip(tip, depth, 0.02, 0.1).tip
        if tip.is_good(preset.good):
            return True
    return False


def test_suitable_dips_make_most_bad_tips_good_and_unsuitable_ones_do_not(preset: Preset):
    suitable = sum(heal(preset, seed, 30, 1.0) for seed in range(60))
    careless = sum(heal(preset, seed, 30, 4.0) for seed in range(60))
    assert suitable >= 54
    assert careless <= suitable - 20


def test_a_crash_ruins_the_tip(preset: Preset):
    for seed in range(20):
        change = laws(preset, seed).crash(Tip(0.8))
        assert not change.tip.is_good(preset.good)
        assert change.tip.termination is Termination.STRONG
        assert not change.tip.stable
        assert change.marks


def test_most_landings_are_gentle(preset: Preset):
    law = laws(preset)
    bad = sum(law.landing(TIP).tip != TIP for _ in range(1000))
    assert 25 < bad < 85


def test_spontaneous_changes_come_at_their_rate_and_more_often_on_unstable_tips(preset: Preset):
    law = laws(preset, latents=replace(LATENTS, change_per_frame=0.5))
    unstable = steadied(np.random.default_rng(0), preset, TIP, stable=False)
    lines = 96 * 60
    quiet = sum(law.scan_line(TIP, 0.1) is not TIP for _ in range(lines))
    rough = sum(law.scan_line(TIP, 2.0) is not TIP for _ in range(lines))
    restless = sum(law.scan_line(unstable, 0.1) is not unstable for _ in range(lines))
    assert 15 < quiet < 50
    assert rough > 2.5 * quiet
    assert restless > 1.7 * quiet


@given(
    seed=st.integers(0, 2**32 - 1),
    deeds=st.lists(
        st.one_of(
            st.tuples(st.just("pulse"), st.floats(-10, 10), st.floats(1e-6, 1)),
            st.tuples(st.just("dip"), st.floats(-1, 12), st.floats(0, 10)),
            st.tuples(st.just("line"), st.floats(0, 5), st.just(0.0)),
            st.tuples(st.just("crash"), st.just(0.0), st.just(0.0)),
        ),
        max_size=20,
    ),
)
def test_whatever_is_done_the_tip_stays_a_tip(seed, deeds):
    preset = load_preset("au111")
    law = laws(preset, seed)
    tip = TIP
    for kind, amount, time in deeds:
        match kind:
            case "pulse":
                change = law.pulse(tip, amount, time, 0.0, feedback_on=False)
            case "dip":
                change = law.dip(tip, amount, 0.02, time)
            case "crash":
                change = law.crash(tip)
            case _:
                tip = law.scan_line(tip, amount)
                continue
        tip = change.tip
        assert all(math.isfinite(number) for mark in change.marks for number in mark)
        assert all(mark.wide > 0 and mark.tall > 0 for mark in change.marks)
    low, high = preset.apexes.min_radius_nm, preset.apexes.max_radius_nm
    assert low <= tip.radius_nm <= high
    assert 0 <= tip.coat <= 1
    assert [apex.gap_nm for apex in tip.apexes] == sorted(apex.gap_nm for apex in tip.apexes)
    assert tip.apexes[0].gap_nm >= 0
    assert tip.stable or tip.flicker is not None
    assert tip.clean == (tip.termination is Termination.CLEAN)
