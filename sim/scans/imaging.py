"""Scan lines: a tip over a sample that drifts, seen through feedback and noise.

Lengths are nm, times seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drivers.scan import ScanSettings
from sim.presets.preset import Preset
from sim.sample import Box, Sample
from sim.scans.contour import Contour
from sim.scans.feedback import loop_step, swing, swinging
from sim.scans.kernels import GOLDEN, Doubles, Floats
from sim.scans.motion import Motion
from sim.scans.noise import NoiseLevels
from sim.scans.rendering import Chain, Course, Optics, render_lines
from sim.scans.signal_chain import STATE
from sim.tips.tip import Tip

NM = 1e-9


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
        bias_v: bias of the sample (V).
        gains: proportional gain (nm per decade) and time constant (s) of the feedback.
        setpoint_a: current that the feedback holds (A), for preamplifiers that clip.
    """

    preset: Preset
    sample: Sample
    tip: Tip
    motion: Motion
    noise: NoiseLevels
    origin_nm: tuple[float, float]
    zero_nm: float
    bias_v: float
    gains: tuple[float, float]
    setpoint_a: float = 100e-12


class Raster:
    """The lines of a scan that are still to come, as long as the scene stays the same.

    Everything that depends on the line but not on chance (path over the sample, tilt, drift) is
    worked out at once; ``render`` then costs one call into compiled code for any number of lines.
    """

    def __init__(self, scene: Scene, settings: ScanSettings, first: int, start_s: float) -> None:
        self._first = first
        pixels, tip = settings.pixels, scene.tip
        dts = settings.forward_s / pixels, settings.backward_s / pixels
        lines = np.arange(first, settings.lines, dtype=float)
        ends = _ends_s(settings, start_s + (lines - first) * settings.line_s)
        times = np.ascontiguousarray(ends[:, :, 0])
        x, y = _nominal(settings, lines, scene.motion.hysteresis)
        # Drift and creep are straight over one pass to far below a pixel.
        offset = scene.motion.offset_nm(ends)
        tilt = scene.sample.tilt
        height = tilt[0] * x + tilt[1] * y + offset[2] + scene.zero_nm + scene.motion.bow_nm(x, y)
        # Between its ends a line sags below the straight one by as much as its length bends.
        sag = scene.motion.bow_nm(_length(x), _length(y)) / (pixels - 1) ** 2
        x += offset[0] + scene.origin_nm[0]
        y += offset[1] + scene.origin_nm[1]
        contour = self._contour = _contour(scene, settings, x, y)
        rise = _length(height) / (pixels - 1) - sag * (pixels - 1)
        base = _columns(height[..., 0] + contour.top_nm, rise, sag)
        path, pace = self._grid_path(x, y, pixels), scene.motion.pace(pixels)
        self._course = Course(path, pace, base, times, scene.noise.mains_s(times))
        chances = _chances(tip, dts)
        self._optics = Optics(
            contour.field, tip.decay_per_nm, contour.apexes, contour.resting, chances
        )
        span = float(ends[0, 0, 0]), float(ends[-1, 1, 1])
        self._chain = _chain(scene, pixels, dts, span)
        self._scratch = np.empty((8, pixels), np.float32)

    def settled_state(self) -> Doubles:
        """State of a loop that has come to rest at the first point."""
        at_rest = self._contour.log_height(self._course.path[0, 0]) / self._optics.decay
        height = at_rest + self._course.base[0, 0, 0]
        state = np.zeros(STATE)
        # Everything that is a height is at this one: integral, signal, tip and delayed output.
        state[[1, 2, 5, 7]] = height
        return state

    def start_s(self, index: int) -> float:
        """When line ``index`` begins (s)."""
        return float(self._course.times[index - self._first, 0])

    def render(self, index: int, states: Doubles, seed: int, out: Floats) -> Doubles:
        """Scan lines into ``out`` (lines, 2, pixels), nm; return their ranges forward (nm).

        The same ``seed`` and line give the same noise, whichever raster renders it.

        Args:
            index: the first line.
            states: state before the first line, then room for that after each; (lines + 1, STATE).
            seed: seed of the scan.
            out: its length says how many lines.
        """
        ranges = np.empty(len(out))
        render_lines(
            self._optics,
            self._course,
            self._chain,
            index - self._first,
            (seed + 2 * index * GOLDEN) % 2**32,
            states,
            out,
            ranges,
            self._scratch,
        )
        return ranges

    def _grid_path(self, x: Doubles, y: Doubles, pixels: int) -> Doubles:
        """First point and step of each pass in grid points of the contour, (lines, 2, 4)."""
        gx, gy = self._contour.grid(x, y)
        steps = (_length(ends) / (pixels - 1) for ends in (gx, gy))
        return _columns(gx[..., 0], gy[..., 0], *steps)


