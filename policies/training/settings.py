"""Which surface, tip, instrument and frame a training scan has: as varied as laboratories are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drivers.actions import TunnellingPoint
from drivers.scan import Direction, Frame, ScanSettings
from policies.training.tips import draw_tips
from sim.environments.worlds import episode_preset
from sim.presets.blocks import Block, Spread
from sim.presets.preset import Preset, load_preset
from sim.tips.tip import Tip


@dataclass(frozen=True, slots=True)
class Surface:
    """How a surface is scanned for the training.

    Attributes:
        name: name of its preset.
        share: share of the scans.
        size_nm: side of the frames, from and to.
        usual_nm: side of most frames, from and to.
        photographed: share of the scans of which there is only a picture.
        line_s: time of a line (s), from and to, where scans are slower than ``SPEED_M_PER_S``.
    """

    name: str
    share: float
    size_nm: tuple[float, float]
    usual_nm: tuple[float, float] | None = None
    photographed: float = 0.05
    line_s: tuple[float, float] | None = None


SURFACES = (
    Surface("au111", 0.45, (12, 60), usual_nm=(24, 24)),
    Surface("hsi100", 0.26, (3, 40), usual_nm=(3, 10), photographed=0.6, line_s=(0.05, 0.6)),
    Surface("cu111", 0.08, (8, 40)),
    Surface("ag111", 0.07, (10, 60)),
    Surface("si111_7x7", 0.06, (6, 40)),
    Surface("hopg", 0.03, (1.5, 6), line_s=(0.02, 0.2)),
    Surface("au111-300k", 0.05, (12, 60)),
)
TIPS = ("", "-w", "-ptir", "-qplus")
#: Share of the worlds whose tips are of another material than the preset's.
OTHER_TIP = 0.2
#: Share of the worlds with more noise than the preset has, and how much more at most.
NOISY, NOISIER = 0.3, 15.0
#: Share of the worlds where the tip changes in most scans.
RESTLESS = 0.25
#: Shares of the worlds with a feedback that is far too fast, and far too slow, and by how much.
HASTY, HASTIER = 0.06, (2.0, 15.0)
SLUGGISH, SLOWER = 0.06, (4.0, 40.0)
#: Share of the frames that have the usual size, where there is one, and their pixels.
USUAL, USUAL_PIXELS = 0.8, 96
PIXELS = (64, 96, 128, 192)
SPEED_M_PER_S = 160e-9


@dataclass(frozen=True, slots=True)
class Choice:
    """One scan to be taken."""

    surface: int
    preset: Preset
    tip: Tip

    @property
    def photographed(self) -> float:
        """Share of such scans of which there is only a picture."""
        return SURFACES[self.surface].photographed

    def settings(self, rng: np.random.Generator, range_m: float) -> ScanSettings:
        """A frame somewhere in the range of the scanner, at a random tunnelling point."""
        surface, control = SURFACES[self.surface], self.preset.controller
        usual = surface.usual_nm if rng.uniform() < USUAL else None
        sides = usual or surface.size_nm
        width = _log_uniform(rng, *sides) * 1e-9
        # Who looks at one size only looks with one number of pixels.
        fixed = sides[0] == sides[1]
        pixels = USUAL_PIXELS if fixed else int(rng.choice(PIXELS))
        reach = (range_m - 1.5 * width) / 2
        direction: Direction = "down" if rng.uniform() < 0.5 else "up"
        frame = Frame(
            x_m=rng.uniform(-reach, reach), y_m=rng.uniform(-reach, reach),
            width_m=width, height_m=width,
        )  # fmt: skip
        forward = width / (SPEED_M_PER_S * math.exp(rng.normal(0, 0.3)))
        if surface.line_s:
            forward = max(forward, _log_uniform(rng, *surface.line_s))
        bias = math.copysign(control.bias_v, rng.uniform(-1, 1)) * _log_uniform(rng, 0.7, 10)
        at = TunnellingPoint(
            bias_v=math.copysign(min(abs(bias), 2.5), bias),
            setpoint_a=control.setpoint_pa * 1e-12 * _log_uniform(rng, 0.2, 3),
        )
        return ScanSettings(
            frame=frame, pixels=pixels, lines=pixels, forward_s=forward, backward_s=forward / 1.5,
            at=at, direction=direction,
        )  # fmt: skip


def choices(rng: np.random.Generator) -> Iterator[Choice]:
    """Yield scans to be taken, without end."""
    tips: dict[str, Iterator[Tip]] = {}
    shares = [surface.share for surface in SURFACES]
    while True:
        number = int(rng.choice(len(SURFACES), p=shares))
        name = SURFACES[number].name
        if rng.uniform() < OTHER_TIP:
            name += str(rng.choice(TIPS))
        preset = load_preset(name)
        if name not in tips:
            tips[name] = draw_tips(rng, preset)
        yield Choice(number, _instrument(rng, preset), next(tips[name]))


def _instrument(rng: np.random.Generator, preset: Preset) -> Preset:
    """The preset with a loop, noise and tips of its own."""
    preset = episode_preset(preset, "randomised", int(rng.integers(2**31)))
    changed: dict[str, object] = {}
    control, which = preset.controller, rng.uniform()
    if which < HASTY + SLUGGISH:
        hasty = which < HASTY
        factor = _log_uniform(rng, *HASTIER) if hasty else 1 / _log_uniform(rng, *SLOWER)
        gain = {"p_gain_pm": control.p_gain_pm * factor}
        changed["controller"] = control.model_copy(update=gain)
    if rng.uniform() < NOISY:
        changed["noise"] = _louder(preset.noise, _log_uniform(rng, 1.0, NOISIER))
    if rng.uniform() < RESTLESS:
        often = Spread(law="log_normal", a=0.8, b=0.6)
        changed["hidden"] = preset.hidden.model_copy(update={"change_per_frame": often})
    return preset.model_copy(update=changed)


def _louder(block: Block, factor: float) -> Block:
    """The same noise with larger amplitudes."""
    changed: dict[str, object] = {}
    for name in type(block).model_fields:
        value = getattr(block, name)
        if isinstance(value, Block):
            changed[name] = _louder(value, factor)
        elif isinstance(value, Spread) and name.endswith("_pm"):
            b = value.b if value.law == "log_normal" else value.b * factor
            changed[name] = value.model_copy(update={"a": value.a * factor, "b": b})
    return block.model_copy(update=changed)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))
