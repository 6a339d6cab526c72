"""Sweeps of the bias as the instrument records them: noise, wander, switching and clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from scipy.constants import elementary_charge

from drivers.errors import CommandFailed
from drivers.spectrum import SpectrumSettings
from sim.presets.instrument import Controller
from sim.presets.preset import Preset
from sim.scans.kernels import Doubles
from sim.scans.noise import NoiseLevels
from sim.spectra.spectral import SpectrumLaw
from sim.spectra.spectroscopy import Barrier, Curve, demodulated
from sim.tips.tip import Flicker, Tip


@dataclass(frozen=True, slots=True)
class Held:
    """The tip as the feedback let go of it.

    Attributes:
        tip: the tip.
        gap_nm: gap to the sample.
        closing_nm: by how much drift and creep narrow the gap until the end of the sweep.
        switched_nm: by how much the gap is narrower while the apex is switched.
    """

    tip: Tip
    gap_nm: float
    closing_nm: float
    switched_nm: float


@dataclass(frozen=True, slots=True)
class Amplifier:
    """The preamplifier and the noise of the episode."""

    controller: Controller
    noise: NoiseLevels

    def passes(self, hz: float) -> float:
        """Share of a signal at ``hz`` that gets through."""
        return 1 / math.hypot(1.0, hz / self.controller.preamp_hz)

    def clipped(self, current_a: Doubles) -> Doubles:
        """What is left of too large a current."""
        limit = self.controller.saturation_na * 1e-9
        return np.clip(current_a, -limit, limit)

    def deviation_a(self, current_a: Doubles, integration_s: float) -> Doubles:
        """Deviation of an averaged current: that of the amplifier, Johnson noise in it, and shot.

        The same holds for the rms value that a lock-in amplifier finds at its frequency.
        """
        # A pole lets pi/2 of its corner frequency through; averaging leaves a band of 1 / 2T.
        own = self.noise.current_a**2 / (math.pi / 2 * self.controller.preamp_hz)
        shot = 2 * elementary_charge * np.abs(current_a)
        deviation: Doubles = np.sqrt((own + shot) / (2 * integration_s))
        return deviation


def check(preset: Preset, settings: SpectrumSettings, gap_nm: float) -> None:
    """Refuse what cannot be swept; ``gap_nm`` is that of the tunnelling point.

    Raises:
        CommandFailed: with the number that is wrong and the limit it breaks.
    """
    at, control, highest = settings.at, preset.controller, preset.spectrum.max_bias_v
    peak = max(abs(settings.start_v), abs(settings.stop_v))
    peak = max(peak + math.sqrt(2) * settings.modulation_v_rms, abs(at.bias_v))
    if peak > highest:
        raise CommandFailed(
            f"cannot sweep to {peak:.3g} V, modulation included: spectra end at {highest:g} V, "
            "beyond which the apex would change"
        )
    if settings.modulation_hz > control.preamp_hz:
        raise CommandFailed(
            f"cannot modulate at {settings.modulation_hz:g} Hz: the preamplifier ends at "
            f"{control.preamp_hz:g} Hz"
        )
    if at.setpoint_a >= control.saturation_na * 1e-9:
        raise CommandFailed(
            f"cannot hold {at.setpoint_a * 1e12:g} pA: the preamplifier clips at "
            f"{control.saturation_na:g} nA"
        )
    if gap_nm <= 0:
        raise CommandFailed(
            f"cannot hold {at.setpoint_a * 1e12:g} pA at {at.bias_v:g} V: that is contact; raise "
            "the bias or lower the setpoint"
        )


def sweep(
    law: SpectrumLaw,
    settings: SpectrumSettings,
    held: Held,
    amplifier: Amplifier,
    rng: np.random.Generator,
) -> tuple[Doubles, Doubles]:
    """Current (A) and dI/dV (S) at every bias of ``settings``, shape (points,) each."""
    bias, modulation = settings.bias_v, settings.modulation_v_rms
    peak = math.sqrt(2) * modulation
    ends = settings.start_v, settings.stop_v, settings.at.bias_v
    barrier = Barrier.of(held.tip.decay_per_nm, held.gap_nm)
    curve = Curve(law, held.tip.electronic, barrier, (min(ends) - peak, max(ends) + peak))
    # The feedback has found the gap at which the setpoint flows, whatever the states of the tip.
    scale = settings.at.setpoint_a / abs(float(curve.current(np.array(settings.at.bias_v))))
    growth = scale * _growth(held, settings.points, point_s(law, settings), amplifier.noise, rng)
    phases = amplifier.clipped(curve.modulated(bias, modulation) * growth[:, None])
    current = phases.mean(axis=1)
    noise = amplifier.deviation_a(current, settings.integration_s) * rng.normal(size=(2, bias.size))
    didv = demodulated(phases, modulation) + noise[0] / modulation
    return amplifier.clipped(current + noise[1]), didv * amplifier.passes(settings.modulation_hz)


def point_s(law: SpectrumLaw, settings: SpectrumSettings) -> float:
    """Time of one point of a sweep (s)."""
    return law.settle_s + settings.integration_s


def _growth(
    held: Held, points: int, dt_s: float, noise: NoiseLevels, rng: np.random.Generator
) -> Doubles:
    """By which factor the current exceeds that of a tip that stands still, shape (points,)."""
    memory, kick = noise.slow_step(dt_s)
    kicks = kick * rng.normal(size=points)
    # The feedback had followed the slow wander up to here; what it had just misread stays.
    wander = np.array(list(accumulate(kicks, lambda nm, push: memory * nm + push)))
    closing = held.closing_nm * np.arange(1, points + 1) / points
    narrower = noise.reading_nm * rng.normal() + wander + closing
    growth: Doubles = np.exp(held.tip.decay_per_nm * narrower)
    if held.tip.flicker is None:
        return growth
    share, began = _switched(held.tip.flicker, points, dt_s, rng)
    jump = math.exp(held.tip.decay_per_nm * held.switched_nm)
    # What counts is the configuration that the feedback saw last.
    return growth * (1 + share * (jump - 1)) / (jump if began else 1.0)


def _switched(
    flicker: Flicker, points: int, dt_s: float, rng: np.random.Generator
) -> tuple[Doubles, bool]:
    """Share of each point that the apex spends switched, and whether it begins so."""
    began = bool(rng.uniform() < flicker.duty)
    rates = (flicker.back_hz, flicker.out_hz) if began else (flicker.out_hz, flicker.back_hz)
    duration = points * dt_s
    # Visits come in pairs; half as many again and a few more reach beyond the end.
    pairs = int(1.5 * duration / (1 / rates[0] + 1 / rates[1])) + 20
    stays = rng.exponential(1 / np.array(rates), (pairs, 2)).ravel()
    edges = np.concatenate([[0.0], np.cumsum(stays)])
    state = np.arange(stays.size) % 2 == (0 if began else 1)
    spent = np.concatenate([[0.0], np.cumsum(stays * state)])
    at = np.interp(np.arange(points + 1) * dt_s, edges, spent)
    return np.diff(at) / dt_s, began
