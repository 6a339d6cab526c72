"""The Nanonis microscope against a small scripted controller: coarse."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.actions import (
    Approach,
    CoarseMove,
    Indentation,
    Pulse,
)
from drivers.errors import (
    ApproachFailed,
    ConfigError,
    InstrumentError,
    OutcomeUnknown,
)
from drivers.microscope import Capability, Feedback
from drivers.nanonis.codes import (
    MotorDirection,
    Switch,
    ZStatus,
)
from drivers.nanonis.microscope import NanonisMicroscope
from tests.drivers.nanonis_fake import (
    AT,
    TOP_M,
    Controller,
    meet,
)

DIP = Indentation(at=AT, depth_m=1e-9, lift_m=2e-9)
PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)
APPROACH = Approach(at=AT, max_steps=20, timeout_s=60)


def test_coarse_motion_retracts_and_checks_before_it_goes_sideways():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(CoarseMove(x_steps=-60, y_steps=7, retract_steps=40))
        moves = [(v["direction"], v["steps"]) for v in fake.values("Motor.StartMove")]
        retract = [steps for direction, steps in moves if direction is MotorDirection.Z_MINUS]
        assert retract == [1, 2, 4, 8, 16, 9]
        assert moves[len(retract) :] == [
            (MotorDirection.X_MINUS, 50),
            (MotorDirection.X_MINUS, 10),
            (MotorDirection.Y_PLUS, 7),
        ]
        assert fake.counter == {"x": -60, "y": 7, "z": -40}
        assert fake.names().index("ZCtrl.Withdraw") < fake.names().index("Motor.StartMove")
        assert (await microscope.state()).retracted_steps == 40

    meet(test, query="z_retract=Z-")


def test_coarse_motion_needs_to_know_the_direction_away_from_the_sample():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert Capability.COARSE not in microscope.capabilities
        with pytest.raises(ConfigError, match="z_retract"):
            await microscope.perform(CoarseMove(x_steps=1, y_steps=0, retract_steps=20))
        assert "Motor.StartMove" not in fake.names()

    meet(test)


def test_a_motor_that_slips_does_not_go_sideways():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.motor_slips = 1
        with pytest.raises(OutcomeUnknown, match="counted"):
            await microscope.perform(CoarseMove(x_steps=5, y_steps=0, retract_steps=20))
        assert fake.counter["x"] == 0
        assert fake.names()[-1] == "Motor.StopMove"
        assert (await microscope.state()).retracted_steps == 0

    meet(test, query="z_retract=Z%2B")


def test_a_current_that_does_not_vanish_forbids_coarse_motion():
    class InContact(Controller):
        async def do_zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
            self.status, self.z_m = ZStatus.OFF, TOP_M

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match="100 pA"):
            await microscope.perform(CoarseMove(x_steps=5, y_steps=0, retract_steps=20))
        assert "Motor.StartMove" not in fake.names()

    meet(test, InContact(), query="z_retract=Z-")


def test_an_approach_ends_in_contact():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(CoarseMove(x_steps=1, y_steps=0, retract_steps=4))
        await microscope.perform(APPROACH)
        state = await microscope.state()
        assert (state.feedback, state.retracted_steps) == (Feedback.ON, 0)
        assert state.setpoint_a == pytest.approx(100e-12)
        assert state.bias_v == pytest.approx(1.0)

    meet(test, query="z_retract=Z-")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"max_steps": 5}, "5 coarse steps"), ({"timeout_s": 1.0, "max_steps": 5000}, "within 1 s")],
)
def test_an_approach_without_contact_is_stopped_and_withdrawn(change, complaint):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.withdraw()
        fake.steps_to_contact = 10**6
        with pytest.raises(ApproachFailed, match=complaint):
            await microscope.perform(APPROACH.model_copy(update=change))
        assert not fake.approaching
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN

    meet(test)


def test_an_approach_nobody_waits_for_any_more_is_stopped():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.steps_to_contact = 10**6
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(microscope.perform(APPROACH), 2.0)
        assert not fake.approaching
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN

    meet(test)


def test_an_approach_that_ends_without_current_has_failed():
    class Nothing(Controller):
        async def do_autoapproach_onoffget(self) -> dict[str, Any]:
            self.current_a = 0.0
            return {"status": Switch.OFF}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(ApproachFailed, match="without tunnelling contact"):
            await microscope.perform(APPROACH)

    meet(test, Nothing())


def test_a_tip_that_keeps_drifting_has_not_settled():
    class Drifting(Controller):
        async def do_signals_valsget(self, indexes: tuple, wait_newest: int) -> dict[str, Any]:
            if self.status is ZStatus.ON:
                self.z_m = asyncio.get_running_loop().time() * 50e-12
            return await super().do_signals_valsget(indexes, wait_newest)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(ApproachFailed, match="50 pm/s"):
            await microscope.perform(APPROACH.model_copy(update={"settle_timeout_s": 20.0}))
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN

    meet(test, Drifting())
