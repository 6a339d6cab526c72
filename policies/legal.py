"""What may be done at all: the envelope and the map of the sample as masks for policies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from drivers.actions import Action, Approach, CoarseMove, TunnellingPoint
from drivers.envelope import Limits, check_action
from drivers.errors import Refused
from drivers.microscope import Feedback, MicroscopeState
from drivers.sample_map import SampleMap, Site, spoiled_diameter_m

A = TypeVar("A", bound=Action)

#: Steps that the approach after a coarse move may make, per step away: a motor slips and has play,
#: and sideways the surface may fall away.
STEPS_BACK = 2

#: Stands for the instrument of which only the limits are asked: in contact, with any range.
ANYWHERE = MicroscopeState(
    time_s=0.0,
    bias_v=0.0,
    setpoint_a=0.0,
    current_a=0.0,
    x_m=0.0,
    y_m=0.0,
    z_m=0.0,
    feedback=Feedback.ON,
    scanning=False,
    range_m=(math.inf, math.inf, math.inf),
)


def within(limits: Limits, choices: Sequence[A]) -> list[A]:
    """Those of the actions that the envelope lets pass."""
    return [action for action in choices if passes(action, limits)]


def fitting(site: Site | None, choices: Sequence[A]) -> list[A]:
    """Those of the actions for which ``site`` is wide enough; all of them if none is known.

    Where nothing fits the policy has to want something, so that another spot is looked for.
    """
    if site is None:
        return list(choices)
    fit = [action for action in choices if spoiled_diameter_m(action) <= site.clear_m]
    return fit or list(choices)


def is_free(action: Action, site: Site, book: SampleMap) -> bool:
    """Whether ``action`` may happen at ``site``: wide enough and untouched."""
    needed = spoiled_diameter_m(action)
    return site.clear_m >= needed and not book.is_touched(site.x_m, site.y_m, needed)


def spot_nm(action: Action) -> float:
    """Diameter of the clean spot that an action needs (nm)."""
    return spoiled_diameter_m(action) / 1e-9


def passes(action: Action, limits: Limits) -> bool:
    """Whether the envelope lets an action pass, wherever it happens."""
    try:
        check_action(action, ANYWHERE, limits)
    except Refused:
        return False
    return True


def approach(at: TunnellingPoint, limits: Limits) -> Approach:
    """The usual approach, with no more steps and time than the limits leave it.

    Args:
        at: tunnelling point to approach with.
        limits: the envelope.
    """
    usual = Approach(at=at)
    return usual.model_copy(
        update={
            "max_steps": min(usual.max_steps, int(limits.max_approach_steps)),
            "timeout_s": min(usual.timeout_s, limits.max_approach_s),
            "settle_timeout_s": min(usual.settle_timeout_s, limits.max_approach_s),
        }
    )


def way_back(move: CoarseMove, at: TunnellingPoint, limits: Limits) -> Approach:
    """The approach that is to follow a coarse move; to be asked for before anything is moved.

    Raises:
        Refused: the limits leave no approach, or none that is sure to come back.
    """
    back, needed = approach(at, limits), STEPS_BACK * move.retract_steps
    check_action(back, ANYWHERE, limits)
    if back.max_steps < needed:
        raise Refused(
            "max_approach_steps",
            f"coarse_move refused: to come back from {move.retract_steps} steps away an approach "
            f"needs up to {needed} and may make {back.max_steps}; retract by fewer steps",
        )
    return back
