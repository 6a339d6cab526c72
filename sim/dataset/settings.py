"""What a data set is made of, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, get_args

from drivers.actions import TunnellingPoint
from drivers.errors import ConfigError
from drivers.scan import Frame, ScanSettings
from sim.dataset.kinds import TipKind, check_kind
from sim.presets.preset import LARGEST_PIXELS, Preset, load_preset

Format = Literal["sxm", "gsf", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)

LARGEST_COUNT = 10_000_000
LARGEST_BIAS_V = 10.0
#: Speed of a scan whose line time is left open (nm/s).
SPEED_NM_PER_S = 120.0
#: Share of the time of a forward line that the way back takes.
BACKWARD_SHARE = 0.75
#: Share of the piezo range that frames stay away from, for drift and for the lag of the way back.
CLEARANCE = 0.05


@dataclass(frozen=True)
class DatasetSettings:
    """What decides the scans; ``count`` and ``formats`` decide only how much of it is written.

    Attributes:
        surface: name of a preset, or the path of one of one's own.
        tip: kind of the tips.
        seed: with the index of a scan and the name of the preset it decides everything about it.
        pixels: points per line, and lines; those of the preset's usual frame if None.
        size_nm: side of the frame; that of the preset's usual one if None.
        bias_v: bias; that of the preset if None.
        setpoint_pa: current setpoint; that of the preset if None.
        line_s: time of a forward line; at the usual speed if None.

    Raises:
        ConfigError: a value cannot be; the text names it.
        FileError: the preset's file cannot be read.
    """

    surface: str
    tip: TipKind
    seed: int = 1
    pixels: int | None = None
    size_nm: float | None = None
    bias_v: float | None = None
    setpoint_pa: float | None = None
    line_s: float | None = None

    def __post_init__(self) -> None:
        control = self.preset.controller
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        size_nm, pixels = self.frame
        if not 16 <= pixels <= LARGEST_PIXELS or pixels % 16:
            raise ConfigError(
                f"pixels must be a multiple of 16 from 16 to {LARGEST_PIXELS}, got {pixels}"
            )
        largest = control.range_xy_nm * (1 - CLEARANCE)
        finest = self.preset.grid.finest_nm
        if not finest * 16 <= size_nm <= largest:
            raise ConfigError(
                f"size_nm must be from {finest * 16:g} to {largest:g} on {self.preset.name}, "
                f"got {size_nm:g}"
            )
        if self.line_s is not None and not 0.001 <= self.line_s <= 3600:
            raise ConfigError(f"line_s must be from 0.001 to 3600, got {self.line_s:g}")
        _check_point(self.preset, self.point)
        check_kind(self.preset, self.tip)

    @cached_property
    def preset(self) -> Preset:
        """The numbers of the surface."""
        return load_preset(self.surface)

    @property
    def point(self) -> tuple[float, float]:
        """Bias (V) and setpoint (pA), as asked for or as usual on this surface."""
        control = self.preset.controller
        bias = control.bias_v if self.bias_v is None else self.bias_v
        return bias, control.setpoint_pa if self.setpoint_pa is None else self.setpoint_pa

    @property
    def frame(self) -> tuple[float, int]:
        """Side (nm) and points per line, as asked for or as usual on this surface."""
        usual = self.preset.frame
        size_nm = usual.size_nm if self.size_nm is None else self.size_nm
        return size_nm, usual.pixels if self.pixels is None else self.pixels

    def scan(self, x_nm: float, y_nm: float) -> ScanSettings:
        """The scan of a frame around a point."""
        size_nm, pixels = self.frame
        side = size_nm * 1e-9
        forward_s = size_nm / SPEED_NM_PER_S if self.line_s is None else self.line_s
        bias_v, setpoint_pa = self.point
        return ScanSettings(
            frame=Frame(x_m=x_nm * 1e-9, y_m=y_nm * 1e-9, width_m=side, height_m=side),
            pixels=pixels,
            lines=pixels,
            forward_s=forward_s,
            backward_s=forward_s * BACKWARD_SHARE,
            at=TunnellingPoint(bias_v=bias_v, setpoint_a=setpoint_pa * 1e-12),
        )

    def reach_nm(self) -> float:
        """How far from the middle of the scanner a frame may be centred."""
        width = self.preset.controller.range_xy_nm
        return (width * (1 - CLEARANCE) - self.frame[0]) / 2

    def as_dict(self) -> dict[str, object]:
        """Everything that decides the scans, the content of the preset included."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        size_nm, pixels = self.frame
        preset = {"surface": self.preset.name, "preset": self.preset.hash}
        return {**own, "tip": str(self.tip), "size_nm": size_nm, "pixels": pixels, **preset}


def _check_point(preset: Preset, point: tuple[float, float]) -> None:
    bias_v, setpoint_pa = point
    limit_pa = preset.controller.saturation_na * 1e3
    if not 0 < setpoint_pa <= limit_pa:
        raise ConfigError(
            f"setpoint_pa must be above 0 and at most {limit_pa:g}, where the preamplifier "
            f"saturates, got {setpoint_pa:g}"
        )
    least_v = setpoint_pa * 1e-12 / preset.tunnelling.contact_conductance_s
    if not (math.isfinite(bias_v) and least_v < abs(bias_v) <= LARGEST_BIAS_V):
        raise ConfigError(
            f"bias_v must be from {least_v:.2g} to {LARGEST_BIAS_V:g} of either sign to drive "
            f"{setpoint_pa:g} pA through a gap, got {bias_v:g}"
        )
