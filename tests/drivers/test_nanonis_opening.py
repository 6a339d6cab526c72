"""The Nanonis microscope against a small scripted controller: opening."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.actions import (
    Approach,
    Indentation,
    Pulse,
    Wait,
)
from drivers.errors import (
    ConfigError,
    ConnectionFailed,
)
from drivers.microscope import Capability, Feedback, Microscope
from drivers.nanonis.codes import (
    ZStatus,
)
from drivers.nanonis.commands import SIMULATED_PRODUCT
from drivers.nanonis.microscope import NanonisMicroscope
from tests.drivers.nanonis_fake import (
    AT,
    SCAN,
    TOP_M,
    Controller,
    meet,
    whole_scan,
)

DIP = Indentation(at=AT, depth_m=1e-9, lift_m=2e-9)
PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)
APPROACH = Approach(at=AT, max_steps=20, timeout_s=60)


def test_it_is_a_microscope_and_says_what_it_can_do():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert isinstance(microscope, Microscope)
        assert microscope.name == "Nanonis V5 V5.4 at 127.0.0.1:6501"
        assert microscope.capabilities == {
            Capability.SCAN,
            Capability.PULSE,
            Capability.INDENT,
            Capability.COARSE,
            Capability.SAFE_TIP,
        }

    meet(test, query="z_retract=Z-")


def test_modules_that_are_not_open_are_no_capabilities():
    fake = Controller()
    fake.refuse = {"TipShaper.PropsGet", "SafeTip.OnOffGet"}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert microscope.capabilities == {Capability.SCAN, Capability.PULSE}

    meet(test, fake)


def test_the_state_is_read_and_nothing_is_written():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        state = await microscope.state()
        assert state.bias_v == pytest.approx(-0.5)  # the sign of this rig
        assert state.setpoint_a == pytest.approx(50e-12)
        assert state.current_a == pytest.approx(100e-12)
        assert state.range_m == pytest.approx((1e-6, 1e-6, 2e-7))
        assert (state.feedback, state.scanning) == (Feedback.ON, False)
        assert fake.names() == []

    meet(test, query="bias_sign=-1")


@pytest.mark.parametrize(
    ("status", "z_m", "feedback"),
    [
        (ZStatus.OFF, 0.0, Feedback.HELD),
        (ZStatus.HOLD, 0.0, Feedback.HELD),
        (ZStatus.OFF, TOP_M, Feedback.WITHDRAWN),
        (ZStatus.SAFE_TIP, TOP_M, Feedback.WITHDRAWN),
        (ZStatus.WITHDRAWING, 0.0, Feedback.WITHDRAWN),
        (ZStatus.SWITCHING_OFF, 0.0, Feedback.ON),
    ],
)
def test_what_the_z_controller_does_is_recognised(status, z_m, feedback):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.status, fake.z_m = status, z_m
        assert (await microscope.state()).feedback is feedback

    meet(test)


def test_an_old_controller_that_does_not_know_its_version_is_spoken_to_in_the_oldest_layouts():
    fake = Controller()
    fake.version = ("", "", 10862)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert microscope.name == "Nanonis at 127.0.0.1:6501"
        await whole_scan(microscope, SCAN)

    meet(test, fake)


def test_the_simulated_controller_brings_its_time_scale():
    fake = Controller()
    fake.version = (SIMULATED_PRODUCT, "0.1.0 time_scale=100", 13742)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert microscope.clock.scale == 100
        before = asyncio.get_running_loop().time()
        await microscope.perform(Wait(seconds=10))
        assert asyncio.get_running_loop().time() - before == pytest.approx(0.1)

    meet(test, fake, query="time_scale=100")


@pytest.mark.parametrize("product", [SIMULATED_PRODUCT, "Nanonis V5"])
def test_a_time_scale_that_is_not_the_controllers_is_refused(product):
    fake = Controller()
    fake.version = (product, "0.1.0 time_scale=100", 13742)
    with pytest.raises(ConfigError, match="time_scale=10 "):
        meet(lambda *_: asyncio.sleep(0), fake, query="time_scale=10")


def test_a_controller_without_the_signals_of_an_stm_is_refused():
    class Afm(Controller):
        async def do_signals_namesget(self) -> dict[str, Any]:
            return {"names": ("Phase (deg)",)}

    with pytest.raises(ConnectionFailed, match="Current"):
        meet(lambda *_: asyncio.sleep(0), Afm())
