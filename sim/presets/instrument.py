"""The instrument's part of a preset: coarse motor, controller, preamplifier, scanner, noise, drift.

What only some instruments show is a section of its own and may be missing. Units are those of the
files, in the field's name.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator
from scipy.constants import Boltzmann, elementary_charge

from sim.presets.blocks import Block
from sim.presets.quantities import (
    Bias,
    Bows,
    ControllerGain,
    Count,
    Counts,
    Current,
    Currents,
    Delay,
    Distances,
    Duration,
    Durations,
    Factor,
    Frequencies,
    Frequency,
    Heights,
    Lengths,
    Picometres,
    Probability,
    Qualities,
    Rates,
    Shares,
    Speeds,
    Transimpedance,
    Travel,
    Voltage,
)

#: Temperature of a preamplifier's feedback resistor (K), whatever that of the microscope.
ROOM_K = 300.0


class Trouble(Block):
    """What goes wrong with a coarse approach.

    A step slips with probability ``slip_share``. In a share of the landings, ``stall_share``, the
    motor makes ``stall_steps`` steps in vain before it moves again.
    """

    slip_share: Probability
    stall_share: Probability
    stall_steps: Counts


class Landing(Block):
    """The coarse approach."""

    bad_share: Probability
    bad_depth_nm: Heights
    step_s: Duration
    lateral_step_nm: Distances
    motor_step_s: Duration
    backlash_steps: Count
    min_clearance_steps: Annotated[int, Field(ge=1, le=1_000_000)]
    landing_z_nm: Travel
    trouble: Trouble | None = None


class Preamplifier(Block):
    """A transimpedance amplifier with a choice of gains.

    Attributes:
        gain_v_per_a: the gain in use.
        output_v: largest output.
        ranges: bandwidth (Hz) at each gain (V/A), as pairs.
        recovery_ms: how long the output stays at its end after an overload.
        floor_pa: smallest current that a logarithmic controller still tells from none.
    """

    gain_v_per_a: Transimpedance
    output_v: Voltage
    ranges: tuple[tuple[Transimpedance, Frequency], ...]
    recovery_ms: Delay
    floor_pa: Current

    @property
    def bandwidth_hz(self) -> float:
        """Bandwidth at the gain in use (Hz)."""
        return dict(self.ranges)[self.gain_v_per_a]

    @property
    def saturation_na(self) -> float:
        """Largest current at the gain in use (nA)."""
        return self.output_v / self.gain_v_per_a / 1e-9

    def bounds(self, setpoint_a: float, decay_per_nm: float) -> tuple[float, float]:
        """Lowest and highest error in height (nm) that the logarithm of the current can show."""
        ends = self.floor_pa * 1e-12, self.saturation_na * 1e-9
        low, high = (math.log(end / setpoint_a) / decay_per_nm for end in ends)
        return low, high

    def noise_a(self, current_a: float, band_hz: float) -> float:
        """Deviation (A) of a current in ``band_hz``: Johnson noise of the resistor, and shot."""
        johnson = 4 * Boltzmann * ROOM_K / self.gain_v_per_a
        return math.sqrt((johnson + 2 * elementary_charge * current_a) * band_hz)

    @model_validator(mode="after")
    def _gain_is_one_of_its_own(self) -> Self:
        gains = [gain for gain, _ in self.ranges]
        if self.gain_v_per_a not in gains:
            raise ValueError(
                f"gain_v_per_a {self.gain_v_per_a:g} must be one of "
                f"{', '.join(f'{gain:g}' for gain in gains)}"
            )
        return self


class Scanner(Block):
    """The mechanics between the controller's output and the tip: a resonance and a dead time."""

    resonance_hz: Frequency
    quality: Annotated[float, Field(ge=0.5, le=1e6)]
    delay_us: Duration


