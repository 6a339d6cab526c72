"""Simulated scans of the surfaces that there are real ones of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drivers.actions import TunnellingPoint
from drivers.scan import Frame, Image, Scan, ScanSettings
from sim.benches.realism.real import Picture, Tile
from sim.benches.realism.walls import WALL_SHARE, build_walls
from sim.dataset.kinds import TipKind, draw_kind
from sim.dataset.photograph import WRAPPED_SHARE, photograph, shrunk, wrapped_around
from sim.presets.preset import Preset, load_preset
from sim.world import World

SEED = 40_000
#: Share of the scans whose tip is good; the others are as the preset draws them, most of them bad.
GOOD_SHARE = 0.33
#: Frames of the real H:Si(100) mostly show 5 rows of dimers from side to side, some up to twice
#: that, and a few many more (nm); each with its share.
HSI_SIDES_NM = ((3.4, 4.6), (4.6, 9.0), (9.0, 40.0))
HSI_SHARES = (0.75, 0.18, 0.07)
#: Angles between the lines of the real pictures and the way across rows of dimers, give or take
#: ``HSI_SPREAD_DEG``, each with its share: most rows run askew, the others mostly upright.
HSI_LEANS_DEG, HSI_LEAN_SHARES = (-45.0, 45.0, 0.0, 90.0), (0.3, 0.3, 0.28, 0.12)
HSI_SPREAD_DEG = 8.0
#: Share taken of empty states; it is not known for the real ones.
HSI_EMPTY_SHARE = 0.2
HSI_PIXELS, CU_PIXELS = 304, 256
CU_POINT = TunnellingPoint(bias_v=0.01, setpoint_a=100e-12)
#: Indentations that leave imprints to be looked at: depth, and side of the frame after (nm).
IMPRINT_DEPTH_NM, IMPRINT_FRAME_NM, IMPRINT_PIXELS = 0.85, 10.0, 128
#: Time of a forward line, between these (s); what it was for the real ones is not known.
LINE_S = (0.1, 0.6)


@dataclass(frozen=True, slots=True)
class _Draw:
    """A scan that was drawn, and whether its tip was good all the while."""

    scan: Scan
    good: bool


def hsi_simulated(count: int) -> list[Picture]:
    """Pictures of simulated H:Si(100).

    Raises:
        ConfigError: there is no such surface.
    """
    preset = load_preset("hsi100")
    pictures = []
    for index in range(count):
        rng = np.random.default_rng([SEED, index])
        side = _log_uniform(rng, HSI_SIDES_NM[rng.choice(len(HSI_SHARES), p=HSI_SHARES)])
        at = _usual(preset)
        if rng.uniform() < HSI_EMPTY_SHARE:
            at = TunnellingPoint(bias_v=-at.bias_v, setpoint_a=at.setpoint_a)
        lean = rng.normal(rng.choice(HSI_LEANS_DEG, p=HSI_LEAN_SHARES), HSI_SPREAD_DEG)
        world = _world(rng, preset)
        # Frames turn clockwise.
        angle = -(world.sample.lattice_deg(0.0, 0.0) + lean) % 360
        line_s = _log_uniform(rng, LINE_S)
        draw = _scanned(world, _settings(side, HSI_PIXELS, line_s, at, angle))
        wrapped = rng.uniform() < WRAPPED_SHARE
        heights = wrapped_around(rng, draw.scan.forward) if wrapped else draw.scan.forward
        pictures.append(Picture(photograph(heights), str(index), draw.good and not wrapped))
    return pictures


def cu_simulated(count: int, sides_nm: Sequence[float]) -> list[Tile]:
    """Simulated Cu(111) in frames of the given sides, one after the other.

    Raises:
        ConfigError: there is no such surface.
    """
    preset = load_preset("cu111")
    made = []
    for index in range(count):
        rng = np.random.default_rng([SEED + 1, index])
        side = sides_nm[index % len(sides_nm)]
        # The real ones were all taken with good tips.
        world = _world(rng, preset, good_share=1.0)
        if rng.uniform() < WALL_SHARE:
            build_walls(rng, world.sample, side)
        scan = world.scan(_settings(side, CU_PIXELS, _log_uniform(rng, LINE_S), CU_POINT))
        made.append(Tile(shrunk(scan.forward), _shrunk(scan.backward), side, str(index)))
    return made


def imprints(count: int) -> list[Tile]:
    """Gold after one indentation with a good tip, in a frame around the place."""
    preset = load_preset("au111")
    made = []
    for index in range(count):
        rng = np.random.default_rng([SEED + 2, index])
        world = World(preset, SEED + index, draw_kind(rng, preset, TipKind.GOOD))
        world.indent(
            depth_m=IMPRINT_DEPTH_NM * 1e-9,
            approach_time_s=0.1,
            contact_bias_v=0.0,
            dwell_s=0.1,
            lift_m=3 * IMPRINT_DEPTH_NM * 1e-9,
            lift_time_s=0.1,
            average_s=0.1,
            restore_feedback=True,
        )
        settings = _settings(IMPRINT_FRAME_NM, IMPRINT_PIXELS, 0.3, _usual(preset))
        made.append(Tile(world.scan(settings).forward, None, IMPRINT_FRAME_NM, str(index)))
    return made


def white_noise(count: int, pixels: int = 300) -> list[Picture]:
    """Pictures of nothing."""
    rng = np.random.default_rng(SEED)
    noise = (rng.normal(0, 1e-11, (pixels, pixels)).astype(np.float32) for _ in range(count))
    return [Picture(photograph(z), str(index)) for index, z in enumerate(noise)]


def _world(rng: np.random.Generator, preset: Preset, good_share: float = GOOD_SHARE) -> World:
    """A new sample under a new tip."""
    kind = TipKind.GOOD if rng.uniform() < good_share else TipKind.ANY
    tip = draw_kind(rng, preset, kind)
    return World(preset, int(rng.integers(2**31)), tip)


def _scanned(world: World, settings: ScanSettings) -> _Draw:
    before = world.tip.is_good(world.preset.good)
    scan = world.scan(settings)
    return _Draw(scan, before and world.tip.is_good(world.preset.good))


def _settings(
    side_nm: float, pixels: int, line_s: float, at: TunnellingPoint, angle_deg: float = 0.0
) -> ScanSettings:
    side = side_nm * 1e-9
    return ScanSettings(
        frame=Frame(x_m=0.0, y_m=0.0, width_m=side, height_m=side, angle_deg=angle_deg),
        pixels=pixels,
        lines=pixels,
        forward_s=line_s,
        backward_s=line_s,
        at=at,
    )


def _usual(preset: Preset) -> TunnellingPoint:
    control = preset.controller
    return TunnellingPoint(bias_v=control.bias_v, setpoint_a=control.setpoint_pa * 1e-12)


def _shrunk(heights: Image | None) -> Image | None:
    return None if heights is None else shrunk(heights)


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))
