"""The instrument and what it shows: settings, readings, time, and the tip held over the sample."""

from __future__ import annotations

import numpy as np

from drivers.actions import TunnellingPoint
from drivers.errors import CommandFailed, ContactLost
from drivers.microscope import Feedback, MicroscopeState
from sim.presets.preset import Preset
from sim.sample import Sample
from sim.scans.feedback import SwingingLoop, swinging
from sim.scans.imaging import NM
from sim.scans.junction import Junction
from sim.scans.motion import Motion
from sim.scans.noise import NoiseLevels
from sim.spectra.electronics import Electronics
from sim.spectra.judge import SpectralJudge
from sim.tips.conditioning import Conditioning
from sim.tips.dragging import drag
from sim.tips.latents import Latents
from sim.tips.law import Change
from sim.tips.tip import Tip, draw_bad
from sim.traces import Recorder

PM = 1e-12


class Rig:
    """An instrument with a tip over a sample: everything that is set or read.

    Attributes:
        preset: the numbers.
        latents: the hidden parameters of the episode.
        time_s: instrument time (s).
        bias_v: bias of the sample (V).
        setpoint_a: current setpoint (A).
        feedback: what the z controller does.
        x_m: position of the scanner (m).
        y_m: position of the scanner (m).
        p_gain_m: proportional gain (m per decade of current).
        time_constant_s: time constant of the integral gain (s).
        range_m: full range of the scanner in x, y and z (m).
        retracted_steps: motor steps away from the sample since the last contact.
        scanning: whether a scan is being taken.
    """

    def __init__(self, preset: Preset, seed: int, tip: Tip | None = None) -> None:
        control = preset.controller
        self.preset = preset
        self.time_s = 0.0
        self.bias_v = control.bias_v
        self.setpoint_a = control.setpoint_pa * PM
        self.feedback = Feedback.ON
        self.x_m = self.y_m = 0.0
        self.p_gain_m = control.p_gain_pm * PM
        self.time_constant_s = control.time_constant_us * 1e-6
        lateral = control.range_xy_nm * NM
        self.range_m = (lateral, lateral, control.range_z_nm * NM)
        self.retracted_steps = 0
        self.scanning = False
        self._dynamics, setup, self._actions, self._readings, first = (
            np.random.default_rng([seed, stream]) for stream in (2, 3, 4, 5, 6)
        )
        self._scan_seed: tuple[int, ...] = (seed, 7)
        self._scans = 0
        self._sweep_seed: tuple[int, ...] = (seed, 9)
        self._sweeps = 0
        self.latents = Latents.draw(setup, preset)
        self._noise = NoiseLevels(preset, setup)
        electronics = Electronics(preset.spectrum.tip, seed)
        if tip is None:
            tip = electronics.fresh(draw_bad(first, preset, self.latents.dirt))
        sample, motion = Sample(preset, seed), Motion(preset, setup)
        self._junction = Junction(preset, sample, tip, electronics, motion)
        self._laws = Conditioning(preset, self.latents, self._dynamics)
        self._judge = SpectralJudge(preset.spectrum, preset.good_spectrum)
        self._recorder = Recorder(preset, self._noise.current_a, self._actions)
        self._held_nm = 0.0
        self._pressed_nm = 0.0
        self._steps_to_go = self._steps_in_vain = 0
        self._land(setup)

    # ---- Reading

    @property
    def tip(self) -> Tip:
        """The true tip."""
        return self._junction.tip

    @property
    def sample(self) -> Sample:
        """The true sample."""
        return self._junction.sample

    @property
    def is_good(self) -> bool:
        """Whether the tip is good by the preset's definition."""
        return self.tip.is_good(self.preset.good, self._laws.life_frames(self.tip))

    @property
    def is_step_good(self) -> bool:
        """Whether the tip is good and does not double steps either."""
        step_nm = self.preset.steps.height_nm
        return self.tip.is_step_good(self.preset.good, step_nm, self._laws.life_frames(self.tip))

    @property
    def contact_depth_m(self) -> float:
        """Depth below the tunnelling point at which the tip meets the sample (m), in truth."""
        return self.latents.contact_depth_nm(self._tunnel_gap_nm()) * NM

    @property
    def noise_m(self) -> float:
        """Deviation of the heights in a picture by the noise that is always there (m)."""
        return self._noise.rms_nm * NM

    @property
    def loop(self) -> SwingingLoop | None:
        """The feedback as it is set, None if the preset's scanner follows at once."""
        gains = self.p_gain_m / NM, self.time_constant_s
        return swinging(self.preset.controller, gains, self.tip.decay_per_nm)

    @property
    def z_m(self) -> float:
        """Height of the tip (m), positive away from the sample; without noise."""
        return self._z_nm() * NM

    def read_z_m(self) -> float:
        """A reading of the height (m), with noise and with what the apex does just now."""
        # The telegraph has no memory between readings: they are far apart in its terms.
        z = self._z_nm()
        if self.feedback is Feedback.ON and self._readings.uniform() < self.tip.duty:
            rest, switched = self._contact_nm()
            z += switched - rest
        return (z + self._noise.reading_nm * self._readings.normal()) * NM

    def read_current_a(self) -> float:
        """A reading of the current (A), with noise, clipped where the preamplifier clips."""
        current = self._current_a() + self._noise.current_a * self._readings.normal()
        limit = self.preset.controller.saturation_na * 1e-9
        return float(min(max(current, -limit), limit))

    def state(self) -> MicroscopeState:
        """A reading of everything an instrument shows."""
        return MicroscopeState(
            time_s=self.time_s,
            bias_v=self.bias_v,
            setpoint_a=self.setpoint_a,
            current_a=self.read_current_a(),
            x_m=self.x_m,
            y_m=self.y_m,
            z_m=self.read_z_m(),
            feedback=self.feedback,
            scanning=self.scanning,
            range_m=self.range_m,
            retracted_steps=self.retracted_steps,
        )

    def drift_m_per_s(self) -> float:
        """How fast the sample moves along z (m/s), as a long look at z would tell."""
        return float(self._junction.motion.speed_nm_per_s(self.time_s)[2]) * NM

    def z_drift_m(self, since_s: float) -> float:
        """How far the sample has drifted along z since ``since_s`` (m)."""
        offset = self._junction.motion.offset_nm(np.array([since_s, self.time_s]))[2]
        return float(offset[1] - offset[0]) * NM

    def true_state(self) -> dict[str, float | bool | str]:
        """What the tip is really like; for scoring and tests only."""
        return {
            "radius_nm": self.tip.radius_nm,
            "gap_nm": self.tip.gap_nm,
            "contaminated": not self.tip.clean,
            "stable": self.tip.stable,
            "good": self.is_good,
            "step_good": self.is_step_good,
            "electronic_good": self._judge.accepts(self.tip.electronic),
            "good_definition": self.preset.good_definition,
            "time_s": self.time_s,
        }

    # ---- Setting

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` of instrument time pass.

        Raises:
            ValueError: time does not run backwards.
        """
        if not seconds >= 0:
            raise ValueError(f"time cannot advance by {seconds:g} s")
        self.time_s += seconds
        self._touch()

    def reseed(self, *key: int) -> None:
        """Draw all chance from ``(seed, key)`` from here on, whatever was drawn before.

        Two courses of action then meet the same luck at the same point. Noise of readings is left
        alone. Without a call everything comes from the seed in one run.
        """
        seed = self._scan_seed[0]
        for stream, chance in ((2, self._dynamics), (4, self._actions)):
            # In place: the laws and the recorder hold the same generators.
            chance.bit_generator.state = np.random.PCG64([seed, stream, *key]).state
        self._scan_seed, self._scans = (seed, 7, *key), 0
        self._sweep_seed, self._sweeps = (seed, 9, *key), 0

    def set_bias(self, bias_v: float) -> None:
        """Set the bias (V); under feedback, next to no bias drives the tip into the sample."""
        self.bias_v = bias_v
        # No gap carries the setpoint: the feedback pushes on until it meets metal.
        if self.feedback is Feedback.ON and self._tunnel_gap_nm() <= 0:
            self._apply(self._laws.crash(self.tip))

    def set_setpoint(self, setpoint_a: float) -> None:
        """Set the current setpoint (A).

        Raises:
            CommandFailed: the setpoint is not positive, or not what the preamplifier can show.
        """
        if not setpoint_a > 0:
            raise CommandFailed(f"setpoint {setpoint_a:g} A must be positive")
        amplifier = self.preset.controller.preamplifier
        if amplifier and not amplifier.floor_pa < setpoint_a / PM < amplifier.saturation_na * 1e3:
            raise CommandFailed(
                f"cannot hold {setpoint_a / PM:g} pA: at {amplifier.gain_v_per_a:g} V/A the "
                f"preamplifier shows {amplifier.floor_pa:g} to {amplifier.saturation_na * 1e3:g} pA"
            )
        self.setpoint_a = setpoint_a
        self.set_bias(self.bias_v)

    def tunnel(self, at: TunnellingPoint) -> None:
        """Set bias and setpoint together.

        Raises:
            CommandFailed: the setpoint is not positive, or not what the preamplifier can show.
        """
        # A lower setpoint goes first, so that no moment pairs a small bias with a large current.
        if at.setpoint_a < self.setpoint_a:
            self.set_setpoint(at.setpoint_a)
        self.set_bias(at.bias_v)
        self.set_setpoint(at.setpoint_a)

    def set_gains(self, p_gain_m: float, time_constant_s: float) -> None:
        """Set the gains of the feedback.

        Raises:
            CommandFailed: one of them is not positive.
        """
        if not (p_gain_m > 0 and time_constant_s > 0):
            raise CommandFailed(
                f"gains {p_gain_m:g} m and {time_constant_s:g} s must both be positive"
            )
        self.p_gain_m = p_gain_m
        self.time_constant_s = time_constant_s

    def set_feedback(self, on: bool) -> None:
        """Close the feedback, or hold the tip where it is.

        Raises:
            ContactLost: the sample is out of reach; approach first.
        """
        if on and self.retracted_steps:
            raise ContactLost(
                f"no surface within reach after {self.retracted_steps} retracting steps; "
                "approach first"
            )
        if on:
            extending = self.feedback is Feedback.WITHDRAWN
            self._pressed_nm = 0.0
            self.feedback = Feedback.ON
            self.set_bias(self.bias_v)
            if extending:
                self._travelled(self._z_nm() - self._held_nm)
        elif self.feedback is Feedback.ON:
            self._held_nm = self._z_nm()
            self.feedback = Feedback.HELD

    def shift_z(self, dz_m: float) -> None:
        """Move a held tip by ``dz_m``, positive away from the sample.

        Raises:
            CommandFailed: the feedback is not held, or the end of the range lies between.
        """
        if self.feedback is not Feedback.HELD:
            raise CommandFailed("z can only be shifted while the feedback is held")
        target = self._held_nm + dz_m / NM
        if abs(target) > self.range_m[2] / NM / 2:
            raise CommandFailed(f"z {target:.2f} nm is outside the piezo range")
        self._held_nm = target
        self._touch()

    # ---- Inside

    def need_contact(self, what: str) -> None:
        """Refuse ``what`` without tunnelling contact.

        Raises:
            ContactLost: the tip is withdrawn.
        """
        if self.feedback is Feedback.WITHDRAWN:
            raise ContactLost(f"cannot {what}: the tip is withdrawn; approach first")

    def _contact_nm(self) -> tuple[float, float]:
        place = self.x_m / NM, self.y_m / NM
        return self._junction.contact_nm(*place, self.time_s, self.bias_v)

    def _tunnel_gap_nm(self) -> float:
        return self._junction.tunnel_gap_nm(self.bias_v, self.setpoint_a)

    def _z_nm(self) -> float:
        if self.feedback is not Feedback.ON:
            return self._held_nm
        return self._followed_nm(self._contact_nm()[0])

    def _gap_nm(self) -> float:
        contact = self._contact_nm()[0]
        following = self.feedback is Feedback.ON
        return (self._followed_nm(contact) if following else self._held_nm) - contact

    def _followed_nm(self, contact_nm: float) -> float:
        """Where the feedback brings the tip over a contact at ``contact_nm``."""
        half = self.range_m[2] / NM / 2
        return min(max(contact_nm + self._tunnel_gap_nm(), -half), half)

    def _current_a(self) -> float:
        if self.feedback is Feedback.WITHDRAWN:
            return 0.0
        return self._junction.current_a(self._gap_nm(), self.bias_v)

    def _apply(self, change: Change) -> None:
        self.sample.heal(self.time_s)
        self._junction.apply(change, self._place_nm())

    def _place_nm(self) -> tuple[float, float]:
        return self._junction.place_nm(self.x_m / NM, self.y_m / NM, self.time_s)

    def _over_molecule(self) -> bool:
        return self._junction.molecule_at(self._place_nm()) is not None

    def _grips(self) -> bool:
        """Whether adatoms follow the tip."""
        law = self.preset.dragging
        close = law is not None and abs(self.bias_v) <= law.max_ohm * self.setpoint_a
        return close and self.feedback is Feedback.ON

    def _drag(self, start_m: tuple[float, float], end_m: tuple[float, float]) -> None:
        """Pass from one place of the scanner to another with adatoms that follow."""
        if self.preset.dragging:
            start, end = (
                self._junction.place_nm(x / NM, y / NM, self.time_s) for x, y in (start_m, end_m)
            )
            drag(self.preset.dragging, self._dynamics, self.sample, start, end)

    def _travelled(self, distance_nm: float) -> None:
        """The z piezo went a long way: it takes its time and creeps after."""
        self.time_s += abs(distance_nm) / self.preset.controller.withdraw_nm_per_s
        self._junction.motion.moved(self.time_s, 0.0, 0.0, distance_nm)

    def _touch(self) -> None:
        """A held tip that has got deeper into the sample than before has indented it."""
        if self.feedback is not Feedback.HELD:
            return
        depth = -self._gap_nm()
        if depth > self._pressed_nm + self.preset.dip.atom_depth_nm:
            self._pressed_nm = depth
            self._apply(self._laws.dip(self.tip, depth, self.bias_v, 0.0))
        elif depth <= 0:
            self._pressed_nm = 0.0

    def _land(self, rng: np.random.Generator) -> None:
        """Choose the zero of z so that the tip stands somewhere near the middle of the range."""
        target = self.preset.landing.landing_z_nm * float(rng.uniform(-1, 1))
        gap = self._contact_nm()[0] + self._tunnel_gap_nm()
        self._junction.zero_nm += target - gap