def _chain(
    scene: Scene, pixels: int, dts_s: tuple[float, float], span_s: tuple[float, float]
) -> Chain:
    """Noise and feedback of passes with ``dts_s`` per sample there and back, in ``span_s``."""
    noise, control = scene.noise, scene.preset.controller
    decay = scene.tip.decay_per_nm
    swings = swinging(control, scene.gains, decay)
    return Chain(
        tones=noise.tones,
        tables=noise.tables(pixels, dts_s),
        noise=noise.line_levels(pixels, _current_noise_nm(scene, dts_s[0])),
        loop=np.array([loop_step(*scene.gains, decay, control.preamp_hz, dt) for dt in dts_s]),
        slow=np.array([noise.slow_step(dt) for dt in dts_s]),
        limits=np.array([-control.range_z_nm / 2, control.range_z_nm / 2]),
        swing=swing(control, swings, scene.setpoint_a, dts_s),
        more=noise.disturbances(*span_s, dts_s, swings),
    )


def _current_noise_nm(scene: Scene, dt_s: float) -> float:
    """What the noise of the current in a sample of ``dt_s`` looks like in height."""
    amplifier = scene.preset.controller.preamplifier
    if amplifier is None:
        return 0.0
    band = min(amplifier.bandwidth_hz, 0.5 / dt_s)
    noise = amplifier.noise_a(scene.setpoint_a, band)
    return noise / (scene.setpoint_a * scene.tip.decay_per_nm)


def _contour(scene: Scene, settings: ScanSettings, x: Doubles, y: Doubles) -> Contour:
    grid = scene.preset.grid
    # Finer than the pixels is waste, coarser than an adatom would lose it between points.
    pixel = settings.frame.width_m / NM / settings.pixels
    spacing = min(max(pixel / grid.points_per_pixel, grid.finest_nm), grid.coarsest_nm)
    box = Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    return Contour(scene.preset, scene.sample, scene.tip, box, spacing, scene.bias_v, pixel)


def _chances(tip: Tip, dts_s: tuple[float, float]) -> Doubles:
    """Probabilities per sample of switching and of coming back, one row per pass."""
    flicker = tip.flicker
    rates = (flicker.out_hz, flicker.back_hz) if flicker else (0.0, 0.0)
    chances: Doubles = -np.expm1(-np.outer(dts_s, rates))
    return chances


def _ends_s(settings: ScanSettings, begins_s: Doubles) -> Doubles:
    """When each pass of the lines begins and ends, (lines, 2, 2)."""
    turns = begins_s + settings.forward_s
    return _columns(begins_s, turns, turns, begins_s + settings.line_s).reshape(-1, 2, 2)


def _length(ends: Doubles) -> Doubles:
    """From the first to the last point of each pass."""
    length: Doubles = ends[..., 1] - ends[..., 0]
    return length


def _columns(*columns: Doubles) -> Doubles:
    """``np.stack`` along a last axis, without what that costs for a few short columns."""
    out = np.empty((*columns[0].shape, len(columns)))
    for place, column in enumerate(columns):
        out[..., place] = column
    return out


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
    up = v[:, None, None]
    x = frame.x_m / NM + u * cos - up * sin
    y = frame.y_m / NM + u * sin + up * cos
    return x, y
