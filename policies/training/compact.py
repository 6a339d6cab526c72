"""A compact world to train policies in: the simulator's own tips and laws, and no pictures.

Tip, hidden parameters, pulses, indentations, landings and spontaneous changes are those of the
simulator. What the scorer says is drawn from a bank of its real reports, and what an indentation
records is worked out for the way down only, where contact is read from. It speaks in the events of
the episode, so that features, masks and rules are the very ones that a repair runs with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.actions import (
    Action,
    CoarseMove,
    Indentation,
    Pulse,
    TunnellingPoint,
    Wait,
)
from drivers.outcome import Outcome, Trace
from drivers.sample_map import Site
from drivers.scan import Frame
from policies.history import Acted, Looked
from policies.training.bank import Bank
from sim.environments.worlds import episode_preset
from sim.presets.preset import Preset
from sim.sample import Bump
from sim.tips.conditioning import Conditioning
from sim.tips.latents import Latents
from sim.tips.tip import Tip, draw_bad

NM = 1e-9
#: Lines of a whole scan in the bank.
LINES = 96
#: Time of a line (s) from and to: scans of 6 to 150 s.
LINE_S = (0.06, 1.6)
#: Shares of the rigs that record traces, and that tell how far z has jumped.
WITH_TRACES, WITH_JUMPS = 0.7, 0.9
#: What every action takes besides its own times: the way there, settling and averaging (s).
AROUND_S = 0.6
#: A coarse move: steps back to the surface at one second each, then rest until drift is over (s).
APPROACH_S = 150.0
#: How much of a pit a tip gets to see that is wider than the pit.
INTO_PIT = 0.6
TRACE_HZ = 1000.0


@dataclass(frozen=True, slots=True)
class Rig:
    """What differs from rig to rig and is no fault of the tip.

    Attributes:
        line_s: time of a line (s).
        traces: whether indentations are recorded.
        jumps: whether z before and after an action is measured.
        noise_a: deviation of the current noise (A).
        noise_m: deviation of an averaged height (m).
    """

    line_s: float
    traces: bool
    jumps: bool
    noise_a: float
    noise_m: float

    @classmethod
    def draw(cls, rng: np.random.Generator, preset: Preset) -> Rig:
        """Some laboratory's rig."""
        return cls(
            line_s=float(np.exp(rng.uniform(*np.log(LINE_S)))),
            traces=bool(rng.uniform() < WITH_TRACES),
            jumps=bool(rng.uniform() < WITH_JUMPS),
            noise_a=preset.noise.current_pa.draw(rng) * 1e-12,
            noise_m=preset.noise.pixel_pm.draw(rng) * 1e-12,
        )

    @property
    def scan_s(self) -> float:
        """Time of a whole scan (s)."""
        return self.line_s * LINES


