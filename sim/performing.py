"""Whole actions of the drivers' vocabulary, put together from the operations of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.actions import (
    Action,
    Approach,
    CoarseMove,
    Indentation,
    MoveTo,
    Pulse,
    RetuneFeedback,
    Wait,
)
from drivers.errors import ApproachFailed
from drivers.outcome import Outcome, Trace

if TYPE_CHECKING:
    from sim.world import World

#: How long z is averaged before and after a pulse or a sweep.
AVERAGE_S = 0.1


def perform(world: World, action: Action) -> Outcome:
    """Carry out ``action``; see ``World.apply`` for the errors."""
    started = world.time_s
    match action:
        case Pulse():
            return _pulse(world, action)
        case Indentation():
            return _indentation(world, action)
        case MoveTo():
            world.need_contact("move")
            world.move(action.x_m, action.y_m, action.speed_m_per_s)
        case CoarseMove():
            world.withdraw()
            world.motor(0, 0, action.retract_steps)
            world.motor(action.x_steps, action.y_steps, 0)
        case Approach():
            _approach(world, action)
        case Wait():
            world.advance(action.seconds)
        case RetuneFeedback():
            world.set_gains(action.p_gain_m, action.time_constant_s)
    return Outcome(started, world.time_s)


def _pulse(world: World, action: Pulse) -> Outcome:
    world.need_contact("pulse")
    started = world.time_s
    world.settle(action.at)
    before = world.averaged_z_m(AVERAGE_S)
    averaged = world.time_s
    held = action.feedback == "held"
    if held:
        world.set_feedback(False)
        world.shift_z(action.z_offset_m)
    trace = world.pulse(action.peak_bias_v, action.width_s, held)
    world.settle(action.at)
    return _outcome(world, started, averaged, before, trace)


def _indentation(world: World, action: Indentation) -> Outcome:
    world.need_contact("indent")
    started = world.time_s
    world.settle(action.at)
    before = world.averaged_z_m(action.average_s)
    averaged = world.time_s
    trace = world.indent(
        action.depth_m,
        action.approach_time_s,
        action.contact_bias_v,
        action.dwell_s,
        action.lift_m,
        action.lift_time_s,
        action.average_s,
        action.restore_feedback,
    )
    # Without feedback there is no height to compare with.
    if not action.restore_feedback:
        return Outcome(started, world.time_s, z_before_m=before, trace=trace)
    world.advance(world.preset.controller.settle_s)
    return _outcome(world, started, averaged, before, trace)


def _outcome(
    world: World, started_s: float, averaged_s: float, before_m: float, trace: Trace
) -> Outcome:
    after = world.averaged_z_m(AVERAGE_S)
    jump = after - before_m - world.z_drift_m(averaged_s)
    return Outcome(started_s, world.time_s, before_m, after, jump, trace)


def _approach(world: World, action: Approach) -> None:
    started = world.time_s
    world.tunnel(action.at)
    for _ in range(action.max_steps + 1):
        if world.approach_step():
            break
        if world.time_s - started > action.timeout_s:
            raise ApproachFailed(f"no tunnelling contact within {action.timeout_s:g} s")
    else:
        raise ApproachFailed(f"no tunnelling contact within {action.max_steps} steps")
    # An approach ends when the piezo has come to rest: before that scans shear.
    landed = world.time_s
    while abs(world.drift_m_per_s()) > action.max_drift_m_per_s:
        if world.time_s - landed > action.settle_timeout_s:
            raise ApproachFailed(
                f"z still drifts by {world.drift_m_per_s() / 1e-12:.1f} pm/s after "
                f"{action.settle_timeout_s:g} s"
            )
        world.advance(1.0)
