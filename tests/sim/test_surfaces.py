"""What all surfaces have in common: endless, reproducible, true to the numbers of their preset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.actions import TunnellingPoint
from sim.presets.preset import Preset, known_presets, load_preset
from sim.sample import Box, Bump, Sample
from sim.scans.contour import Contour
from sim.surfaces.cells import dimer_cell
from sim.surfaces.relief import Tile
from sim.surfaces.view import View
from sim.tips.tip import Apex, Tip
from sim.world import World
from tests.sim.conftest import Settings, changed

SPACING = 0.1
VIEW = View(bias_v=-0.4, radius_nm=0.8, decay_per_nm=22.0, halo=0.0, pixel_nm=0.0)
LATTICES = ("hopg", "hsi100", "si111_7x7")
WAVES = ("ag111", "cu111")


def bare(name: str, **blocks: dict[str, object]) -> Preset:
    """One endless terrace of the surface with nothing on it."""
    preset = load_preset(name)
    still = type(preset.surface.tilt_deg)(law="uniform", a=0.0, b=0.0)
    periodic: dict[str, dict[str, object]] = {
        "dimers": {"bonds": {}, "missing": {}, "split": {}},
        "adatom_cell": {"vacancies": {}, "reacted": {}},
        "molecules": {"spot": {}},
    }
    empty = {
        block: {
            spot: getattr(getattr(preset, block), spot).model_copy(update={"per_nm2": 0.0})
            for spot in spots
        }
        for block, spots in periodic.items()
        if getattr(preset, block)
    }
    flat = {
        "surface": {"tilt_deg": still},
        "steps": {"trend": 0.0, "jitter": 0.0},
        "adatoms": {"per_nm2": 0.0},
        "hidden": {"change_per_frame": still},
        "noise": {
            **dict.fromkeys(("pixel_pm", "line_pm", "slow_pm", "line_start_pm", "hum_pm"), still),
            **dict.fromkeys(("pink", "rattle", "jumps", "glitches")),
        },
        "controller": {"scanner": None, "preamplifier": None},
        "motion": {
            **dict.fromkeys(("drift_nm_per_min", "creep_per_decade", "hysteresis"), still),
            "bending": None,
        },
    }
    return changed(preset, **{**flat, **empty, **blocks})


def seen(tile: Tile) -> np.ndarray:
    return tile.height if tile.texture is None else tile.height + tile.texture


def shared(one: Tile, other: Tile) -> tuple[np.ndarray, np.ndarray]:
    """What both tiles say about the points they share."""
    tiles = one, other
    starts = [np.round(np.array(tile.origin) / SPACING).astype(int) for tile in tiles]
    low = np.maximum(*starts)
    high = np.minimum(*(s + t.height.shape[::-1] for s, t in zip(starts, tiles, strict=True)))
    first, second = (
        seen(tile)[low[1] - s[1] : high[1] - s[1], low[0] - s[0] : high[0] - s[0]]
        for tile, s in zip(tiles, starts, strict=True)
    )
    return first, second


@pytest.mark.parametrize("name", known_presets())
@given(
    seed=st.integers(0, 2**31),
    x=st.floats(-1e4, 1e4),
    y=st.floats(-1e4, 1e4),
    dx=st.floats(-3, 3),
    dy=st.floats(-3, 3),
)
def test_neighbouring_frames_agree(name, seed, x, y, dx, dy):
    sample = Sample(load_preset(name), seed)
    one = sample.tile(Box(x, y, x + 9, y + 9), SPACING, VIEW)
    other = sample.tile(Box(x + dx, y + dy, x + dx + 9, y + dy + 9), SPACING, VIEW)
    first, second = shared(one, other)
    assert first.size > 1000
    # On an edge of a step single precision may choose one lattice or the other.
    assert np.median(np.abs(first - second)) < 1e-4
    assert (np.abs(first - second) > 2e-3).mean() < 1e-3


@pytest.mark.parametrize("name", known_presets())
def test_same_seed_same_surface_other_seed_another(name: str):
    box = Box(0, 0, 12, 12)
    one, same, other = (Sample(load_preset(name), k).tile(box, SPACING) for k in (3, 3, 4))
    assert np.array_equal(seen(one), seen(same))
    assert np.abs(seen(one) - seen(other)).max() > 0.01


@pytest.mark.parametrize(
    ("name", "height_nm"),
    [
        ("ag111", 0.236),
        ("cu111", 0.2087),
        ("si111_7x7", 0.314),
        ("hsi100", 0.136),
        ("hopg", 0.335),
    ],
)
def test_terraces_lie_whole_layers_apart(name: str, height_nm: float):
    preset = bare(name, steps={})
    heights = Sample(preset, 5).tile(Box(0, 0, 900, 900), 2.0).height
    layers = heights / height_nm
    flat = np.abs(layers - np.round(layers)) < 0.03
    assert flat.mean() > 0.97
    assert len(np.unique(np.round(layers[flat]))) >= 2


def spectrum(picture: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes and frequencies (1/nm) of a picture."""
    window = np.outer(np.hanning(picture.shape[0]), np.hanning(picture.shape[1]))
    amplitude = np.abs(np.fft.rfft2((picture - picture.mean()) * window))
    fy = np.fft.fftfreq(picture.shape[0], spacing)[:, None]
    fx = np.fft.rfftfreq(picture.shape[1], spacing)[None, :]
    return amplitude, np.hypot(fx, fy)


