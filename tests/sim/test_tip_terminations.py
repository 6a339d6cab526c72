"""Tips that end in carbon monoxide or in a larger molecule: pictures, how they come and go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from drivers.actions import TunnellingPoint
from drivers.errors import ConfigError
from drivers.scan import ScanSettings
from sim.presets.preset import Preset, load_preset
from sim.sample import Box, Sample
from sim.scans.contour import Contour
from sim.tips.conditioning import Conditioning
from sim.tips.latents import Latents
from sim.tips.tip import Apex, Termination, Tip, draw_first, terminated
from sim.world import World
from tests.sim.conftest import changed

METAL = Tip(1.0, (Apex(1.5, 0.0, 0.3), Apex(0.0, 3.0, 0.6)))
LATENTS = Latents(
    pulse_threshold_v=4.0,
    polarity=1,
    depth_offset_nm=0.0,
    depth_scale=1.0,
    best_depth_nm=0.7,
    dirt=0.3,
    change_per_frame=0.01,
)


@pytest.fixture
def copper() -> Preset:
    return load_preset("cu111")


@pytest.fixture
def monoxide(copper: Preset) -> Tip:
    return terminated(np.random.default_rng(0), copper, METAL, Termination.CO)


def some_molecule(sample: Sample) -> np.ndarray:
    """A molecule that lies alone on a flat place."""
    everywhere = (-60.0, -60.0, 60.0, 60.0)
    others = np.concatenate(
        [sample.adatoms.over(everywhere, 5.0), sample.molecules.over(everywhere, 5.0)]
    )
    for row in sample.molecules.over(everywhere, 0.0):
        apart = np.sort(np.hypot(*(others[:, :2] - row[:2]).T))[1]
        here = sample.tile(Box(*row[:2], *row[:2]).grown(3.0), 0.2).height
        if apart > 4.0 and np.ptp(here) < 0.15:
            return row
    pytest.fail("no lonely molecule")


def profile(preset: Preset, tip: Tip) -> Callable[[float], float]:
    """Height at a distance from the middle of a molecule."""
    sample = Sample(preset, 3)
    x, y = some_molecule(sample)[:2]
    contour = Contour(preset, sample, tip, Box(x, y, x, y).grown(3.0), 0.05)
    return lambda r: float(np.mean([contour.heights_nm(x + s * r, y)[0] for s in (-1, 1)]))


def test_metal_sees_a_dent_and_co_a_mound_with_a_rim(copper: Preset, monoxide: Tip):
    dent, mound = profile(copper, METAL), profile(copper, monoxide)
    assert dent(0.0) < dent(1.5) - 0.02
    assert mound(0.0) > mound(1.5) + 0.01
    assert mound(0.45) < min(mound(0.0), mound(1.5)) - 0.002


def test_co_sharpens_adatoms_and_lattices(copper: Preset, monoxide: Tip):
    assert monoxide.imaging_radius_nm <= 0.4
    sample = Sample(copper, 3)
    x, y = next(row for row in sample.adatoms.over((-60, -60, 60, 60), 0.0) if row[3] == row[4])[:2]
    tall = []
    for tip in (METAL, monoxide):
        contour = Contour(copper, sample, tip, Box(x, y, x, y).grown(3.0), 0.05)
        tall.append(contour.heights_nm(x, y)[0] - contour.heights_nm(x + 1.5, y)[0])
    assert tall[1] > 1.2 * tall[0]
    graphite = load_preset("hopg").model_copy(update={"carbon_monoxide": copper.carbon_monoxide})
    seen = []
    for tip in (METAL, monoxide):
        contour = Contour(graphite, Sample(graphite, 1), tip, Box(0, 0, 2, 2), 0.03)
        z = np.log(contour.field[20:-20, 20:-20]) / tip.decay_per_nm
        seen.append(z.std())
    assert seen[1] > 1.4 * seen[0]


def test_what_sits_behind_the_molecule_hardly_shows(monoxide: Tip, copper: Preset):
    gaps = [apex.gap_nm for apex in monoxide.imaging_apexes]
    ahead = copper.carbon_monoxide.ahead_nm
    assert gaps == pytest.approx([0.0, ahead, 0.3 + ahead, 0.6 + ahead])
    assert METAL.imaging_apexes == (Apex(0.0, 0.0, 0.0), *METAL.apexes)


def test_co_sits_still_but_is_no_bare_metal(copper: Preset, monoxide: Tip):
    assert monoxide.flicker is None
    assert monoxide.decay_per_nm > 21.0
    assert not monoxide.clean
    assert not monoxide.is_good(copper.good)
    assert METAL.is_good(copper.good)


def laws(preset: Preset, seed: int = 0) -> Conditioning:
    return Conditioning(preset, LATENTS, np.random.default_rng(seed))


def share(law: Callable[[], object], wanted: object, n: int = 300) -> float:
    return float(np.mean([law() == wanted for _ in range(n)]))


@pytest.mark.parametrize(
    ("bias_v", "least", "most"), [(1.5, 0.0, 0.02), (2.7, 0.3, 0.6), (-2.7, 0.3, 0.6), (4, 0, 0.02)]
)
def test_a_pulse_of_the_right_height_picks_co_up(copper, bias_v, least, most):
    law = laws(copper)
    taken = share(lambda: law.pulse(METAL, bias_v, 0.1, 0.0, False, True).transfer, "taken")
    assert least <= taken <= most
    assert law.pulse(METAL, bias_v, 0.1, 0.0, False).transfer is None


def test_a_light_touch_picks_co_up_and_a_deep_one_does_not(copper: Preset):
    law = laws(copper)
    assert 0.3 < share(lambda: law.dip(METAL, -0.05, 0.02, 0.1, True).transfer, "taken") < 0.5
    assert share(lambda: law.dip(METAL, -0.5, 0.02, 0.1, True).transfer, None) == 1
    assert share(lambda: law.dip(METAL, 0.5, 0.02, 0.1, True).transfer, None) == 1


def test_pulses_and_contact_take_co_off_again(copper: Preset, monoxide: Tip):
    law = laws(copper)
    assert share(lambda: law.pulse(monoxide, 2.0, 0.1, 0.0, False).transfer, None) > 0.97
    assert share(lambda: law.pulse(monoxide, 4.0, 0.1, 0.0, False).transfer, "left") > 0.97
    assert 0.45 < share(lambda: law.dip(monoxide, 0.05, 0.02, 0.1).transfer, "left") < 0.75
    deep = [law.dip(monoxide, 0.5, 0.02, 0.1).tip for _ in range(30)]
    assert not any(tip.adsorbate for tip in deep if tip.termination is not Termination.CO)
    assert not any(tip.termination is Termination.CO for tip in deep)


def test_the_molecule_goes_with_the_tip_and_comes_back(copper: Preset):
    none = type(copper.noise.pixel_pm)(law="uniform", a=0.0, b=0.0)
    still = changed(
        copper,
        hidden={"change_per_frame": none, "depth_offset_nm": none},
        motion={"drift_nm_per_min": none, "creep_per_decade": none},
    )
    world = World(still, 3, tip=METAL)
    x, y = (float(v) for v in some_molecule(world.sample)[:2])
    world.move(x * 1e-9, y * 1e-9, 1e-7)
    for _ in range(60):
        world.pulse(2.7, 0.1, held=True)
        if world.tip.termination is Termination.CO:
            break
    assert world.tip.termination is Termination.CO
    assert world.sample.molecule_near(x, y, 0.3) is None
    assert world.true_state()["contaminated"]
    world.pulse(3.9, 0.1, held=True)
    assert world.tip.adsorbate is None
    assert world.sample.molecule_near(x, y, 0.5) is not None


def test_a_large_molecule_blurs_shifts_and_has_lobes():
    preset = load_preset("au111-coated")
    rng = np.random.default_rng(2)
    tips = [terminated(rng, preset, METAL, Termination.MOLECULE) for _ in range(200)]
    first = [tip.imaging_apexes[0] for tip in tips]
    away = [np.hypot(apex.dx_nm, apex.dy_nm) for apex in first]
    assert 0.2 <= min(away) < max(away) <= 0.7
    assert all(len(tip.adsorbate.lobes) == 3 for tip in tips)
    assert 0.5 < np.mean([not tip.stable for tip in tips]) < 0.7
    assert all(tip.flicker is not None and tip.decay_per_nm < 18.1 for tip in tips)
    freed = terminated(rng, preset, next(t for t in tips if not t.stable), Termination.CLEAN)
    assert freed.stable
    assert freed.adsorbate is None


def test_large_molecules_come_and_go_like_weak_dirt_where_there_are_any(preset: Preset):
    dirty = load_preset("au111-w")
    rng = np.random.default_rng(3)
    drawn = [draw_first(rng, dirty, 0.0).termination for _ in range(600)]
    assert 0.05 < drawn.count(Termination.MOLECULE) / 600 < 0.2
    tip = terminated(rng, dirty, METAL, Termination.MOLECULE)
    law = laws(dirty)
    ends = [law.pulse(tip, 3.4, 0.1, 0.0, False).tip.termination for _ in range(100)]
    assert 0.5 < ends.count(Termination.CLEAN) / 100 < 0.95
    picked = {law.dip(METAL, 0.5, 0.02, 0.1).tip.termination for _ in range(500)}
    assert Termination.MOLECULE in picked
    plain = laws(preset)
    assert {plain.dip(METAL, 0.5, 0.02, 0.1).tip.termination for _ in range(300)} <= {
        Termination.CLEAN,
        Termination.WEAK,
    }


def test_a_molecule_turns_over_and_co_is_lost_by_themselves(copper: Preset, monoxide: Tip):
    dirty = load_preset("au111-w")
    tip = terminated(np.random.default_rng(0), dirty, METAL, Termination.MOLECULE)
    restless = Conditioning(
        dirty, replace(LATENTS, change_per_frame=96.0), np.random.default_rng(1)
    )
    turned = restless.scan_line(tip, 0.0)
    assert turned.adsorbate != tip.adsorbate
    assert turned.apexes == tip.apexes
    law = Conditioning(copper, replace(LATENTS, change_per_frame=96.0), np.random.default_rng(1))
    ends = [law.scan_line(monoxide, 0.0).termination for _ in range(100)]
    assert 0.55 < ends.count(Termination.CLEAN) / 100 < 0.85


@pytest.mark.parametrize("termination", [Termination.CO, Termination.MOLECULE])
def test_a_preset_without_numbers_for_it_refuses_a_termination(preset: Preset, termination):
    with pytest.raises(ConfigError, match="no section"):
        terminated(np.random.default_rng(0), preset, METAL, termination)


def test_a_co_tip_scans_the_same_twice(copper: Preset, monoxide: Tip, frame):
    at = TunnellingPoint(bias_v=0.03, setpoint_a=1e-10)
    settings: ScanSettings = frame(size_nm=8.0, pixels=32, at=at)
    one, other = (World(copper, 3, tip=monoxide).scan(settings).forward for _ in range(2))
    assert np.array_equal(one, other)
