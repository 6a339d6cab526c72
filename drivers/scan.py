"""Scans: the settings that make one, the lines it arrives in, and the picture they add up to.

Conventions: z in metres, positive away from the sample. Row 0 is the top edge (highest local y),
column 0 the lowest local x, for the forward and for the backward picture alike. A frame's angle is
in degrees, clockwise positive. What was not scanned is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drivers.actions import Finite, Positive, TunnellingPoint

Image = NDArray[np.float32]
Direction = Literal["up", "down"]
#: ``height`` is what the feedback followed; ``log_current`` an apparent height, taken from the
#: current of a scan at constant height.
Quantity = Literal["height", "log_current"]

#: 2 kappa = 10.25 sqrt(phi / eV) per nm for phi = 4.5 eV (Binnig and Rohrer, 1982).
DECAY_PER_M = 21.7e9
#: Currents below this are amplifier noise.
NOISE_A = 1e-12


class Frame(BaseModel):
    """Where a scan lies: centre, size (m) and angle (degrees, clockwise positive)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    x_m: Finite
    y_m: Finite
    width_m: Positive
    height_m: Positive
    angle_deg: Finite = 0.0

    def to_sample(self, u_m: float, v_m: float) -> tuple[float, float]:
        """Sample coordinates (m) of the point ``(u, v)``, in metres from the centre."""
        angle = math.radians(-self.angle_deg)
        cos, sin = math.cos(angle), math.sin(angle)
        return self.x_m + u_m * cos - v_m * sin, self.y_m + u_m * sin + v_m * cos


class ScanSettings(BaseModel):
    """Everything that decides how a scan is taken.

    Attributes:
        frame: where.
        pixels: points per line; controllers want a multiple of 16.
        lines: number of lines.
        forward_s: time of one forward line (s).
        backward_s: time of one backward line (s).
        at: tunnelling point of the scan.
        direction: ``down`` starts with the top row, ``up`` with the bottom row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    frame: Frame
    pixels: Annotated[int, Field(ge=16, multiple_of=16)]
    lines: Annotated[int, Field(ge=1)]
    forward_s: Positive
    backward_s: Positive
    at: TunnellingPoint
    direction: Direction = "down"

    @property
    def line_s(self) -> float:
        """Time of one line, forward and backward (s)."""
        return self.forward_s + self.backward_s

    @property
    def speed_m_per_s(self) -> float:
        """Fastest lateral speed of the tip (m/s)."""
        return self.frame.width_m / min(self.forward_s, self.backward_s)

    def row_of(self, index: int) -> int:
        """Row of the picture that the ``index``-th scanned line fills."""
        return index if self.direction == "down" else self.lines - 1 - index


@dataclass(frozen=True, slots=True)
class ScanLine:
    """One line as it arrives.

    Attributes:
        index: 0 for the first line that was scanned.
        row: row of the picture it fills.
        forward_m: z of the forward line, shape (pixels,).
        backward_m: z of the backward line, column 0 at the lowest x like the forward line; None
            where the instrument records one direction only.
        time_s: instrument time when the line was complete (s).
    """

    index: int
    row: int
    forward_m: Image
    backward_m: Image | None
    time_s: float


@dataclass(frozen=True, slots=True)
class Scan:
    """A topograph with what is known of how it was taken.

    Attributes:
        forward: z, shape (lines, pixels), NaN where not scanned; metres if ``scale_known``.
        backward: the same on the way back, or None.
        frame: where, or None if the file does not say.
        bias_v: bias (V) or None.
        setpoint_a: current setpoint (A) or None.
        forward_s: time of one forward line (s) or None.
        direction: slow direction.
        quantity: what the pictures show.
        scale_known: whether z is in metres rather than in arbitrary units.
        started: when it was taken, as the source writes it.
        source: controller or file it came from.
    """

    forward: Image
    backward: Image | None = None
    frame: Frame | None = None
    bias_v: float | None = None
    setpoint_a: float | None = None
    forward_s: float | None = None
    direction: Direction = "down"
    quantity: Quantity = "height"
    scale_known: bool = True
    started: str | None = None
    source: str | None = None
    comment: str = field(default="", repr=False)

    @property
    def lines_done(self) -> int:
        """Number of rows that hold data."""
        return int(np.isfinite(self.forward).any(axis=1).sum())

    @classmethod
    def blank(cls, settings: ScanSettings, source: str | None = None) -> Scan:
        """A scan of which no line has arrived yet."""
        shape = (settings.lines, settings.pixels)
        return cls(
            forward=np.full(shape, np.nan, np.float32),
            backward=np.full(shape, np.nan, np.float32),
            frame=settings.frame,
            bias_v=settings.at.bias_v,
            setpoint_a=settings.at.setpoint_a,
            forward_s=settings.forward_s,
            direction=settings.direction,
            source=source,
        )

    @classmethod
    def from_lines(
        cls, settings: ScanSettings, lines: Iterable[ScanLine], source: str | None = None
    ) -> Scan:
        """The scan that ``lines`` add up to; rows without a line stay NaN."""
        scan = cls.blank(settings, source)
        one_way = False
        for line in lines:
            scan.forward[line.row] = line.forward_m
            if line.backward_m is None:
                one_way = True
            elif scan.backward is not None:
                scan.backward[line.row] = line.backward_m
        return replace(scan, backward=None) if one_way else scan


def apparent_height(current_a: Image) -> Image:
    """The height that would change a tunnelling current as ``current_a`` varies (m).

    ln|I| / (2 kappa), with the barrier of a clean metal; zero at the noise of the amplifier.
    """
    above_noise = np.maximum(np.abs(current_a), NOISE_A) / NOISE_A
    return (np.log(above_noise) / DECAY_PER_M).astype(np.float32)
