"""Marks that heal, adatoms that are dragged, and tips that change in the middle of a line."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from drivers.actions import TunnellingPoint
from sim.presets.preset import Preset, load_preset
from sim.sample import Bump, Sample
from sim.surfaces.strewn import Strewn
from sim.tips.tip import Apex, Tip
from sim.world import World
from tests.sim.conftest import AT, Settings, changed

GOOD = Tip(1.0, (Apex(1.0, 0.5, 0.3),))
CLOSE = TunnellingPoint(bias_v=0.001, setpoint_a=8e-9)


def steady(name: str, change_per_frame: float = 0.0) -> Preset:
    preset = load_preset(name)
    rate = type(preset.hidden.dirt)(law="uniform", a=change_per_frame, b=change_per_frame)
    return changed(preset, hidden={"change_per_frame": rate})


# ---- Healing


def test_marks_fill_up_at_room_temperature_and_not_in_the_cold(preset: Preset):
    for numbers, left in ((load_preset("au111-300k"), np.exp(-1)), (preset, 1.0)):
        sample = Sample(numbers, 1)
        sample.heal(1000.0)
        sample.add([Bump(0, 0, 0.5, 1, 1), Bump(3, 0, -0.4, 1, 1)])
        sample.heal(1400.0)
        assert sample.marks[:, 2] == pytest.approx([0.5 * left, -0.4 * left])


def test_what_has_healed_is_gone():
    sample = Sample(load_preset("au111-300k"), 1)
    sample.add([Bump(0, 0, 0.5, 1, 1), Bump(3, 0, 0.03, 1, 1)])
    revision = sample.revision
    sample.heal(400.0)
    assert len(sample.marks) == 1
    assert sample.revision > revision
    sample.heal(1e5)
    assert len(sample.marks) == 0


def test_a_scan_finds_marks_healed(frame: Settings):
    world = World(steady("au111-300k"), 1, tip=GOOD)
    world.indent(2e-9, 0.1, 0.02, 0.1, 3e-9, 0.1, 0.1, True)
    before = np.abs(world.sample.marks[:, 2]).max()
    world.advance(800.0)
    world.scan(frame(pixels=16))
    assert np.abs(world.sample.marks[:, 2]).max() < 0.2 * before


# ---- Dragging


def adatoms(world: World, half_nm: float = 20.0) -> np.ndarray:
    box = (-half_nm, -half_nm, half_nm, half_nm)
    rows = world.sample.adatoms.over(box, 0.0)
    return rows[np.lexsort(rows[:, :2].T)]


def test_only_a_tip_too_close_drags_adatoms(frame: Settings):
    world = World(steady("ag111"), 6, tip=GOOD)
    before = adatoms(world)
    world.scan(frame(size_nm=32.0, pixels=64))
    assert np.array_equal(adatoms(world), before)
    world.scan(frame(size_nm=32.0, pixels=64, at=CLOSE))
    after = adatoms(world)
    assert not np.array_equal(after, before)
    clusters = [rows[rows[:, 3] != rows[:, 4]] for rows in (before, after)]
    assert np.array_equal(*clusters)


def test_gold_in_the_cold_holds_its_adatoms(preset: Preset, frame: Settings):
    world = World(preset, 6, tip=GOOD)
    before = adatoms(world)
    world.scan(frame(size_nm=32.0, pixels=64, at=CLOSE))
    assert np.array_equal(adatoms(world), before)


def test_scanning_close_line_by_line_is_scanning_at_once(frame: Settings):
    settings = frame(size_nm=32.0, pixels=64, at=CLOSE)
    preset = steady("ag111", 1.0)
    whole, single = (World(preset, 6, tip=GOOD) for _ in range(2))
    picture = whole.scan(settings)
    lines = sorted(single.lines(settings), key=lambda line: line.row)
    assert np.array_equal(picture.forward, [line.forward_m for line in lines])
    assert np.array_equal(adatoms(whole), adatoms(single))
    assert whole.tip == single.tip


def test_an_adatom_follows_a_move():
    world = World(steady("ag111"), 6, tip=GOOD)
    rows = adatoms(world)
    lone = rows[rows[:, 3] == rows[:, 4]]
    row = lone[np.argmin(np.hypot(lone[:, 0], lone[:, 1]))]
    world.move(row[0] * 1e-9, row[1] * 1e-9, 1e-7)
    world.tunnel(CLOSE)
    moved = []
    for dx in (0.4, 0.8, 1.2):
        world.move((row[0] + dx) * 1e-9, row[1] * 1e-9, 1e-9)
        moved.append(set(map(tuple, adatoms(world)[:, :2])))
    assert tuple(row[:2]) not in moved[0]
    assert all(len(one) == len(rows) for one in moved)


def test_strewn_things_are_taken_and_put():
    three = np.array([[x, 0.0, 0.1, 0.2, 0.2, 0.0, 0.0] for x in (0.0, 2.0, 4.0)])
    strewn = Strewn(lambda area, margin: three)
    everywhere = (-10.0, -10.0, 10.0, 10.0)
    assert len(strewn.along(np.array([1.9, -1]), np.array([1.9, 1]), 0.2)) == 1
    strewn.take(three[1])
    strewn.put(np.array([7.0, 1.0, *three[1, 2:]]))
    assert sorted(strewn.over(everywhere, 0.0)[:, 0]) == [0.0, 4.0, 7.0]
    assert len(strewn.over((-10.0, -10.0, 2.0, 2.0), 0.0)) == 2
    strewn.take(strewn.over(everywhere, 0.0)[-1])
    assert sorted(strewn.over(everywhere, 0.0)[:, 0]) == [0.0, 4.0]


# ---- Changes over clusters


def test_a_tip_that_changes_over_a_cluster_takes_it_along(frame: Settings):
    on = steady("hsi100", 20.0)
    off = changed(on, changes={"takes_nm": 0.0})
    settings = frame(size_nm=20.0)
    left = []
    for preset in (on, off):
        world = World(preset, 2, tip=GOOD)
        before = len(adatoms(world))
        world.scan(settings)
        left.append(before - len(adatoms(world)))
    assert left[0] > 0
    assert left[1] == 0


def test_taking_along_is_the_same_line_by_line_and_at_once(frame: Settings):
    preset = steady("hsi100", 20.0)
    settings = frame(size_nm=20.0, pixels=48)
    whole, single = (World(preset, 2, tip=GOOD) for _ in range(2))
    picture = whole.scan(settings)
    lines = sorted(single.lines(settings), key=lambda line: line.row)
    assert np.array_equal(picture.forward, [line.forward_m for line in lines])
    assert np.array_equal(adatoms(whole), adatoms(single))


def test_changes_leave_another_radius_where_the_preset_has_it_so(frame: Settings):
    on = steady("hsi100", 20.0)
    off = changed(on, changes={"blunting": None})
    worlds = [World(preset, 2, tip=GOOD) for preset in (on, off)]
    for world in worlds:
        world.scan(frame())
    assert worlds[0].tip.radius_nm != GOOD.radius_nm
    assert worlds[1].tip.radius_nm == GOOD.radius_nm


# ---- Changes within a line


def breaks(preset: Preset, seed: int, settings) -> tuple[np.ndarray, int]:
    """Heights (nm) of the first line that changes the tip, there and back; and which line."""
    world = World(preset, seed, tip=GOOD)
    last = world.tip
    for line in world.lines(settings):
        if not world.tip.same_apex(last):
            return np.array([line.forward_m, line.backward_m]) * 1e9, line.index
    pytest.fail("nothing changed")


def test_a_change_shows_within_its_line_where_the_preset_has_it_so(frame: Settings):
    on = steady("au111-coated", 20.0)
    off = changed(on, changes={"within_lines": False})
    settings = frame(pixels=64)
    places = []
    for seed in range(25):
        (new, index), (old, same) = (breaks(preset, seed, settings) for preset in (on, off))
        assert index == same
        # In the order of time: there, then back.
        differs = np.concatenate([new[0] != old[0], new[1, ::-1] != old[1, ::-1]])
        first = int(np.argmax(differs)) if differs.any() else differs.size
        assert differs[first:].mean() > 0.9 or first > differs.size - 4
        places.append(first / differs.size)
    assert all(a != b for a, b in pairwise(places))
    assert min(places) < 0.25
    assert max(places) > 0.75


def test_changing_within_lines_is_the_same_line_by_line_and_at_once(frame: Settings):
    preset = steady("au111-coated", 4.0)
    settings = frame(pixels=48)
    for seed in range(3):
        whole, single = (World(preset, seed, tip=GOOD) for _ in range(2))
        picture = whole.scan(settings)
        lines = sorted(single.lines(settings), key=lambda line: line.row)
        assert np.array_equal(picture.forward, [line.forward_m for line in lines])
        assert np.array_equal(picture.backward, [line.backward_m for line in lines])
        assert whole.tip == single.tip


def test_after_the_change_the_loop_goes_on_where_it_stood(frame: Settings):
    preset = steady("au111-coated", 4.0)
    world = World(preset, 1, tip=GOOD)
    heights = world.scan(frame(pixels=64)).forward * 1e9
    assert np.isfinite(heights).all()
    assert AT.bias_v == world.bias_v
    assert np.ptp(heights) < 3.0
