"""Coarse motion: every step counted, and never sideways before the tip is far from the sample."""

from __future__ import annotations

from contextlib import suppress

from drivers.actions import Approach, CoarseMove
from drivers.errors import ApproachFailed, InstrumentError
from drivers.microscope import Feedback
from drivers.nanonis.codes import MotorDirection, Switch
from drivers.nanonis.height import average_height
from drivers.nanonis.rig import Rig
from drivers.nanonis.session import CURRENT
from drivers.outcome import Outcome

# Few enough steps at once that a stop comes soon.
_BLOCK_STEPS = 50
_STEP_S = 0.1
# Away from the sample only the offset of the preamplifier is left.
_NO_CURRENT_A = 20e-12
_NO_CURRENT_FRACTION = 0.1
_CURRENT_READINGS = 16
_POLL_S = 0.2
_CONTACT_S = 5.0
_CONTACT_FRACTION = 0.5
_DRIFT_WINDOW_S = 5.0
_NO_RESET = {"reset_x": 0, "reset_y": 0, "reset_z": 0}


async def coarse_move(rig: Rig, action: CoarseMove) -> Outcome:
    """Withdraw, retract and check it, then step sideways.

    Raises:
        ConfigError: the address does not say which motor direction retracts.
        InstrumentError: the motor did not count the steps, or the current did not vanish.
    """
    started_s = rig.session.clock.now()
    away = rig.session.options.retract_direction
    await _count(rig)  # without a step counter nothing is moved
    await rig.z.withdraw()
    async with rig.session.stopping("Motor.StopMove"):
        await _retract(rig, away, action.retract_steps)
        await _sideways(rig, MotorDirection.X_PLUS, MotorDirection.X_MINUS, action.x_steps)
        await _sideways(rig, MotorDirection.Y_PLUS, MotorDirection.Y_MINUS, action.y_steps)
    return Outcome(started_s, rig.session.clock.now())


async def approach(rig: Rig, action: Approach) -> Outcome:
    """Approach automatically, then wait until z stands still.

    Raises:
        ApproachFailed: no contact within the steps or the time, or z does not settle; the approach
            was stopped and the tip withdrawn.
    """
    session = rig.session
    started_s = session.clock.now()
    await session.call("AutoApproach.Open")
    await rig.point.set(action.at)
    try:
        await _reach_contact(rig, action)
        rig.retracted_steps = 0
        await _settle(rig, action)
    except ApproachFailed:
        await rig.z.withdraw()
        raise
    except BaseException:
        # Also when the caller gives up waiting: the motor must not go on by itself.
        with suppress(InstrumentError):
            await rig.z.withdraw()
        raise
    return Outcome(started_s, session.clock.now())


async def _reach_contact(rig: Rig, action: Approach) -> None:
    session = rig.session
    start = (await _count(rig))["z"]
    deadline_s = session.clock.now() + action.timeout_s
    await session.call("AutoApproach.OnOffSet", status=Switch.ON)
    while (await session.read("AutoApproach.OnOffGet"))["status"] is Switch.ON:
        steps = abs((await _count(rig))["z"] - start)
        if steps > action.max_steps:
            raise ApproachFailed(f"no tunnelling contact within {action.max_steps} coarse steps")
        if session.clock.now() > deadline_s:
            raise ApproachFailed(
                f"no tunnelling contact within {action.timeout_s:g} s, after {steps} coarse steps"
            )
        await session.pause(_POLL_S)

    async def in_contact() -> bool:
        if await rig.z.feedback() is not Feedback.ON:
            return False
        (current_a,) = await session.signals(CURRENT, newest=True)
        return abs(current_a) >= _CONTACT_FRACTION * action.at.setpoint_a

    if not await session.until(in_contact, every_s=_POLL_S, within_s=_CONTACT_S):
        raise ApproachFailed("the approach ended by itself without tunnelling contact")


async def _settle(rig: Rig, action: Approach) -> None:
    deadline_s = rig.session.clock.now() + action.settle_timeout_s
    while True:
        height = await average_height(rig.session, _DRIFT_WINDOW_S)
        await rig.z.expect_on()
        if abs(height.drift_m_per_s) < action.max_drift_m_per_s:
            return
        if rig.session.clock.now() > deadline_s:
            raise ApproachFailed(
                f"z still drifts by {height.drift_m_per_s * 1e12:.0f} pm/s "
                f"{action.settle_timeout_s:g} s after the approach"
            )


async def _expect_no_current(rig: Rig) -> None:
    readings = [
        (await rig.session.signals(CURRENT, newest=True))[0] for _ in range(_CURRENT_READINGS)
    ]
    mean_a = sum(readings) / len(readings)
    _, setpoint_a = await rig.point.get()
    allowed_a = max(_NO_CURRENT_A, _NO_CURRENT_FRACTION * abs(setpoint_a))
    if abs(mean_a) > allowed_a:
        raise InstrumentError(
            f"{mean_a * 1e12:.0f} pA flow although the tip was retracted, where at most "
            f"{allowed_a * 1e12:.0f} pA may; check that z_retract names the direction away from "
            "the sample and that the preamplifier has no offset"
        )


async def _retract(rig: Rig, away: MotorDirection, steps: int) -> None:
    # One step first, then twice as many each time: should the direction be wrong after all, the
    # current tells before the tip has gone far into the sample.
    block = 1
    await _expect_no_current(rig)
    while steps:
        block = min(block, steps, _BLOCK_STEPS)
        await _step(rig, away, block)
        await _expect_no_current(rig)
        rig.retracted_steps += block
        steps -= block
        block *= 2


async def _sideways(rig: Rig, plus: MotorDirection, minus: MotorDirection, steps: int) -> None:
    direction, left = (plus if steps > 0 else minus), abs(steps)
    while left:
        block = min(left, _BLOCK_STEPS)
        await _step(rig, direction, block)
        # Tilted samples come nearer on the way, and edges stick out.
        await _expect_no_current(rig)
        left -= block


async def _step(rig: Rig, direction: MotorDirection, steps: int) -> None:
    """Make ``steps`` coarse steps at once and check with the counter that they were made."""
    axis = direction.name[0].lower()
    before = (await _count(rig))[axis]
    await rig.session.block(
        "Motor.StartMove",
        steps * _STEP_S,
        direction=direction,
        steps=steps,
        group=rig.session.options.motor_group,
        wait=1,
    )
    counted = abs((await _count(rig))[axis] - before)
    if counted != steps:
        raise InstrumentError(
            f"the motor counted {counted} of {steps} steps {direction.name}; nothing further "
            "was moved; look at the instrument before going on"
        )


async def _count(rig: Rig) -> dict[str, int]:
    return await rig.session.read("Motor.StepCounterGet", **_NO_RESET)
