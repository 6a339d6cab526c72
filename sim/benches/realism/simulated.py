"""Simulated scans of the surfaces that there are real ones of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drivers.actions import TunnellingPoint
from drivers.scan import Frame, Image, Scan, ScanSettings
from sim.benches.realism.photograph import photograph, shrunk
from sim.benches.realism.real import Picture, Tile
from sim.dataset.kinds import TipKind, draw_kind
from sim.presets.preset import Preset, load_preset
from sim.world import World

SEED = 40_000
#: Share of the scans whose tip is good; the others are as the preset draws them, most of them bad.
GOOD_SHARE = 0.33
#: Frames of the real H:Si(100) show 5 to 12 rows of dimers, a few many more (nm).
HSI_NM, HSI_WIDE_NM, HSI_WIDE_SHARE = (3.5, 9.5), (9.5, 40.0), 0.07
HSI_PIXELS, CU_PIXELS = 304, 256
CU_POINT = TunnellingPoint(bias_v=0.01, setpoint_a=100e-12)
#: Indentations that leave imprints to be looked at: depth, and side of the frame after (nm).
IMPRINT_DEPTH_NM, IMPRINT_FRAME_NM, IMPRINT_PIXELS = 0.85, 10.0, 128
#: Time of a forward line, between these (s); what it was for the real ones is not known.
LINE_S = (0.06, 0.4)


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
        wide = rng.uniform() < HSI_WIDE_SHARE
        side = _log_uniform(rng, HSI_WIDE_NM if wide else HSI_NM)
        draw = _draw(rng, preset, side, HSI_PIXELS, _usual(preset))
        pictures.append(Picture(photograph(draw.scan.forward), str(index), draw.good))
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
        scan = _draw(rng, preset, side, CU_PIXELS, CU_POINT, good_share=1.0).scan
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


def _draw(
    rng: np.random.Generator,
    preset: Preset,
    side_nm: float,
    pixels: int,
    at: TunnellingPoint,
    good_share: float = GOOD_SHARE,
) -> _Draw:
    kind = TipKind.GOOD if rng.uniform() < good_share else TipKind.ANY
    tip = draw_kind(rng, preset, kind)
    world = World(preset, int(rng.integers(2**31)), tip)
    # Where the scanner stands: every world has another sample, and a move would creep.
    scan = world.scan(_settings(side_nm, pixels, _log_uniform(rng, LINE_S), at))
    return _Draw(scan, tip.is_good(preset.good) and world.tip.is_good(preset.good))


def _settings(side_nm: float, pixels: int, line_s: float, at: TunnellingPoint) -> ScanSettings:
    side = side_nm * 1e-9
    return ScanSettings(
        frame=Frame(x_m=0.0, y_m=0.0, width_m=side, height_m=side),
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
