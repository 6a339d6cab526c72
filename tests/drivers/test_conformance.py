"""The checks of drivers find what is wrong with one, and nothing with one that is right."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drivers import (
    Action,
    Capability,
    Feedback,
    MicroscopeState,
    Outcome,
    ScanLine,
    ScanSettings,
    Spectrum,
    SpectrumSettings,
    TunnellingPoint,
    VirtualClock,
)
from drivers.conformance import spectrum_faults

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
SWEEP = SpectrumSettings(
    start_v=-0.2,
    stop_v=0.3,
    points=11,
    at=AT,
    modulation_v_rms=0.01,
    modulation_hz=700.0,
    integration_s=0.1,
)


class Mute:
    """An instrument that claims more than it can."""

    name = "fake"
    capabilities = frozenset(Capability)

    def __init__(self, state: dict[str, Any] | None = None, **wrong: Any) -> None:
        self.clock = VirtualClock()
        self.state_changes = state or {}
        self.wrong = wrong

    async def state(self) -> MicroscopeState:
        plain = MicroscopeState(
            time_s=self.clock.now(),
            bias_v=0.5,
            setpoint_a=50e-12,
            current_a=50e-12,
            x_m=0.0,
            y_m=0.0,
            z_m=0.0,
            feedback=Feedback.ON,
            scanning=False,
            range_m=(800e-9, 800e-9, 200e-9),
        )
        return replace(plain, **self.state_changes)

    async def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        for _ in ():
            yield

    async def perform(self, action: Action) -> Outcome:
        raise NotImplementedError

    async def withdraw(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Sweeping(Mute):
    """An instrument that takes spectra, right but for what it was told to do wrong."""

    async def spectrum(self, settings: SpectrumSettings) -> Spectrum:
        started = self.clock.now()
        await self.clock.sleep(self.wrong.get("takes_s", settings.averaging_s))
        flat = np.zeros(settings.points, np.float32)
        plain = Spectrum(settings.bias_v, flat, flat, settings, 0.0, 0.0, started, self.clock.now())
        changes = {k: v for k, v in self.wrong.items() if hasattr(plain, k)}
        return replace(plain, **changes)


async def test_a_driver_that_keeps_its_promises_has_no_faults() -> None:
    assert await spectrum_faults(Sweeping(), SWEEP) == []


async def test_a_driver_without_spectra_has_none_to_answer_for() -> None:
    microscope = Mute()
    microscope.capabilities = frozenset({Capability.SCAN})
    assert await spectrum_faults(microscope, SWEEP) == []


async def test_a_claim_needs_a_method() -> None:
    assert "no such method" in (await spectrum_faults(Mute(), SWEEP))[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"bias_v": SWEEP.bias_v[::-1]}, "biases are not those"),
        ({"current_a": np.zeros(3, np.float32)}, r"shape \(11,\)"),
        ({"didv_s": np.full(11, np.nan, np.float32)}, "not finite"),
        ({"settings": SWEEP.model_copy(update={"start_v": -0.3})}, "settings are not"),
        ({"finished_s": 99.0}, "do not lie in order"),
        ({"started_s": -1.0}, "do not lie in order"),
        ({"takes_s": 0.5}, "not charged"),
        ({"state": {"feedback": Feedback.HELD}}, "not closed again"),
        ({"state": {"setpoint_a": 80e-12}}, "setpoint"),
        ({"state": {"bias_v": 0.3}}, "did not come back"),
    ],
)
async def test_what_is_wrong_is_said(wrong: dict[str, object], says: str) -> None:
    faults = await spectrum_faults(Sweeping(**wrong), SWEEP)
    assert any(re.search(says, fault) for fault in faults)
    assert all(fault.startswith("fake: ") for fault in faults)
