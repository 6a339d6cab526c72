"""A surface to scan, bare or as it comes, and frames to scan it with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.actions import TunnellingPoint
from drivers.scan import Frame, ScanSettings
from sim.presets.preset import Preset, load_preset

AT = TunnellingPoint(bias_v=0.1, setpoint_a=100e-12)
Settings = Callable[..., ScanSettings]


@pytest.fixture
def preset() -> Preset:
    """Gold under an instrument whose scanner follows at once, with nothing but simple noise."""
    return plain(load_preset("au111"))


def plain(preset: Preset) -> Preset:
    """The preset without what only some instruments show."""
    events = ("mains", "pink", "rattle", "jumps", "glitches")
    return changed(
        preset,
        controller={"scanner": None, "preamplifier": None},
        noise=dict.fromkeys(events),
        motion={"bending": None},
        landing={"trouble": None},
        changes={"within_lines": False},
    )


def changed(preset: Preset, **blocks: dict[str, object]) -> Preset:
    """The preset with some numbers replaced, block by block."""
    fresh = {
        name: getattr(preset, name).model_copy(update=numbers) for name, numbers in blocks.items()
    }
    return preset.model_copy(update=fresh)


@pytest.fixture
def bare(preset: Preset) -> Preset:
    """A flat surface without steps, ridges or adatoms, seen without noise."""
    still = {"law": "uniform", "a": 0.0, "b": 0.0}
    none = type(preset.noise.pixel_pm).model_validate(still)
    return changed(
        preset,
        surface={"tilt_deg": none},
        steps={"trend": 0.0, "jitter": 0.0},
        reconstruction={"amplitude_nm": 0.0},
        adatoms={"per_nm2": 0.0},
        hidden={"change_per_frame": none},
        noise=dict.fromkeys(("pixel_pm", "line_pm", "slow_pm", "line_start_pm", "hum_pm"), none)
        | dict.fromkeys(("pink", "rattle", "jumps", "glitches", "mains")),
        motion=dict.fromkeys(("drift_nm_per_min", "creep_per_decade", "hysteresis"), none)
        | {"bending": None},
    )


@pytest.fixture
def quiet(preset: Preset) -> Preset:
    """The surface as it comes, under a tip that does not change by itself."""
    none = type(preset.noise.pixel_pm)(law="uniform", a=0.0, b=0.0)
    return changed(preset, hidden={"change_per_frame": none})


@pytest.fixture
def frame() -> Settings:
    def settings(
        x_nm: float = 0.0,
        y_nm: float = 0.0,
        size_nm: float = 16.0,
        pixels: int = 64,
        angle_deg: float = 0.0,
        **others: object,
    ) -> ScanSettings:
        where = Frame(
            x_m=x_nm * 1e-9,
            y_m=y_nm * 1e-9,
            width_m=size_nm * 1e-9,
            height_m=size_nm * 1e-9,
            angle_deg=angle_deg,
        )
        plain = {"lines": pixels, "forward_s": 0.2, "backward_s": 0.2, "at": AT}
        return ScanSettings(frame=where, pixels=pixels, **{**plain, **others})

    return settings
