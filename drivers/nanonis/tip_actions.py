"""Actions at the tunnelling contact: pulse, indentation, moving sideways, retuning."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace

from drivers.actions import Indentation, MoveTo, Pulse, RetuneFeedback
from drivers.errors import InstrumentError
from drivers.microscope import Feedback
from drivers.nanonis.codes import PulseHold, PulseReference, SetSwitch, Switch
from drivers.nanonis.height import AVERAGE_S, Height, average_height, jump_m
from drivers.nanonis.rig import Rig
from drivers.nanonis.safe_tip import safe_tip_suspended
from drivers.nanonis.session import X, Y
from drivers.outcome import Outcome, Trace

# After the feedback is back, its transient is not averaged and does not trip SafeTip.
_SETTLE_S = 0.2
_END_WAIT_S = 0.05
_ARRIVED_M = 1e-9


async def pulse(rig: Rig, action: Pulse) -> Outcome:
    """Pulse the bias and compare z before and after."""
    started_s, before = await _prepare(rig, action)
    lifted = rig.z.held(action.z_offset_m) if action.z_offset_m else nullcontext()
    async with safe_tip_suspended(rig, action.width_s + _SETTLE_S) as suspension:
        async with rig.recorder.recording() as recording, lifted:
            await rig.session.block(
                "Bias.Pulse",
                action.width_s,
                wait=1,
                width_s=action.width_s,
                bias_v=rig.point.controller_bias(action.bias_v),
                hold=PulseHold.HOLD if action.feedback == "held" else PulseHold.RELEASE,
                reference=PulseReference[action.reference.upper()],
            )
        await rig.session.pause(_SETTLE_S)
    outcome = await _compare(rig, started_s, before, recording.trace())
    return replace(outcome, notes=suspension.notes)


async def indent(rig: Rig, action: Indentation) -> Outcome:
    """Push the tip into the sample with the tip shaper and compare z before and after."""
    started_s, before = await _prepare(rig, action)
    # Every property is written, so that nothing of an earlier use decides what happens.
    contact_v = rig.point.controller_bias(action.contact_bias_v)
    await rig.settings.borrow(
        "TipShaper.Props",
        switch_off_delay_s=action.average_s,
        # The contact bias is set before the ramp, so that contact is made at it.
        change_bias=SetSwitch.ON,
        bias_v=contact_v,
        tip_lift_m=-action.depth_m,
        lift_time_1_s=action.approach_time_s,
        bias_lift_v=contact_v,
        bias_settling_s=action.dwell_s,
        lift_height_m=action.lift_m,
        lift_time_2_s=action.lift_time_s,
        end_wait_s=_END_WAIT_S,
        restore_feedback=SetSwitch.ON if action.restore_feedback else SetSwitch.OFF,
    )
    ramps_s = action.approach_time_s + action.lift_time_s
    # The bias settles twice: before the ramp down and in contact.
    duration_s = action.average_s + ramps_s + 2 * action.dwell_s + _END_WAIT_S
    async with safe_tip_suspended(rig, duration_s + _SETTLE_S) as suspension:
        async with rig.recorder.recording() as recording:
            await rig.session.block("TipShaper.Start", duration_s, wait=1, timeout_ms=-1)
        if action.restore_feedback:
            await rig.z.expect_on()
        await rig.session.pause(_SETTLE_S)
    await rig.settings.give_back("TipShaper.Props")
    if action.restore_feedback:
        outcome = await _compare(rig, started_s, before, recording.trace())
    else:
        outcome = Outcome(started_s, rig.session.clock.now(), before.z_m, trace=recording.trace())
    return replace(outcome, notes=suspension.notes)


async def move_to(rig: Rig, action: MoveTo) -> Outcome:
    """Move the tip sideways and make sure that it arrived.

    Raises:
        InstrumentError: it stopped elsewhere, or the feedback is off at a bias near 0 V.
    """
    session = rig.session
    started_s = session.clock.now()
    if await rig.z.feedback() is not Feedback.WITHDRAWN:
        await rig.z.engage()  # a held tip would be dragged into the next step edge
    await rig.settings.borrow("FolMe.Speed", speed_m_per_s=action.speed_m_per_s, custom=Switch.ON)
    x_m, y_m = await session.signals(X, Y)
    distance_m = math.hypot(action.x_m - x_m, action.y_m - y_m)
    move_s = distance_m / action.speed_m_per_s
    async with session.stopping("FolMe.Stop"):
        await session.block("FolMe.XYPosSet", move_s, x_m=action.x_m, y_m=action.y_m, wait=1)
    found = await session.read("FolMe.XYPosGet", wait_newest=1)
    if math.hypot(action.x_m - found["x_m"], action.y_m - found["y_m"]) > _ARRIVED_M:
        raise InstrumentError(
            f"the tip was sent to ({action.x_m * 1e9:.1f}, {action.y_m * 1e9:.1f}) nm and stands "
            f"at ({found['x_m'] * 1e9:.1f}, {found['y_m'] * 1e9:.1f}) nm; was it stopped?"
        )
    await rig.settings.give_back("FolMe.Speed")
    return Outcome(started_s, session.clock.now())


async def retune(rig: Rig, action: RetuneFeedback) -> Outcome:
    """Set the gains of the feedback; they stay, because that is the purpose."""
    started_s = rig.session.clock.now()
    await rig.settings.write(
        "ZCtrl.Gain",
        p_gain_m=action.p_gain_m,
        time_constant_s=action.time_constant_s,
        i_gain_m_per_s=action.p_gain_m / action.time_constant_s,
    )
    return Outcome(started_s, rig.session.clock.now())


async def _prepare(rig: Rig, action: Pulse | Indentation) -> tuple[float, Height]:
    started_s = rig.session.clock.now()
    await rig.point.engage(action.at)
    seconds = max(AVERAGE_S, action.average_s) if isinstance(action, Indentation) else AVERAGE_S
    return started_s, await average_height(rig.session, seconds)


async def _compare(rig: Rig, started_s: float, before: Height, trace: Trace | None) -> Outcome:
    await rig.z.expect_on()
    after = await average_height(rig.session)
    return Outcome(
        started_s=started_s,
        finished_s=rig.session.clock.now(),
        z_before_m=before.z_m,
        z_after_m=after.z_m,
        z_jump_m=jump_m(before, after),
        trace=trace,
    )
