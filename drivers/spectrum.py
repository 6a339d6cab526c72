"""Spectra at a point: the settings that make one, and current and dI/dV against bias.

The feedback is held at a tunnelling point and the bias is swept. A lock-in amplifier modulates it
and shows dI/dV. The sharpest line it can resolve is sqrt(6) = 2.45 times the modulation (rms) wide
at half maximum (Klein et al., Phys. Rev. B 7, 2336 (1973)), and never less than 3.5 kT.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from drivers.actions import Finite, Positive, TunnellingPoint


class SpectrumSettings(BaseModel):
    """Everything that decides how a spectrum is taken.

    Attributes:
        start_v: first bias of the sweep (V).
        stop_v: last bias of the sweep (V).
        points: number of biases, evenly spaced, both ends included.
        at: tunnelling point at which the feedback lets go of the tip, and to which it comes back.
        modulation_v_rms: modulation of the bias by the lock-in amplifier (V, rms).
        modulation_hz: its frequency (Hz).
        integration_s: how long each point is averaged (s).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start_v: Finite
    stop_v: Finite
    points: Annotated[int, Field(ge=2)]
    at: TunnellingPoint
    modulation_v_rms: Positive
    modulation_hz: Positive
    integration_s: Positive

    @model_validator(mode="after")
    def _can_be_taken(self) -> Self:
        if self.start_v == self.stop_v:
            raise ValueError("start_v and stop_v are equal: there is nothing to sweep")
        if self.at.bias_v == 0:
            raise ValueError("at.bias_v is zero: no current flows for the feedback to hold")
        if self.integration_s * self.modulation_hz < 1:
            raise ValueError(
                f"integration_s {self.integration_s:g} is shorter than one period of the "
                f"modulation at {self.modulation_hz:g} Hz"
            )
        return self

    @property
    def bias_v(self) -> NDArray[np.float64]:
        """The biases in the order of the sweep (V), shape (points,)."""
        return np.linspace(self.start_v, self.stop_v, self.points)

    @property
    def peak_v(self) -> float:
        """Largest magnitude of the bias during the sweep (V), modulation included."""
        ends = abs(self.start_v), abs(self.stop_v)
        return max(ends) + math.sqrt(2) * self.modulation_v_rms

    @property
    def averaging_s(self) -> float:
        """Time of all averaging (s): the tip is without feedback for at least as long."""
        return self.points * self.integration_s


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A spectrum with what is known of how it was taken.

    Attributes:
        bias_v: sample bias, shape (points,).
        current_a: averaged current, clipped where the preamplifier clips, shape (points,).
        didv_s: dI/dV as the lock-in amplifier shows it (S), shape (points,); smaller than the
            slope of the current by what the preamplifier lets through at ``modulation_hz``.
        settings: how it was taken.
        x_m: position of the tip (m).
        y_m: position of the tip (m).
        started_s: instrument time when the feedback let go (s).
        finished_s: instrument time when it was closed again (s).
        z_jump_m: height under feedback at ``settings.at`` after less before, drift subtracted (m);
            None where the instrument does not tell. Far from zero, the sweep has changed the tip
            or the surface.
        source: controller or file it came from.
    """

    bias_v: NDArray[np.float64]
    current_a: NDArray[np.float32]
    didv_s: NDArray[np.float32]
    settings: SpectrumSettings
    x_m: float
    y_m: float
    started_s: float
    finished_s: float
    z_jump_m: float | None = None
    source: str | None = None
