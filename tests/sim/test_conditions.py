"""Temperatures that combine with every surface and tip, and what they change."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np
import pytest

from drivers.errors import ConfigError
from sim.presets.preset import known_conditions, known_presets, known_tips, load_preset
from sim.sample import Bump, Sample
from sim.world import World
from tests.sim.test_tip_materials import CARRIERS


@pytest.mark.parametrize("condition", known_conditions())
@pytest.mark.parametrize("surface", known_presets())
def test_every_condition_goes_with_every_surface_and_tip(surface: str, condition: str):
    kelvin = float(condition.removesuffix("k"))
    for tip in (None, *known_tips()):
        name = "-".join(part for part in (surface, condition, tip) if part)
        preset = load_preset(name)
        assert preset.name == name
        assert f", {kelvin:g} K, simulated" in preset.title
        assert preset.spectrum.temperature_k == kelvin
        assert preset.steps == load_preset(surface).steps
        assert preset.tip_material == (tip or "unknown")
        for feature in preset.good.judged_by:
            assert getattr(preset, CARRIERS[feature]) is not None


def test_a_condition_is_part_of_the_hash():
    names = ("au111", "au111-77k", "au111-300k", "au111-300k-ptir", "au111-ptir")
    assert len({load_preset(name).hash for name in names}) == len(names)


def test_the_tip_has_the_last_word():
    cold, warm = load_preset("au111-ptir"), load_preset("au111-300k-ptir")
    assert warm.tip_material == cold.tip_material
    assert warm.hidden == cold.hidden
    assert warm.motion == load_preset("au111-300k").motion
    assert warm.title == "Au(111), 300 K, simulated, cut PtIr tip"


def test_warm_instruments_drift_and_rattle_more():
    order = [load_preset(name) for name in ("au111", "au111-77k", "au111-300k")]
    for law in (
        [preset.motion.drift_nm_per_min for preset in order],
        [preset.motion.creep_per_decade for preset in order],
        [preset.noise.pixel_pm for preset in order],
    ):
        assert [spread.b for spread in law] == sorted({spread.b for spread in law})


def test_what_the_surface_says_of_its_own_instrument_stays():
    assert load_preset("hopg-77k").controller == load_preset("hopg").controller


@pytest.mark.parametrize(
    ("name", "heals"),
    [("au111", 1), ("ag111", 1), ("cu111", 1), ("si111_7x7", 0), ("hsi100", 0), ("hopg", 0)],
)
def test_marks_heal_at_room_temperature_where_atoms_move(name: str, heals: int):
    for condition, left in (("", 1.0), ("-77k", 1.0), ("-300k", np.exp(-1) if heals else 1.0)):
        sample = Sample(load_preset(name + condition), 1)
        sample.add([Bump(0, 0, 0.5, 1, 1)])
        sample.heal(400.0)
        assert sample.marks[0, 2] == pytest.approx(0.5 * left)


def test_carbon_monoxide_has_left_warm_copper():
    assert load_preset("cu111-77k").molecules is not None
    warm = load_preset("cu111-300k")
    assert (warm.molecules, warm.carbon_monoxide, warm.dragging) == (None, None, None)
    assert np.isfinite(World(warm, 1).z_m)


def test_the_last_word_is_about_surfaces_that_there_are():
    for condition in known_conditions():
        path = files("sim") / "presets" / "conditions" / f"{condition}.toml"
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        assert table["name"] == condition
        assert set(table.get("for", {})) <= set(known_presets())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("au111-4k", "unknown tip '4k'; known are coated.*conditions.*are 300k, 77k"),
        ("au111-ptir-300k", "unknown tip 'ptir-300k'.*before the tip"),
        ("au111-300k-77k", "unknown tip '77k'"),
        ("au111-300k-", "unknown tip ''"),
        ("au111-300k-gold", "unknown tip 'gold'; known are coated, ptir, qplus, w"),
        ("au111_300k", r"unknown simulated surface.*ag111, au111.*\(300k, 77k\).*\(coated, ptir"),
        ("300k", "unknown simulated surface '300k'"),
    ],
)
def test_unknown_combinations_are_refused_with_the_known_names(name: str, says: str):
    with pytest.raises(ConfigError, match=says):
        load_preset(name)