class Controller(Block):
    """The z controller, the scanner and the preamplifier.

    With ``preamplifier`` and ``scanner`` the feedback can ring, overload and lose the tunnelling
    contact; without, it is a loop behind one pole that nothing limits.
    """

    p_gain_pm: ControllerGain
    time_constant_us: Duration
    preamp_hz: Frequency
    saturation_na: Current
    range_xy_nm: Travel
    range_z_nm: Travel
    move_nm_per_s: Travel
    withdraw_nm_per_s: Travel
    settle_s: Delay
    bias_v: Bias
    setpoint_pa: Current
    trace_hz: Frequency
    preamplifier: Preamplifier | None = None
    scanner: Scanner | None = None

    def at_gain(self, gain_v_per_a: float) -> Self:
        """The same controller with another gain of its preamplifier.

        Raises:
            ValueError: there is no preamplifier, or it has no such gain.
        """
        if self.preamplifier is None:
            raise ValueError("the preset has no controller.preamplifier whose gain could be set")
        chosen = {**self.preamplifier.model_dump(), "gain_v_per_a": gain_v_per_a}
        amplifier = Preamplifier.model_validate(chosen)
        return self.model_copy(
            update={
                "preamplifier": amplifier,
                "preamp_hz": amplifier.bandwidth_hz,
                "saturation_na": amplifier.saturation_na,
            }
        )

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        amplifier = self.preamplifier
        if (amplifier is None) != (self.scanner is None):
            raise ValueError("scanner and preamplifier come together: its clipping bounds ringing")
        if amplifier is None:
            return self
        for name, own in (
            ("preamp_hz", amplifier.bandwidth_hz),
            ("saturation_na", amplifier.saturation_na),
        ):
            if not math.isclose(getattr(self, name), own, rel_tol=1e-6):
                raise ValueError(f"{name} must be {own:g}, as the gain of the preamplifier has it")
        return self


class Mains(Block):
    """How the frequency of the mains wanders, which bends the weave of hum in a picture."""

    wander_hz: Rates
    period_s: Durations


class Pink(Block):
    """1/f noise: below ``corner_hz`` it exceeds the white noise of the pixels."""

    corner_hz: Frequencies


class Rattle(Block):
    """Resonances of the scanner that are hit at random and ring down.

    ``rate_hz``, ``frequency_hz`` and ``quality`` belong to an episode, each hit has an
    ``amplitude_pm`` of its own, before the feedback weakens it.
    """

    rate_hz: Rates
    frequency_hz: Frequencies
    quality: Qualities
    amplitude_pm: Picometres


class Jumps(Block):
    """Sudden changes of the apparent height, either way, that last for a while.

    Short ones look like popcorn, long ones shift lines. ``rate_hz`` belongs to an episode.
    """

    rate_hz: Rates
    height_pm: Picometres
    stay_s: Durations


class Noise(Block):
    """Noise of an episode, drawn once."""

    pixel_pm: Picometres
    line_pm: Picometres
    slow_pm: Picometres
    slow_s: Durations
    line_start_pm: Picometres
    line_start_share: Factor
    hum_hz: Frequency
    hum_pm: Picometres
    current_pa: Currents
    mains: Mains | None = None
    pink: Pink | None = None
    rattle: Rattle | None = None
    jumps: Jumps | None = None
    glitches: Jumps | None = None


class Bending(Block):
    """Where the piezo is no ruler.

    Attributes:
        bow_nm_per_um2: how z bends with the square of the distance from the middle of the scanner.
        loop: how far the way back lies from the way there in the middle of a line beyond what
            ``hysteresis`` says for all of it, as a share of its length.
    """

    bow_nm_per_um2: Bows
    loop: Shares


class Motion(Block):
    """Drift, creep and hysteresis."""

    drift_nm_per_min: Speeds
    z_drift_share: Shares
    landing_drift_nm: Lengths
    landing_drift_s: Durations
    creep_per_decade: Shares
    creep_s: tuple[Duration, ...]
    hysteresis: Shares
    bending: Bending | None = None
