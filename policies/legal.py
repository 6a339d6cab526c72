"""What may be done at all: the envelope and the map of the sample as masks for policies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from drivers.actions import Action
from drivers.envelope import Limits, check_action
from drivers.errors import Refused
from drivers.microscope import Feedback, MicroscopeState
from drivers.sample_map import SampleMap, Site, spoiled_diameter_m

A = TypeVar("A", bound=Action)

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
