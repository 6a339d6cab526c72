"""The simulated world: one sample, one tip, one instrument around them; synchronous and pure.

Every operation takes its time: ``time_s`` moves on by what it lasts, and nothing else moves it.
Chance comes from the seed alone, in separate streams: what happens to the tip, the noise of scans
(a counter per scan), the noise of actions, and the noise of readings, so that looking at the
instrument never changes what it does. The same calls give the same results.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np

from drivers.actions import Action
from drivers.errors import CommandFailed
from drivers.microscope import Feedback
from drivers.outcome import Outcome, Trace
from drivers.scan import ScanLine, ScanSettings
from sim.imaging import NM, Raster
from sim.performing import perform
from sim.rig import Rig
from sim.traces import PulseShape, Ramp


class World(Rig):
    """A simulated STM: everything that can be done with the rig.

    Args:
        preset: the numbers.
        seed: decides surface, hidden parameters, noise and every event.
        tip: the tip to begin with; a bad one is drawn if None.
    """

    # ---- Moving

    def move(self, x_m: float, y_m: float, speed_m_per_s: float) -> None:
        """Move to (x, y) at ``speed_m_per_s``; takes its time and creeps after.

        Raises:
            CommandFailed: the target is out of range, or the speed is not positive.
        """
        reach = self.range_m[0] / 2
        if not (abs(x_m) <= reach and abs(y_m) <= reach and speed_m_per_s > 0):
            raise CommandFailed(
                f"cannot move to ({x_m / NM:.1f}, {y_m / NM:.1f}) nm at {speed_m_per_s / NM:.1f} "
                f"nm/s: the range is {reach / NM:.0f} nm to every side, the speed positive"
            )
        dx, dy = x_m - self.x_m, y_m - self.y_m
        self.x_m, self.y_m = x_m, y_m
        self.advance(math.hypot(dx, dy) / speed_m_per_s)
        if dx or dy:
            self._junction.motion.moved(self.time_s, dx / NM, dy / NM, 0.0)

    def withdraw(self) -> None:
        """Pull the tip to the upper end of the z range."""
        if self.feedback is Feedback.WITHDRAWN:
            return
        top = self.range_m[2] / NM / 2
        distance = top - self._z_nm()
        self.feedback = Feedback.WITHDRAWN
        self._pressed_nm, self._held_nm = 0.0, top
        self._travelled(distance)

    def motor(self, x_steps: int, y_steps: int, z_steps: int) -> None:
        """Step the coarse motor: first z (positive retracts), then sideways.

        Sideways with too little clearance, or towards the sample past contact, is a crash. Steps
        that retract end the tunnelling contact.
        """
        law = self.preset.landing
        self.time_s += (abs(x_steps) + abs(y_steps) + abs(z_steps)) * law.motor_step_s
        if z_steps > 0:
            self.withdraw()
        self.retracted_steps += z_steps
        self._steps_to_go += z_steps
        if self.retracted_steps < 0:
            self.retracted_steps = self._steps_to_go = 0
            self._apply(self._laws.crash(self.tip))
        if x_steps or y_steps:
            self._step_sideways(x_steps, y_steps)

    def approach_step(self) -> bool:
        """One step of the automatic approach; whether tunnelling contact is made."""
        if self.feedback is Feedback.ON:
            return True
        self.time_s += self.preset.landing.step_s
        if self._steps_to_go > 0:
            self._steps_to_go -= 1
            # Until the surface is met the motor still counts as retracted.
            self.retracted_steps = max(self.retracted_steps - 1, 1)
            return False
        # A tip that was only withdrawn comes back to where it was, without risk.
        if self.retracted_steps:
            self.retracted_steps = self._steps_to_go = 0
            self._apply(self._laws.landing(self.tip))
            self._land(self._dynamics)
            self._junction.motion.landed(self.time_s, self._dynamics)
        self.set_feedback(True)
        return True

    def approach(self, max_steps: int) -> bool:
        """Approach until tunnelling contact, at most ``max_steps`` steps; whether it was made."""
        return any(self.approach_step() for _ in range(max_steps + 1))

    # ---- Acting

    def pulse(self, bias_v: float, width_s: float, held: bool) -> Trace:
        """Apply a pulse of ``bias_v`` (V, absolute) for ``width_s``; ``held`` keeps z still.

        Raises:
            ContactLost: the tip is withdrawn.
        """
        self.need_contact("pulse")
        still = held or self.feedback is Feedback.HELD
        z, gap, current = self._z_nm(), self._gap_nm(), self._current_a()
        decay = self.tip.decay_per_nm
        # A gap wider than the tunnelling one is a lift: the field is weaker there.
        lift = max(gap - self._tunnel_gap_nm(), 0.0)
        self._apply(self._laws.pulse(self.tip, bias_v, width_s, lift, not still))
        shape = PulseShape(width_s, (self.bias_v, bias_v), decay)
        if still:
            trace = self._recorder.held_pulse(shape, z, (gap, z - self._contact_nm()[0]))
        else:
            rate = self.p_gain_m / NM / self.time_constant_s * decay / math.log(10)
            trace = self._recorder.followed_pulse(shape, (z, self._z_nm()), current, rate)
        self.advance(float(trace.time_s[-1]))
        return trace

    def indent(
        self,
        depth_m: float,
        approach_time_s: float,
        contact_bias_v: float,
        dwell_s: float,
        lift_m: float,
        lift_time_s: float,
        average_s: float,
        restore_feedback: bool,
    ) -> Trace:
        """Push the tip ``depth_m`` below where it is, and lift it by ``lift_m``.

        Raises:
            ContactLost: the tip is withdrawn.
        """
        self.need_contact("indent")
        self.advance(average_s)
        self.set_feedback(False)
        start, gap, old = self._held_nm, self._gap_nm(), self.tip
        penetration = self.latents.penetration_nm(depth_m / NM, gap)
        # In contact the clock runs without ``advance``: the dip is judged as a whole below.
        self.time_s += approach_time_s + dwell_s
        self._apply(self._laws.dip(old, penetration, contact_bias_v, dwell_s))
        self._held_nm = start + (lift_m - depth_m) / NM
        self._pressed_nm = max(penetration, 0.0)
        self.time_s += lift_time_s
        contact, gap_after = self.latents.contact_depth_nm(gap), self._gap_nm()
        if restore_feedback:
            self.set_feedback(True)
        else:
            self._touch()
        depths = depth_m / NM, lift_m / NM
        times = average_s, approach_time_s, dwell_s, lift_time_s
        biases = self.bias_v, contact_bias_v
        ramp = Ramp(start, *depths, times, biases, gap, contact, gap_after)
        return self._recorder.indentation(ramp, old)

    def averaged_z_m(self, seconds: float) -> float:
        """Average the height over ``seconds`` (m)."""
        self.advance(seconds)
        rest, switched = self._contact_nm()
        wander = self.tip.duty * (switched - rest)
        return (self._z_nm() + wander + self._noise.reading_nm * self._actions.normal()) * NM

    def apply(self, action: Action) -> Outcome:
        """Carry out a whole action of the drivers' vocabulary.

        Raises:
            ContactLost: the action needs tunnelling contact and there is none.
            ApproachFailed: an approach ended without contact, or without rest.
            CommandFailed: a target lies outside the range of the scanner.
        """
        return perform(self, action)

    # ---- Scanning

    def lines(self, settings: ScanSettings) -> Generator[ScanLine]:
        """Scan; each line is rendered when asked for and takes its time.

        Closing the iterator stops the scan. What changes between lines (tip, bias, gains) shows
        from the next line on.

        Raises:
            ContactLost: the tip is withdrawn, before or during the scan.
            CommandFailed: the feedback is held, or the frame leaves the range.
        """
        self._need_feedback()
        self._need_reach(settings)
        self.tunnel(settings.at)
        self.move(*_line_start(settings, 0), self.preset.controller.move_nm_per_s * NM)
        self.scanning = True
        try:
            yield from self._scan(settings, self._noise_seed())
        finally:
            self.scanning = False

    def _scan(self, settings: ScanSettings, seed: int) -> Generator[ScanLine]:
        heights = np.empty((settings.lines, 2, settings.pixels), np.float32)
        raster, key = self._raster(settings, 0), self._imaging_key()
        loop = raster.settled_state()
        for index in range(settings.lines):
            self._need_feedback()
            # Whoever listens may act between lines; then the rest is worked out anew.
            late = abs(raster.start_s(index) - self.time_s) > 1e-6
            if late or key != self._imaging_key():
                raster, key = self._raster(settings, index), self._imaging_key()
            out = heights[index]
            corrugation = raster.render(index, loop, seed, out)
            out *= np.float32(NM)
            self.time_s += settings.line_s
            self.x_m, self.y_m = _line_start(settings, index)
            self._junction.tip = self._laws.scan_line(self.tip, corrugation)
            yield ScanLine(index, settings.row_of(index), out[0], out[1], self.time_s)

    def _raster(self, settings: ScanSettings, first: int) -> Raster:
        gains = self.p_gain_m / NM, self.time_constant_s
        scene = self._junction.scene(self._noise, self._tunnel_gap_nm(), gains)
        return Raster(scene, settings, first, self.time_s)

    def _noise_seed(self) -> int:
        """Counter that the noise of the next scan starts from."""
        self._scans += 1
        return int(np.random.default_rng([*self._scan_seed, self._scans]).integers(2**32))

    def _imaging_key(self) -> tuple[object, ...]:
        """What a raster depends on besides the settings and the time."""
        gains = self.p_gain_m, self.time_constant_s
        return (self.tip, self.sample.revision, self.bias_v, self.setpoint_a, *gains)

    def _need_feedback(self) -> None:
        self.need_contact("scan")
        if self.feedback is not Feedback.ON:
            raise CommandFailed("cannot scan: the feedback is held; switch it on first")

    def _need_reach(self, settings: ScanSettings) -> None:
        frame, reach = settings.frame, self.range_m[0] / 2
        half = frame.width_m / 2, frame.height_m / 2
        corners = (frame.to_sample(i * half[0], j * half[1]) for i in (-1, 1) for j in (-1, 1))
        if any(max(abs(x), abs(y)) > reach for x, y in corners):
            raise CommandFailed(f"frame {frame} leaves the range of {reach / NM:.0f} nm per side")

    def _step_sideways(self, x_steps: int, y_steps: int) -> None:
        law = self.preset.landing
        clear = self.retracted_steps >= law.min_clearance_steps
        if self.feedback is not Feedback.WITHDRAWN or not clear:
            self._apply(self._laws.crash(self.tip))
        x, y = self._junction.origin_nm
        stride = law.lateral_step_nm.draw(self._dynamics)
        self._junction.origin_nm = (x + x_steps * stride, y + y_steps * stride)
        if clear:
            self._steps_to_go += int(self._dynamics.poisson(law.backlash_steps))
        else:
            # Dragged along, the tip ends up somewhere in reach of the new place.
            self._land(self._dynamics)


def _line_start(settings: ScanSettings, index: int) -> tuple[float, float]:
    """Where the scanner stands before and after line ``index`` (m)."""
    frame = settings.frame
    v = frame.height_m * (0.5 - (settings.row_of(index) + 0.5) / settings.lines)
    return frame.to_sample(-frame.width_m / 2, v)
