"""Scan lines: a tip over a sample that drifts, seen through feedback and noise.

Lengths are nm, times seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drivers.scan import ScanSettings
from sim.contour import Contour
from sim.feedback import loop_step
from sim.kernels import Doubles, Floats, render_line
from sim.motion import Motion
from sim.noise import NoiseLevels
from sim.preset import Preset
from sim.sample import Box, Sample
from sim.tip import Tip

NM = 1e-9
# Odd number that spreads counters over 32 bits.
GOLDEN = 0x9E3779B9


@dataclass(frozen=True, slots=True)
class Scene:
    """All that decides what a scan shows, besides its settings and its start.

    Attributes:
        preset: the numbers.
        sample: the sample.
        tip: the tip.
        motion: drift and creep.
        noise: the noise.
        origin_nm: point of the sample below the middle of the scanner.
        zero_nm: height of the scanner over a surface of height zero.
        gains: proportional gain (nm per decade) and time constant (s) of the feedback.
    """

    preset: Preset
    sample: Sample
    tip: Tip
    motion: Motion
    noise: NoiseLevels
    origin_nm: tuple[float, float]
    zero_nm: float
    gains: tuple[float, float]


class Raster:
    """The lines of a scan that are still to come, as long as the scene stays the same.

    Everything that depends on the line but not on chance (path over the sample, tilt, drift) is
    worked out at once; ``render`` then costs one call into compiled code.
    """

    def __init__(self, scene: Scene, settings: ScanSettings, first: int, start_s: float) -> None:
        self._first = first
        self._decay = scene.tip.decay_per_nm
        pixels = settings.pixels
        dts = settings.forward_s / pixels, settings.backward_s / pixels
        lines = np.arange(first, settings.lines, dtype=float)
        begins = start_s + (lines - first) * settings.line_s
        turns = begins + settings.forward_s
        self._times = np.stack([begins, turns], axis=1)
        both = np.stack([self._times, np.stack([turns, begins + settings.line_s], axis=1)], axis=2)
        x, y = _nominal(settings, lines, scene.motion.hysteresis)
        # Drift and creep are straight over one pass to far below a pixel.
        offset = scene.motion.offset_nm(both)
        tilt = scene.sample.tilt
        height = tilt[0] * x + tilt[1] * y + offset[2] + scene.zero_nm
        x += offset[0] + scene.origin_nm[0]
        y += offset[1] + scene.origin_nm[1]
        self._contour = _contour(scene, settings, x, y)
        self._path = self._grid_path(x, y, pixels)
        rise = np.diff(height)[..., 0] / (pixels - 1)
        self._base = np.stack([height[..., 0] + self._contour.top_nm, rise], axis=2)
        self._chances = _chances(scene.tip, dts)
        self._tones, self._tables = scene.noise.tones, scene.noise.tables(pixels, dts)
        self._noise = scene.noise.line_levels(pixels)
        self._slow = np.array([scene.noise.slow_step(dt) for dt in dts])
        control = scene.preset.controller
        self._loop = np.array(
            [loop_step(*scene.gains, self._decay, control.preamp_hz, dt) for dt in dts]
        )
        self._limits = np.array([-control.range_z_nm / 2, control.range_z_nm / 2])
        self._scratch = np.empty((4, pixels), np.float32)

    def settled_state(self) -> Doubles:
        """State of a loop that has come to rest at the first point."""
        height = self._contour.log_height(self._path[0, 0]) / self._decay + self._base[0, 0, 0]
        return np.array([0.0, height, height, 0.0, 0.0])

    def start_s(self, index: int) -> float:
        """When line ``index`` begins (s)."""
        return float(self._times[index - self._first, 0])

    def render(self, index: int, state: Doubles, seed: int, out: Floats) -> float:
        """Scan line ``index`` into ``out`` (2, pixels), nm; return its range forward (nm).

        The same ``seed`` and ``index`` give the same noise, whichever raster renders the line.
        """
        return float(
            render_line(
                self._contour.field,
                self._decay,
                index - self._first,
                self._path,
                self._base,
                self._times,
                self._contour.apexes,
                self._contour.resting,
                self._chances,
                self._tones,
                self._tables,
                self._noise,
                self._loop,
                self._slow,
                self._limits,
                state,
                (seed + 2 * index * GOLDEN) % 2**32,
                out,
                self._scratch,
            )
        )

    def _grid_path(self, x: Doubles, y: Doubles, pixels: int) -> Doubles:
        """First point and step of each pass in grid points of the contour, (lines, 2, 4)."""
        gx, gy = self._contour.grid(x, y)
        steps = np.diff(gx)[..., 0] / (pixels - 1), np.diff(gy)[..., 0] / (pixels - 1)
        return np.stack([gx[..., 0], gy[..., 0], *steps], axis=2)


def _contour(scene: Scene, settings: ScanSettings, x: Doubles, y: Doubles) -> Contour:
    grid = scene.preset.grid
    # Finer than the pixels is waste, coarser than an adatom would lose it between points.
    pixel = settings.frame.width_m / NM / settings.pixels
    spacing = min(max(pixel, grid.finest_nm), grid.coarsest_nm)
    box = Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    return Contour(scene.preset, scene.sample, scene.tip, box, spacing)


def _chances(tip: Tip, dts_s: tuple[float, float]) -> Doubles:
    """Probabilities per sample of switching and of coming back, one row per pass."""
    flicker = tip.flicker
    rates = (flicker.out_hz, flicker.back_hz) if flicker else (0.0, 0.0)
    chances: Doubles = -np.expm1(-np.outer(dts_s, rates))
    return chances


def _nominal(settings: ScanSettings, lines: Doubles, hysteresis: float) -> tuple[Doubles, Doubles]:
    """Piezo coordinates (nm) of both ends of each pass, each of shape (lines, 2, 2)."""
    frame = settings.frame
    rows = lines if settings.direction == "down" else settings.lines - 1 - lines
    v = frame.height_m / NM * (0.5 - (rows + 0.5) / settings.lines)
    half = frame.width_m / NM * 0.5 * (1 - 1 / settings.pixels)
    # On the way back the scanner lags behind its command, which is towards larger u.
    lag = hysteresis * frame.width_m / NM
    u = np.array([[-half, half], [half + lag, -half + lag]])
    angle = math.radians(-frame.angle_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    across, up = np.broadcast_arrays(u, v[:, None, None])
    x = frame.x_m / NM + across * cos - up * sin
    y = frame.y_m / NM + across * sin + up * cos
    return x, y
