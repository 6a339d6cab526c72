"""Tip materials that combine with every surface, and what counts as good and as seen on it."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.actions import Pulse
from drivers.envelope import Limits
from drivers.errors import ConfigError, Refused
from drivers.materials import borne
from drivers.registry import open_microscope
from sim.environments.setup import prepare
from sim.presets.preset import Preset, known_presets, known_tips, load_preset
from sim.tips.latents import Latents
from sim.tips.tip import Tip, draw_first
from sim.world import World
from tests.sim.conftest import AT, changed

CARRIERS = {
    "herringbone": "reconstruction",
    "co": "molecules",
    "corner_holes": "adatom_cell",
    "dimers": "dimers",
    "lattice": "lattice",
    "step": "steps",
    "adatom": "adatoms",
}


@pytest.mark.parametrize("tip", known_tips())
def test_every_tip_goes_with_every_surface(tip: str):
    hashes = set()
    for surface in known_presets():
        preset, bare = load_preset(f"{surface}-{tip}"), load_preset(surface)
        assert preset.name == f"{surface}-{tip}"
        assert preset.title.startswith(bare.title)
        assert preset.steps == bare.steps
        assert preset.good.judged_by == bare.good.judged_by
        assert preset.tip_material == tip
        hashes.add(preset.hash)
    assert len(hashes) == len(known_presets())


def test_materials_are_known_by_name():
    assert known_tips() == ("coated", "ptir", "qplus", "w")
    with pytest.raises(ConfigError, match="unknown tip 'gold'; known are coated, ptir, qplus, w"):
        load_preset("au111-gold")
    with pytest.raises(ConfigError, match="unknown simulated surface 'pb111'"):
        load_preset("pb111-w")


def test_materials_differ_as_they_are_said_to():
    wire, cut, quartz = (load_preset(f"au111-{name}") for name in ("w", "ptir", "qplus"))
    rng = np.random.default_rng(0)

    def firsts(preset: Preset) -> list[Tip]:
        return [draw_first(rng, preset, 0.0) for _ in range(300)]

    etched, torn = firsts(wire), firsts(cut)
    assert np.mean([tip.coat > 0 for tip in etched]) < 0.1
    assert {len(tip.apexes) for tip in torn} == {3}
    assert np.median([tip.gap_nm for tip in torn]) < 0.75 * np.median([t.gap_nm for t in etched])
    volts = [
        np.mean([Latents.draw(rng, preset).pulse_threshold_v for _ in range(200)])
        for preset in (quartz, cut, wire)
    ]
    assert volts == sorted(volts)


@pytest.mark.parametrize("tip", known_tips())
def test_what_a_material_bears_lets_something_happen(tip: str):
    preset = load_preset(f"au111-{tip}")
    hidden, limits = preset.hidden, borne(Limits(), preset.tip_material)
    assert hidden.pulse_threshold_v.a < limits.max_pulse_v < Limits().max_pulse_v
    assert hidden.best_depth_nm.a < limits.max_depth_nm < Limits().max_depth_nm


def test_environments_forbid_what_is_not_gentle():
    usual, quartz = (
        prepare(name, "nominal", None, None, None) for name in ("au111", "au111-qplus")
    )
    assert usual.limits == Limits()
    assert quartz.limits.max_depth_nm == 0.3
    assert quartz.allowed.sum() < usual.allowed.sum()


@pytest.mark.parametrize("name", known_presets())
def test_a_surface_has_what_it_is_judged_by(name: str):
    preset = load_preset(name)
    assert preset.good.judged_by
    for feature in preset.good.judged_by:
        assert getattr(preset, CARRIERS[feature]) is not None
    if "adatom" in preset.good.judged_by:
        assert preset.adatoms.per_nm2 > 0


def test_the_definition_of_good_has_a_fingerprint_of_its_own(preset: Preset):
    assert load_preset("au111-300k").good_definition == preset.good_definition
    assert changed(preset, noise={"hum_hz": 60.0}).good_definition == preset.good_definition
    for block, numbers in (
        ("good", {"max_radius_nm": 2.0}),
        ("good", {"step_margin_nm": 0.1}),
        ("good", {"judged_by": ("step",)}),
        ("good_spectrum", {"max_deviation": 0.4}),
        ("steps", {"height_nm": 0.2}),
    ):
        assert changed(preset, **{block: numbers}).good_definition != preset.good_definition


def test_a_restless_tip_is_not_good_where_life_counts():
    preset = load_preset("au111-coated")
    often = type(preset.hidden.dirt)(law="uniform", a=0.2, b=0.2)
    hasty = changed(preset, hidden={"change_per_frame": often})
    assert not World(hasty, 1, tip=Tip(1.0)).true_state()["good"]
    assert World(preset, 1, tip=Tip(1.0)).true_state()["good"]
    assert World(preset, 1, tip=Tip(1.0)).true_state()["step_good"]


async def test_an_instrument_opens_within_the_gentle_range_of_its_tip():
    plain = await open_microscope("sim:au111")
    assert plain.limits == Limits()
    torn = await open_microscope("sim:au111-ptir")
    assert (torn.limits.max_pulse_v, torn.limits.max_depth_nm) == (3.0, 1.5)
    narrow = await open_microscope("sim:au111-ptir", limits=Limits().narrowed(max_pulse_v=2.0))
    assert (narrow.limits.max_pulse_v, narrow.limits.max_depth_nm) == (2.0, 1.5)
    with pytest.raises(Refused) as refusal:
        await torn.perform(Pulse(at=AT, bias_v=3.5, width_s=0.1))
    assert refusal.value.limit == "max_pulse_v"
    await torn.perform(Pulse(at=AT, bias_v=2.5, width_s=0.1))
