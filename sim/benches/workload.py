"""The varied workload that the simulator's speed is measured with.

Tips are drawn as the preset draws them, good and bad, each in a world of its own. A scan counts
forward and backward together. Times are CPU seconds of this process, which other users of the
machine disturb least; everything runs in one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from drivers.actions import TunnellingPoint
from drivers.scan import Frame, ScanSettings
from sim.presets.preset import Preset, load_preset
from sim.sample import Box, Sample
from sim.scans.contour import Contour
from sim.scans.imaging import Raster, Scene
from sim.scans.kernels import Doubles
from sim.scans.motion import Motion
from sim.scans.noise import NoiseLevels
from sim.surfaces.relief import Tile
from sim.tips.latents import Latents
from sim.tips.tip import Tip, draw_first
from sim.world import World

SURFACE = "au111"
#: Just below 0.3 nm, and exact in binary.
GRID_NM = 19 / 64
WORLDS = 48
SEED = 20_000
LINE_S = 0.2
AT = TunnellingPoint(bias_v=0.1, setpoint_a=100e-12)
#: Frames are centred within this distance of the middle (nm).
FIELD_NM = 300.0
#: The last stage of a scan, after which it is complete.
WHOLE = "the world around it"


@dataclass(frozen=True, slots=True)
class Size:
    """A frame: points per line (and lines), and its side."""

    pixels: int
    side_nm: float

    def __str__(self) -> str:
        return f"{self.pixels} x {self.pixels} over {self.side_nm:g} nm"

    def at(self, x_nm: float, y_nm: float) -> ScanSettings:
        """The scan of this size around a point."""
        side = self.side_nm * 1e-9
        return ScanSettings(
            frame=Frame(x_m=x_nm * 1e-9, y_m=y_nm * 1e-9, width_m=side, height_m=side),
            pixels=self.pixels,
            lines=self.pixels,
            forward_s=LINE_S,
            backward_s=LINE_S,
            at=AT,
        )


SMALL, LARGE = Size(64, 20.0), Size(128, 50.0)


def bench_preset() -> Preset:
    """The usual surface on the grid that speeds are quoted for."""
    preset = load_preset(SURFACE)
    return preset.model_copy(
        update={"grid": preset.grid.model_copy(update={"coarsest_nm": GRID_NM})}
    )


class Workload:
    """Worlds to scan in, one after the other."""

    def __init__(self, worlds: int = WORLDS) -> None:
        self._preset = bench_preset()
        rng = np.random.default_rng(SEED)
        tips = [
            draw_first(rng, self._preset, Latents.draw(rng, self._preset).dirt)
            for _ in range(worlds)
        ]
        self._worlds = [World(self._preset, SEED + k, tip) for k, tip in enumerate(tips)]

    def fresh(self, size: Size) -> Callable[[], object]:
        """A call scans a place that was never seen."""
        worlds, places = cycle(self._worlds), _places()
        return lambda: next(worlds).scan(size.at(*next(places)))

    def seen(self, size: Size) -> Callable[[], object]:
        """A call scans a place that its world has scanned before."""
        frames = [size.at(*place) for place, _ in zip(_places(), self._worlds, strict=False)]
        worlds = cycle(zip(self._worlds, frames, strict=True))

        def scan() -> object:
            world, settings = next(worlds)
            return world.scan(settings)

        # Twice: the second look is what makes room for looks that are shifted a little.
        for _ in range(2 * len(self._worlds)):
            scan()
        return scan

    def stages(self, size: Size) -> dict[str, Callable[[], object]]:
        """The steps of a scan of fresh area; each call does all those before it, too.

        All go through the same worlds and places.
        """
        half = size.side_nm / 2 * (1 - 1 / size.pixels)
        spacing = min(GRID_NM, size.side_nm / size.pixels)

        def through(step: Callable[[Scene, float, float], object]) -> Callable[[], object]:
            # Samples of its own: they remember what has been looked at.
            turns = cycle([self._scene(index) for index in range(len(self._worlds))])
            places = _places()
            return lambda: step(next(turns), *next(places))

        def surface(scene: Scene, x: float, y: float) -> Tile:
            far = self._preset.grid.margin_nm + max(_offsets(scene.tip))
            box = Box(x - half, y - half, x + half, y + half).grown(far)
            return scene.sample.tile(box, spacing)

        def contour(scene: Scene, x: float, y: float) -> Contour:
            box = Box(x - half, y - half, x + half, y + half)
            return Contour(self._preset, scene.sample, scene.tip, box, spacing)

        def raster(scene: Scene, x: float, y: float) -> Raster:
            return Raster(scene, size.at(x, y), 0, 0.0)

        def lines(scene: Scene, x: float, y: float) -> Doubles:
            ready = raster(scene, x, y)
            states = np.tile(ready.settled_state(), (size.pixels + 1, 1))
            out = np.empty((size.pixels, 2, size.pixels), np.float32)
            return ready.render(0, states, SEED, out)

        return {
            "drawing the surface": through(surface),
            "the tip's blur": through(contour),
            "path, noise and loop": through(raster),
            "lines": through(lines),
            WHOLE: self.fresh(size),
        }

    def _scene(self, index: int) -> Scene:
        rng = np.random.default_rng([SEED, index])
        preset, control = self._preset, self._preset.controller
        return Scene(
            preset=preset,
            sample=Sample(preset, SEED + index),
            tip=self._worlds[index].tip,
            motion=Motion(preset, rng),
            noise=NoiseLevels(preset, rng),
            origin_nm=(0.0, 0.0),
            zero_nm=0.0,
            bias_v=AT.bias_v,
            gains=(control.p_gain_pm * 1e-3, control.time_constant_us * 1e-6),
        )


def _places() -> Iterator[tuple[float, float]]:
    """Places without end, always the same."""
    rng = np.random.default_rng([SEED, WORLDS])
    while True:
        x, y = rng.uniform(-FIELD_NM, FIELD_NM, 2)
        yield float(x), float(y)


def _offsets(tip: Tip) -> list[float]:
    return [0.0, *(math.hypot(apex.dx_nm, apex.dy_nm) for apex in tip.apexes)]


def seconds_per_call(work: Callable[[], object], calls: int, turns: int) -> Doubles:
    """CPU seconds that a call takes, one mean per turn."""
    times = np.empty(turns)
    for turn in range(turns):
        started = time.process_time()
        for _ in range(calls):
            work()
        times[turn] = (time.process_time() - started) / calls
    return times


def interval(values: Sequence[float] | Doubles) -> tuple[float, float]:
    """Where the median of ``values`` lies with 95 % certainty, from resampling them."""
    draws = np.random.default_rng(0).choice(np.asarray(values), (1000, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), (2.5, 97.5))
    return float(low), float(high)
