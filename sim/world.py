"""The simulated world: one sample, one tip, one instrument around them; synchronous and pure.

Every operation takes its time: ``time_s`` moves on by what it lasts, and nothing else moves it.
Chance comes from the seed alone, in separate streams: what happens to the tip, the noise of scans
(a counter per scan), the noise of actions, and the noise of readings, so that looking at the
instrument never changes what it does. The same calls give the same results.
"""

from __future__ import annotations

import math

import numpy as np

from drivers.actions import Action, TunnellingPoint
from drivers.microscope import Feedback
from drivers.outcome import Outcome, Trace
from drivers.spectrum import Spectrum, SpectrumSettings
from sim.performing import AVERAGE_S, perform
from sim.scanning import Scanner
from sim.scans.imaging import NM
from sim.spectra.lateral import site_of
from sim.spectra.sweeps import Amplifier, Held, check, point_s, strains, sweep
from sim.tips.conditioning import Conditioning
from sim.traces import PulseShape, Ramp


class World(Scanner):
    """A simulated STM: everything that can be done with the rig.

    Args:
        preset: the numbers.
        seed: decides surface, hidden parameters, noise and every event.
        tip: the tip to begin with; a bad one is drawn if None.
    """

    # ---- Moving

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
            self._steps_in_vain = self._drawn_in_vain()
        self.retracted_steps += z_steps
        self._steps_to_go += z_steps
        if self.retracted_steps < 0:
            self.retracted_steps = self._steps_to_go = 0
            self._apply(self._laws.crash(self.tip))
        if x_steps or y_steps:
            self._step_sideways(x_steps, y_steps)

    def approach_step(self) -> bool:
        """One step of the automatic approach; whether tunnelling contact is made.

        A motor that slips or stalls takes its time without getting closer; trying again helps.
        """
        if self.feedback is Feedback.ON:
            return True
        self.time_s += self.preset.landing.step_s
        if self._steps_to_go > 0:
            if not self._motor_moves():
                return False
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
        over = self._over_molecule()
        self._apply(self._laws.pulse(self.tip, bias_v, width_s, lift, not still, over))
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
        over = self._over_molecule()
        self._apply(self._laws.dip(old, penetration, contact_bias_v, dwell_s, over))
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

    def settle(self, at: TunnellingPoint) -> None:
        """Close the feedback at a tunnelling point and wait until it has settled.

        Raises:
            CommandFailed: the setpoint is not what the preamplifier can show.
            ContactLost: the sample is out of reach.
        """
        self.tunnel(at)
        self.set_feedback(True)
        self.advance(self.preset.controller.settle_s)

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

    # ---- Spectroscopy

    def spectrum(self, settings: SpectrumSettings) -> Spectrum:
        """Take a spectrum where the tip stands; the feedback is closed again at the end.

        A large bias may change the apex as a pulse does; the curves go on with the new one, and
        ``z_jump_m`` tells.

        Raises:
            ContactLost: the tip is withdrawn.
            CommandFailed: the sweep goes too far, the modulation is too fast for the preamplifier,
                or the feedback cannot hold the tunnelling point.
        """
        self.need_contact("take a spectrum")
        at, law = settings.at, self.preset.spectrum
        check(self.preset, settings, self._junction.tunnel_gap_nm(at.bias_v, at.setpoint_a))
        self.settle(at)
        before = self.averaged_z_m(AVERAGE_S)
        started, place = self.time_s, self._place_nm()
        self.set_feedback(False)
        self._sweeps += 1
        rng = np.random.default_rng([*self._sweep_seed, self._sweeps])
        stages, closing = self._strained(settings, rng)
        site = site_of(self.sample, law.surface_state, *place)
        amplifier = Amplifier(self.preset.controller, self._noise)
        current, didv = sweep(law, settings, stages, closing, site, amplifier, rng)
        finished = self.time_s
        self.settle(at)
        after = self.averaged_z_m(AVERAGE_S)
        return Spectrum(
            bias_v=settings.bias_v,
            current_a=current.astype(np.float32),
            didv_s=didv.astype(np.float32),
            settings=settings,
            x_m=self.x_m,
            y_m=self.y_m,
            started_s=started,
            finished_s=finished,
            z_jump_m=after - before - self.z_drift_m(started),
        )

    def _strained(
        self, settings: SpectrumSettings, rng: np.random.Generator
    ) -> tuple[list[Held], float]:
        """Let a sweep pass: the tip before it and after each change, and how the gap closed."""
        dt_s = point_s(self.preset.spectrum, settings)
        rest, switched = self._contact_nm()
        gap, began = self._gap_nm(), self.tip
        self.advance(settings.points * dt_s)
        stages = [Held(0, began, gap, settings.at.setpoint_a, switched - rest)]
        closing = self._contact_nm()[0] - rest if self.tip is began else 0.0
        # A stream of its own: sweeps that change nothing leave the luck of all else alone.
        laws = Conditioning(self.preset, self.latents, rng)
        for strain in strains(settings, self.preset.pulse.steepness_v, dt_s):
            old, contact = self.tip, self._contact_nm()[0]
            over = self._over_molecule()
            self._apply(laws.pulse(old, strain.bias_v, strain.width_s, 0.0, False, over))
            if self.tip == old:
                continue
            first = int(rng.integers(strain.first, strain.last, endpoint=True))
            rest, switched = self._contact_nm()
            gap -= rest - contact
            flows = abs(self._junction.current_a(gap, settings.at.bias_v))
            stages.append(Held(first, self.tip, max(gap, 0.0), flows, switched - rest))
            # An apex that got longer than the gap is in the sample now.
            self._touch()
        return stages, closing

    def _drawn_in_vain(self) -> int:
        """How many steps the motor will make in vain when it comes back."""
        trouble = self.preset.landing.trouble
        if trouble is None or self._dynamics.uniform() >= trouble.stall_share:
            return 0
        return round(trouble.stall_steps.draw(self._dynamics))

    def _motor_moves(self) -> bool:
        trouble = self.preset.landing.trouble
        if self._steps_in_vain > 0:
            self._steps_in_vain -= 1
            return False
        return trouble is None or self._dynamics.uniform() >= trouble.slip_share

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