class CompactWorld:
    """One tip and its hidden parameters, looked at through the bank.

    Args:
        preset: the numbers of the simulator.
        bank: reports to draw from.
        rng: all chance of the episode.
        frame: where looks are taken, all the same in this world.
        rig: the laboratory; drawn if None.

    Attributes:
        time_s: instrument time (s).
        tip: the true tip.
    """

    def __init__(
        self,
        preset: Preset,
        bank: Bank,
        rng: np.random.Generator,
        frame: Frame,
        rig: Rig | None = None,
    ) -> None:
        self._preset = episode_preset(preset, "randomised", int(rng.integers(2**31)))
        self._bank = bank
        self._rng = rng
        self._frame = frame
        self.rig = rig or Rig.draw(rng, preset)
        self._latents = Latents.draw(rng, self._preset)
        self._laws = Conditioning(self._preset, self._latents, rng)
        self.time_s = 0.0
        self.tip = draw_bad(rng, self._preset, self._latents.dirt)
        self._looks = bank.looks(rng, self.tip)
        self._smooth = np.zeros(LINES)

    @property
    def is_good(self) -> bool:
        """Whether the tip is good by the preset's definition."""
        return self.tip.is_good(self._preset.good, self._laws.life_frames(self.tip))

    def look(self, *, whole: bool) -> Looked:
        """Scan and judge; the tip may change by itself meanwhile."""
        view = self._looks.draw(self._rng, whole=whole)
        _, tip = self._laws.scan_lines(self.tip, self._smooth[: view.report.lines])
        if tip is not self.tip:
            self._becomes(tip)
            view = self._bank.changing(self._rng, tip).draw(self._rng, whole=whole)
        self.time_s += view.report.lines * self.rig.line_s
        site = Site(self._frame.x_m, self._frame.y_m, view.clear_m) if view.clear_m else None
        return Looked(self._frame, view.report, site, self.time_s)

    def act(self, action: Action) -> Acted:
        """Carry out an action; what the rig would tell of it is in the outcome."""
        started, old, trace, marks = self.time_s, self.tip, None, list[Bump]()
        self.time_s += AROUND_S
        match action:
            case Pulse():
                held = action.feedback == "held"
                change = self._laws.pulse(
                    old, action.peak_bias_v, action.width_s, action.z_offset_m / NM, not held
                )
                self.time_s += action.width_s
                self._becomes(change.tip)
                marks = change.marks
            case Indentation():
                trace, marks = self._indent(action)
            case CoarseMove():
                self.time_s += APPROACH_S
                self._becomes(self._laws.landing(old).tip)
            case Wait():
                self.time_s += action.seconds
        jump_m = None
        if self.rig.jumps and isinstance(action, Pulse | Indentation):
            noise_m = math.sqrt(2) * self.rig.noise_m * self._rng.normal()
            jump_m = jump_nm(old, self.tip, marks, action.at) * NM + noise_m
        outcome = Outcome(started, self.time_s, z_jump_m=jump_m, trace=trace)
        return Acted(action, self._frame.x_m, self._frame.y_m, outcome)

    def _indent(self, dip: Indentation) -> tuple[Trace | None, list[Bump]]:
        gap_nm = tunnel_gap_nm(self.tip, dip.at)
        trace = self._way_down(dip, gap_nm) if self.rig.traces else None
        penetration = self._latents.penetration_nm(dip.depth_m / NM, gap_nm)
        change = self._laws.dip(self.tip, penetration, dip.contact_bias_v, dip.dwell_s)
        self._becomes(change.tip)
        self.time_s += dip.average_s + dip.approach_time_s + dip.dwell_s + dip.lift_time_s
        return trace, change.marks

    def _way_down(self, dip: Indentation, gap_nm: float) -> Trace:
        """Height and current down to the deepest point; contact clips any preamplifier."""
        control = self._preset.controller
        count = max(round(dip.approach_time_s * TRACE_HZ), 2)
        share = np.arange(count + 1) / count
        depth_nm = share * dip.depth_m / NM
        contact_nm = self._latents.contact_depth_nm(gap_nm)
        left_nm = gap_nm * np.maximum(1 - depth_nm / max(contact_nm, 1e-3), 0.0)
        current = np.exp(-self.tip.decay_per_nm * left_nm)
        current *= self._preset.tunnelling.contact_conductance_s * dip.contact_bias_v
        current += self.rig.noise_a * self._rng.normal(size=count + 1)
        clipped = np.minimum(current, control.saturation_na * 1e-9).astype(np.float32)
        z_m: NDArray[np.float32] = (-depth_nm * NM).astype(np.float32)
        return Trace(share * dip.approach_time_s, clipped, z_m)

    def _becomes(self, tip: Tip) -> None:
        if not tip.same_apex(self.tip) or tip.stable is not self.tip.stable:
            self._looks = self._bank.looks(self._rng, tip)
        self.tip = tip


def tunnel_gap_nm(tip: Tip, at: TunnellingPoint) -> float:
    """Gap that carries the setpoint (nm); one quantum of conductance at contact."""
    return math.log(7.748e-5 * abs(at.bias_v) / at.setpoint_a) / tip.decay_per_nm


def jump_nm(old: Tip, new: Tip, marks: list[Bump], at: TunnellingPoint) -> float:
    """How much farther out the feedback holds the tip after an action (nm), without noise.

    The tip is longer or shorter, it ends in something else, and stands on what it left behind.
    """
    longer = new.length_nm - old.length_nm + _wander_nm(new) - _wander_nm(old)
    wider = tunnel_gap_nm(new, at) - tunnel_gap_nm(old, at)
    ground = max(
        _ground_nm(marks, apex.dx_nm, apex.dy_nm) - apex.gap_nm for apex in new.imaging_apexes
    )
    return longer + wider + (ground if ground > 0 else INTO_PIT * ground)


def _wander_nm(tip: Tip) -> float:
    return tip.duty * tip.flicker.height_nm if tip.flicker else 0.0


def _ground_nm(marks: list[Bump], x_nm: float, y_nm: float) -> float:
    """Height of the marks at a point, taken as round."""
    height = 0.0
    for mark in marks:
        away = math.hypot(mark.x - x_nm, mark.y - y_nm) / max((mark.wide + mark.tall) / 2, 0.05)
        edge = min(mark.flatness * (away - 1), 30.0)
        height += mark.height * (
            1 / (1 + math.exp(edge)) if mark.flatness else math.exp(-0.5 * away**2)
        )
    return height
