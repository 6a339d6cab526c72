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
from sim.spectra.lateral import Site
from sim.spectra.spectral import SpectrumLaw
from sim.spectra.spectroscopy import Barrier, Curve, demodulated
from sim.tips.tip import Flicker, Tip


@dataclass(frozen=True, slots=True)
class Held:
    """A tip that stands still during a part of a sweep.

    Attributes:
        first: the point of the sweep at which its part begins.
        tip: the tip.
        gap_nm: gap to the sample, without drift.
        current_a: magnitude of the current across it at the tunnelling point's bias.
        switched_nm: by how much the gap is narrower while the apex is switched.
    """

    first: int
    tip: Tip
    gap_nm: float
    current_a: float
    switched_nm: float


@dataclass(frozen=True, slots=True)
class Strain:
    """What a sweep does to the apex: no less than a pulse would.

    Attributes:
        bias_v: highest bias of one polarity (V), modulation included.
        width_s: how long the sweep stays near it (s).
        first: first point of the sweep that is near it.
        last: the last one.
    """

    bias_v: float
    width_s: float
    first: int
    last: int


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
    peak = max(settings.peak_v, abs(at.bias_v))
    if peak > highest:
        raise CommandFailed(
            f"cannot sweep to {peak:.3g} V, modulation included: spectra end at {highest:g} V, "
            "beyond which the densities of states are not known"
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


def strains(settings: SpectrumSettings, near_v: float, dt_s: float) -> list[Strain]:
    """One strain for each polarity that is reached, in the order of the sweep.

    Args:
        settings: the sweep.
        near_v: how far below the highest bias still counts (V).
        dt_s: time of one point (s).
    """
    found = []
    for sign in (-1.0, 1.0):
        reached = sign * settings.bias_v + math.sqrt(2) * settings.modulation_v_rms
        top = float(reached.max())
        near = np.flatnonzero(reached > max(top - near_v, 0.0))
        if near.size:
            found.append(Strain(sign * top, near.size * dt_s, int(near[0]), int(near[-1])))
    return sorted(found, key=lambda strain: strain.first)


def sweep(
    law: SpectrumLaw,
    settings: SpectrumSettings,
    stages: list[Held],
    closing_nm: float,
    site: Site,
    amplifier: Amplifier,
    rng: np.random.Generator,
) -> tuple[Doubles, Doubles]:
    """Current (A) and dI/dV (S) at every bias of ``settings``, shape (points,) each.

    Args:
        law: the surface.
        settings: the sweep.
        stages: the tip at its beginning, and after every change.
        closing_nm: by how much drift and creep narrow the gap until the end.
        site: where over the surface.
        amplifier: what the current goes through.
        rng: chance.
    """
    modulation, dt_s = settings.modulation_v_rms, point_s(law, settings)
    narrower = _narrower(closing_nm, settings.points, dt_s, amplifier.noise, rng)
    ends = [stage.first for stage in stages[1:]] + [settings.points]
    parts = []
    for stage, end in zip(stages, ends, strict=True):
        part = slice(stage.first, end)
        growth = np.exp(stage.tip.decay_per_nm * narrower[part])
        growth *= _flickering(stage, growth.size, dt_s, rng)
        parts.append(_currents(law, settings, stage, site)[part] * growth[:, None])
    phases = amplifier.clipped(np.concatenate(parts))
    current = phases.mean(axis=1)
    deviation = amplifier.deviation_a(current, settings.integration_s)
    noise = deviation * rng.normal(size=(2, current.size))
    didv = demodulated(phases, modulation) + noise[0] / modulation
    return amplifier.clipped(current + noise[1]), didv * amplifier.passes(settings.modulation_hz)


def point_s(law: SpectrumLaw, settings: SpectrumSettings) -> float:
    """Time of one point of a sweep (s)."""
    return law.settle_s + settings.integration_s


def _currents(law: SpectrumLaw, settings: SpectrumSettings, held: Held, site: Site) -> Doubles:
    """Currents of a tip at rest over a whole sweep, shape (points, phases)."""
    peak = math.sqrt(2) * settings.modulation_v_rms
    ends = settings.start_v, settings.stop_v, settings.at.bias_v
    barrier = Barrier.of(held.tip.decay_per_nm, held.gap_nm)
    span_v = min(ends) - peak, max(ends) + peak
    curve = Curve(law, held.tip.electronic, barrier, span_v, site)
    # The gap was found, or is known, by the current at one bias, whatever the states of the tip.
    scale = held.current_a / abs(float(curve.current(np.array(settings.at.bias_v))))
    return scale * curve.modulated(settings.bias_v, settings.modulation_v_rms)


def _narrower(
    closing_nm: float, points: int, dt_s: float, noise: NoiseLevels, rng: np.random.Generator
) -> Doubles:
    """By how much the gap is narrower than when the feedback let go (nm), shape (points,)."""
    memory, kick = noise.slow_step(dt_s)
    kicks = kick * rng.normal(size=points)
    # The feedback had followed the slow wander up to here; what it had just misread stays.
    wander = np.array(list(accumulate(kicks, lambda nm, push: memory * nm + push)))
    drift = closing_nm * np.arange(1, points + 1) / points
    narrower: Doubles = noise.reading_nm * rng.normal() + wander + drift
    return narrower


def _flickering(held: Held, points: int, dt_s: float, rng: np.random.Generator) -> Doubles:
    """By which factor an apex that switches changes the current, shape (points,)."""
    if held.tip.flicker is None:
        return np.ones(points)
    share, began = _switched(held.tip.flicker, points, dt_s, rng)
    jump = math.exp(held.tip.decay_per_nm * held.switched_nm)
    # What counts is the configuration that the feedback saw last; a new apex it has never seen.
    seen = jump if began and not held.first else 1.0
    return (1 + share * (jump - 1)) / seen


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
