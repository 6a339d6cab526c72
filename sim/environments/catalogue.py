"""The discrete actions of the environment, and what the envelope thinks of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from drivers.actions import (
    Action,
    Approach,
    CoarseMove,
    Indentation,
    Pulse,
    RetuneFeedback,
    TunnellingPoint,
    Wait,
)
from drivers.envelope import Limits
from drivers.sample_map import spoiled_diameter_m
from sim.environments.config import Catalogue
from sim.presets.instrument import Controller

NM = 1e-9
PM = 1e-12
#: Change of the gain that counts as one unit in observations.
DECADE = math.log(10)


class Kind(StrEnum):
    """Kinds of choices."""

    PULSE = "pulse"
    INDENTATION = "indentation"
    ANOTHER_SPOT = "another_spot"
    COARSE_MOVE = "coarse_move"
    WAIT = "wait"
    RETUNE = "retune"
    SCAN_AGAIN = "scan_again"
    DECLARE_GOOD = "declare_good"


@dataclass(frozen=True, slots=True)
class Choice:
    """One discrete action.

    Attributes:
        kind: what it is.
        actions: what the instrument is told, one after the other; the scan that follows is not
            among them.
        level: how strong it is, as a share of what the envelope allows, with the sign of the
            polarity; for feedback the change of gain in decades.
        duration_s: how long it lasts at its height (s).
        spoiled_m: diameter of the disc that it spoils, at most (m); 0 if it acts on no site.
        risk: share of the envelope that it uses, 0..1.
    """

    kind: Kind
    actions: tuple[Action, ...] = ()
    level: float = 0.0
    duration_s: float = 0.0
    spoiled_m: float = 0.0
    risk: float = 0.0


def tunnelling_point(controller: Controller) -> TunnellingPoint:
    """Where the preset scans."""
    return TunnellingPoint(bias_v=controller.bias_v, setpoint_a=controller.setpoint_pa * PM)


def choices(catalogue: Catalogue, controller: Controller) -> tuple[Choice, ...]:
    """All choices in their order; the last one declares the tip good."""
    at = tunnelling_point(controller)
    return (
        *_pulses(catalogue, at),
        *_indentations(catalogue, at),
        Choice(Kind.ANOTHER_SPOT),
        _coarse_move(catalogue, at),
        *(Choice(Kind.WAIT, (Wait(seconds=s),), 0.0, s) for s in catalogue.waits_s),
        *_retunings(catalogue, controller),
        Choice(Kind.SCAN_AGAIN),
        Choice(Kind.DECLARE_GOOD),
    )


def _pulses(catalogue: Catalogue, at: TunnellingPoint) -> Iterator[Choice]:
    for height in catalogue.pulses_v:
        for bias in (height, -height):
            for width in catalogue.pulses_s:
                pulse = Pulse(at=at, bias_v=bias, width_s=width)
                share = bias / Limits().max_pulse_v
                spoiled = spoiled_diameter_m(pulse)
                yield Choice(Kind.PULSE, (pulse,), share, width, spoiled, abs(share))


def _indentations(catalogue: Catalogue, at: TunnellingPoint) -> Iterator[Choice]:
    for depth in catalogue.depths_nm:
        for dwell in catalogue.dwells_s:
            dip = Indentation(
                at=at,
                depth_m=depth * NM,
                approach_time_s=catalogue.ramp_s,
                contact_bias_v=catalogue.contact_bias_v,
                dwell_s=dwell,
                lift_m=catalogue.lift * depth * NM,
                lift_time_s=catalogue.ramp_s,
            )
            share = depth / Limits().max_depth_nm
            yield Choice(Kind.INDENTATION, (dip,), share, dwell, spoiled_diameter_m(dip), share)


def _coarse_move(catalogue: Catalogue, at: TunnellingPoint) -> Choice:
    steps, retract = catalogue.coarse_steps, catalogue.retract_steps
    away = CoarseMove(x_steps=steps, y_steps=0, retract_steps=retract)
    return Choice(Kind.COARSE_MOVE, (away, Approach(at=at)), 1.0, risk=1.0)


def _retunings(catalogue: Catalogue, controller: Controller) -> Iterator[Choice]:
    for factor in catalogue.gains:
        # P and P/T together: the loop gets faster without changing its shape.
        gains = RetuneFeedback(
            p_gain_m=controller.p_gain_pm * factor * PM,
            time_constant_s=controller.time_constant_us * 1e-6,
        )
        yield Choice(Kind.RETUNE, (gains,), math.log(factor) / DECADE)