def scan(world: World, settings) -> np.ndarray:
    """Forward picture in nm, rows from the top."""
    picture = np.empty((settings.lines, settings.pixels))
    for line in world.lines(settings):
        picture[line.row] = line.forward_m * 1e9
    return picture


@pytest.mark.parametrize(
    ("name", "period_nm", "size_nm"),
    [("hopg", 0.213, 10), ("hsi100", 0.768, 10), ("si111_7x7", 2.33, 24)],
)
def test_lattices_are_seen_with_their_period(
    name: str, period_nm: float, size_nm: float, frame: Settings
):
    world = World(bare(name), 3, tip=Tip(0.4))
    picture = scan(world, frame(size_nm=size_nm, pixels=128, forward_s=2.0))
    amplitude, frequency = spectrum(picture, size_nm / 128)
    wanted = np.abs(frequency * period_nm - 1) < 0.12
    assert amplitude[wanted].max() > 0.5 * amplitude[frequency > 0.2].max()
    # Nothing is slower than the lattice: an aliased one would be.
    assert amplitude[(frequency > 0.15) & (frequency * period_nm < 0.7)].max() < (
        0.05 * amplitude[wanted].max()
    )


@pytest.mark.parametrize("name", LATTICES)
def test_sharp_tips_resolve_what_blunt_ones_wash_out(name: str, frame: Settings):
    def roughness(radius_nm: float) -> float:
        world = World(bare(name), 3, tip=Tip(radius_nm))
        return float(scan(world, frame(size_nm=10, pixels=128, forward_s=2.0)).std())

    sharp, good, blunt = (roughness(radius) for radius in (0.4, 1.4, 12.0))
    assert sharp > 0.005
    assert sharp > good > 0.001
    assert blunt < 0.3 * sharp


@pytest.mark.parametrize("name", LATTICES)
def test_a_second_apex_shows_the_lattice_twice(name: str):
    box, preset = Box(0, 0, 8, 8), bare(name)
    one, two = (
        Contour(preset, Sample(preset, 2), tip, box, 0.05)
        for tip in (Tip(0.5), Tip(0.5, (Apex(0.31, 0.12, 0.0),)))
    )
    points = [(x, y) for x in np.arange(0, 8, 0.37) for y in np.arange(0, 8, 0.41)]
    single, double = (np.array([c.heights_nm(*p)[0] for p in points]) for c in (one, two))
    assert np.std(double) < 0.95 * np.std(single)


@pytest.mark.parametrize("name", ["hopg", "hsi100"])
def test_pixels_too_coarse_for_a_lattice_do_not_show_a_false_one(name: str, frame: Settings):
    world = World(bare(name), 3, tip=Tip(0.4))
    assert np.ptp(scan(world, frame(size_nm=100, pixels=64))) < 2e-3


def test_rows_turn_by_a_right_angle_from_terrace_to_terrace():
    preset = bare("hsi100")
    course = {}
    for level in (0, 1):
        tile = Tile.blank(Box(0, 0, 15, 15), SPACING, textured=True)
        sample = Sample(changed(preset, steps={"trend": 0.0, "jitter": 0.0}), 1)
        stairs = sample._terraces.over(tile.corners, 0.0)
        tile.height[:] = level
        stairs = replace(stairs, base=level)
        sample._crystal.draw(tile, tile.texture, stairs, VIEW)
        amplitude, frequency = spectrum(tile.texture, SPACING)
        k = np.where(frequency < 2.0, amplitude, 0.0).argmax()
        j, i = np.unravel_index(k, amplitude.shape)
        course[level] = np.fft.fftfreq(len(tile.texture))[j], i / tile.texture.shape[1]
    cosine = np.dot(course[0], course[1]) / np.prod([np.hypot(*v) for v in course.values()])
    assert abs(cosine) < 0.1


