"""The Nanonis microscope when the controller does not do what it was told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.actions import Approach, Indentation, MoveTo, Pulse
from drivers.clock import ScaledClock
from drivers.errors import (
    ApproachFailed,
    ConnectionFailed,
    ContactLost,
    InstrumentError,
    OutcomeUnknown,
)
from drivers.microscope import Capability
from drivers.nanonis.codes import LoggerStatus, ScanAction, ScanDirection, Switch, ZStatus
from drivers.nanonis.commands import SIMULATED_PRODUCT
from drivers.nanonis.logger import LogFrame, Recording
from drivers.nanonis.microscope import NanonisMicroscope
from drivers.registry import open_microscope
from tests.drivers.nanonis_fake import AT, PORT, SCAN, TOP_M, Controller, meet, whole_scan

PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1, z_offset_m=1e-9)
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=2e-9)


def test_a_feedback_that_does_not_let_go_is_not_pulsed_through():
    class Clinging(Controller):
        async def do_zctrl_onoffset(self, status: Switch) -> None:
            pass

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(ContactLost, match="does not let go"):
            await microscope.perform(PULSE)
        assert "Bias.Pulse" not in fake.names()

    meet(test, Clinging())


def test_a_tip_that_does_not_lift_is_not_pulsed():
    class Stuck(Controller):
        async def do_zctrl_zposset(self, z_m: float) -> None:
            pass

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(OutcomeUnknown, match="should have been lifted by 1 nm"):
            await microscope.perform(PULSE)
        assert "Bias.Pulse" not in fake.names()
        assert fake.status is ZStatus.ON  # the feedback has the tip again

    meet(test, Stuck())


def test_a_feedback_that_does_not_come_back_is_said():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.stuck_status = ZStatus.SAFE_TIP
        with pytest.raises(ContactLost, match="SAFE_TIP"):
            await microscope.perform(PULSE)

    meet(test)


def test_the_z_limit_counts_as_the_end_of_the_range():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["ZCtrl.LimitsEnabled"]["status"] = Switch.ON
        fake.store["ZCtrl.Limits"] = {"high_m": 50e-9, "low_m": -50e-9}
        fake.status, fake.z_m = ZStatus.OFF, 50e-9
        with pytest.raises(ContactLost, match="withdrawn"):
            await microscope.perform(PULSE)

    meet(test)


def test_the_state_tells_the_z_limits_in_force():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["ZCtrl.Limits"] = {"high_m": 50e-9, "low_m": -40e-9}
        state = await microscope.state()
        assert state.z_limits_m is None
        assert state.z_reach_m == pytest.approx((-TOP_M, TOP_M))
        fake.store["ZCtrl.LimitsEnabled"]["status"] = Switch.ON
        state = await microscope.state()
        assert state.z_limits_m == pytest.approx((-40e-9, 50e-9))
        assert state.z_reach_m == state.z_limits_m

    meet(test)


def test_a_bias_somebody_else_sets_is_noticed():
    class Contested(Controller):
        somebody_v: float | None = 0.77

        async def do_bias_set(self, bias_v: float) -> None:
            self.store["Bias."]["bias_v"] = self.somebody_v or bias_v

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match=r"reads 0\.77 V"):
            await microscope.perform(PULSE)
        fake.somebody_v = None

    meet(test, Contested())


def test_a_tip_that_cannot_be_withdrawn_after_a_failed_approach_is_worse_than_the_failure():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.steps_to_contact, fake.withdraw_works = 10**6, False
        with pytest.raises(OutcomeUnknown, match="upper end") as caught:
            await microscope.perform(Approach(at=AT, max_steps=2))
        assert isinstance(caught.value.__cause__.__context__, ApproachFailed)

    meet(test)


def test_a_move_nobody_waits_for_is_stopped():
    class Slow(Controller):
        async def do_folme_xyposset(self, x_m: float, y_m: float, wait: int) -> None:
            await asyncio.sleep(100)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        move = microscope.perform(MoveTo(x_m=1e-8, y_m=0, speed_m_per_s=1e-9))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(move, 1.0)
        assert "FolMe.Stop" in fake.names()

    meet(test, Slow())


def test_settings_that_cannot_be_put_back_are_named_and_the_rest_is():
    fake = Controller()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        fake.refuse = {"Scan.SpeedSet"}
        with pytest.raises(InstrumentError, match=r"Scan\.Speed.*by hand"):
            await microscope.close()

    meet(test, fake)
    assert fake.store["Scan.Frame"]["width_m"] == pytest.approx(1e-7)
    assert fake.store["Bias."]["bias_v"] == pytest.approx(0.5)


def test_a_scan_may_take_a_moment_to_begin():
    class Hesitant(Controller):
        async def scan(self, direction: ScanDirection) -> None:
            self.hesitating = True
            await asyncio.sleep(2)
            self.hesitating = False
            await super().scan(direction)

        async def do_scan_statusget(self) -> dict[str, Any]:
            if getattr(self, "hesitating", False):
                return {"status": Switch.OFF}
            return await super().do_scan_statusget()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        slow = SCAN.model_copy(update={"forward_s": 1.0, "backward_s": 1.0})
        assert len(await whole_scan(microscope, slow)) == 6

    meet(test, Hesitant())


def test_a_picture_of_another_shape_is_an_error():
    class Resized(Controller):
        async def scan(self, direction: ScanDirection) -> None:
            self.pictures = self.pictures[:, :3]
            await asyncio.sleep(100)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match=r"shape \(3, 16\)"):
            await whole_scan(microscope, SCAN)
        await fake.do_scan_action(ScanAction.STOP, ScanDirection.DOWN)

    meet(test, Resized())


def test_a_controller_without_any_scan_yet_can_scan():
    class Fresh(Controller):
        async def scan(self, direction: ScanDirection) -> None:
            self.refuse.discard("Scan.FrameDataGrab")
            await super().scan(direction)

    fake = Fresh()
    fake.refuse = {"Scan.FrameDataGrab"}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert len(await whole_scan(microscope, SCAN)) == 6

    meet(test, fake)


@pytest.mark.parametrize("text", ["time_scale=-1", "time_scale=1e999", "time_scale=--"])
def test_a_simulated_controller_with_an_absurd_time_scale_is_refused(text: str):
    fake = Controller()
    fake.version = (SIMULATED_PRODUCT, text, 13742)
    with pytest.raises(InstrumentError, match="no time scale"):
        meet(lambda *_: asyncio.sleep(0), fake)


def test_a_logger_in_use_is_left_alone(caplog: pytest.LogCaptureFixture):
    class Busy(Controller):
        async def do_tcplog_statusget(self) -> dict[str, Any]:
            return {"status": LoggerStatus.RUNNING}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert Capability.TRACES in microscope.capabilities
        assert (await microscope.perform(DIP)).trace is None
        assert "TCPLog.ChsSet" not in fake.names()
        assert "somebody else" in caplog.text

    meet(test, Busy(), log_port=PORT + 89)


async def test_a_recording_of_other_channels_is_no_trace(caplog: pytest.LogCaptureFixture):
    recording = Recording(ScaledClock(), (0, 1))
    recording.data_received(LogFrame(1, 4, 1.0, (1.0, 2.0, 3.0)).encode())
    assert recording.trace() is None
    assert "3 channels" in caplog.text


async def test_a_damaged_recording_is_no_trace(caplog: pytest.LogCaptureFixture):
    recording = Recording(ScaledClock(), (0, 1))
    recording.data_received(b"\xff" * 18)
    recording.data_received(LogFrame(1, 4, 1.0, (1.0, 2.0)).encode())
    assert recording.trace() is None
    assert "claims" in caplog.text


async def test_an_empty_recording_is_no_trace():
    assert Recording(ScaledClock(), (0, 1)).trace() is None


async def test_the_scheme_leads_here():
    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:1 "):
        await open_microscope("nanonis://127.0.0.1:1")