def test_a_node_parts_the_atoms_of_a_dimer_in_empty_states_only():
    cell = dimer_cell(load_preset("hsi100").dimers)
    filled, empty = cell.heights(-2.0)[:, 0], cell.heights(2.0)[:, 0]
    middle, atom = 0, round(0.12 / 0.768 * len(filled))
    assert filled[middle] == pytest.approx(filled.max(), abs=1e-4)
    assert empty[atom] > empty[middle] + 0.01
    between = len(filled) // 2
    assert empty[between] == pytest.approx(filled[between], abs=1e-4)


def test_edges_along_the_rows_are_straight_and_those_across_them_ragged():
    stairs = Sample(load_preset("hsi100"), 1)._terraces.over((0, 0, 900, 900), 0.0)
    upper = stairs.base + stairs.edges[:, 1].cumsum()
    single = stairs.edges[:, 1] == 1
    along = single & (upper % 2 == 0)
    swing = stairs.edges[:, 2] + stairs.edges[:, 5]
    assert along.sum() > 3
    assert swing[along].max() < swing[single & ~along].min()


def test_dimer_rows_run_across_the_direction_that_is_named():
    sample = Sample(bare("hsi100"), 1)
    named = np.radians(sample.lattice_deg(5.0, 5.0))
    amplitude, frequency = spectrum(sample.tile(Box(0, 0, 15, 15), SPACING).texture, SPACING)
    k = np.where(frequency < 2.0, amplitude, 0.0).argmax()
    j, i = np.unravel_index(k, amplitude.shape)
    wave = np.array([i / len(amplitude), np.fft.fftfreq(len(amplitude))[j]])
    cosine = wave @ [np.cos(named), np.sin(named)] / np.hypot(*wave)
    assert abs(cosine) > 0.99


def test_dangling_bonds_sit_beside_the_middle_of_a_row():
    preset = bare("hsi100")
    bonds = load_preset("hsi100").dimers.bonds
    with_bonds = changed(preset, dimers={"bonds": bonds})
    clean, dotted = (Sample(p, 4).tile(Box(0, 0, 60, 60), SPACING) for p in (preset, with_bonds))
    added = dotted.height - clean.height
    places = np.argwhere(
        (added[1:-1, 1:-1] > 0.1)
        & np.all(
            [
                added[1:-1, 1:-1]
                >= added[1 + j : len(added) - 1 + j, 1 + i : added.shape[1] - 1 + i]
                for j in (-1, 0, 1)
                for i in (-1, 0, 1)
            ],
            axis=0,
        )
    )
    density = 0.012 * added.size * SPACING**2
    assert 0.5 * density < len(places) < 1.4 * density
    below = clean.texture[tuple((places + 1).T)]
    # On the row, if not on its very top: higher than most of the surface.
    assert np.median(below) > np.quantile(clean.texture, 0.6)


def test_what_lies_on_a_lattice_hides_it():
    sample = Sample(bare("hopg"), 1)
    box = Box(-4, -4, 4, 4)
    before = sample.tile(box, 0.05).texture
    sample.add([Bump(0.0, 0.0, 1.0, 1.0, 1.0, flatness=10.0)])
    after = sample.tile(box, 0.05)
    high = after.height > 0.9
    assert high.sum() > 500
    assert np.abs(after.texture[high]).max() < 0.02 * np.abs(before).max()
    assert np.array_equal(after.texture[:20], before[:20])


@pytest.mark.parametrize("name", [*WAVES, "si111_7x7", "hsi100"])
def test_what_depends_on_the_bias_does_so_at_rest_and_in_scans(name: str, frame: Settings):
    preset = load_preset(name)
    world = World(preset, 6, tip=Tip(0.5))
    gap = -world._tunnel_gap_nm() + world.z_m * 1e9
    world.set_bias(-1.5)
    assert world.z_m * 1e9 - world._tunnel_gap_nm() != pytest.approx(gap, abs=1e-6)
    pictures = []
    for bias_v in (1.5, -1.5):
        at = TunnellingPoint(bias_v=bias_v, setpoint_a=1e-10)
        fresh = World(bare(name, adatoms={"per_nm2": 0.008}), 6, tip=Tip(0.5))
        # Small enough a frame for dimers, and large enough for waves.
        size_nm = 10 if name == "hsi100" else 30
        picture = scan(fresh, frame(size_nm=size_nm, pixels=64, at=at))
        pictures.append(picture - picture.mean())
    assert np.abs(pictures[0] - pictures[1]).max() > 5e-4


@pytest.mark.parametrize("name", ["au111", "hopg"])
def test_elsewhere_the_bias_changes_the_gap_only(name: str):
    world = World(load_preset(name), 6, tip=Tip(0.5))
    contact = world.z_m * 1e9 - world._tunnel_gap_nm()
    world.set_bias(-1.5)
    assert world.z_m * 1e9 - world._tunnel_gap_nm() == pytest.approx(contact, abs=1e-9)
