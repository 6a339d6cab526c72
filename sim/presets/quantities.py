"""Quantities of presets, and the ranges outside of which a number cannot be meant.

Bounds are far outside of what instruments and surfaces show: they catch slips of sign and unit, and
leave judging to the reader. Singular names are numbers, plural ones distributions of such numbers;
the unit is the one in the name of the field, and stands here where all fields share it.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, Field

from sim.presets.blocks import Spread


def drawn(low: float, high: float) -> AfterValidator:
    """Let pass only distributions that draw from ``low`` to ``high``, as a rule.

    Two deviations to either side of a normal law count. One that must not draw below zero cannot be
    normal at all: its tail has no end.
    """

    def check(spread: Spread) -> Spread:
        first, last = spread.ends()
        least, most = (_log(low), math.log(high)) if spread.law.startswith("log") else (low, high)
        if not (least <= first and last <= most):
            raise ValueError(
                f"{spread.law} with a = {spread.a:g} and b = {spread.b:g} draws numbers outside "
                f"of {low:g} to {high:g}"
            )
        if low >= 0 and spread.law == "normal":
            raise ValueError(
                "normal draws numbers below 0; expected uniform, log_uniform or log_normal"
            )
        return spread

    return AfterValidator(check)


def _log(low: float) -> float:
    return math.log(low) if low > 0 else -math.inf


def _some(bias_v: float) -> float:
    if bias_v == 0:
        raise ValueError("no current flows at a bias of 0")
    return bias_v


# Without a unit.
Probability = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0, le=100)]
#: How much of something is added; none at 0.
Amount = Annotated[float, Field(ge=0, le=100)]
SignedFactor = Annotated[float, Field(ge=-100, le=100)]
#: Steps of a motor, lines or frames.
Count = Annotated[float, Field(ge=0, le=1e6)]
Shares = Annotated[Spread, drawn(0, 1)]
Factors = Annotated[Spread, drawn(0.01, 100)]
Counts = Annotated[Spread, drawn(0, 1e6)]
Qualities = Annotated[Spread, drawn(0.5, 1e6)]
Slopes = Annotated[Spread, drawn(-10, 10)]
#: Of e, for what is multiplied.
Exponents = Annotated[Spread, drawn(-5, 5)]

# Lengths (nm), unless the field says pm.
Length = Annotated[float, Field(gt=0, le=1e4)]
#: A length that may be none.
Reach = Annotated[float, Field(ge=0, le=1e4)]
#: Of atoms, steps and marks: along z, or across an apex.
Height = Annotated[float, Field(gt=0, le=100)]
#: A height that may be none.
Relief = Annotated[float, Field(ge=0, le=100)]
#: How far, or how far in a second, scanners and motors go.
Travel = Annotated[float, Field(gt=0, le=1e6)]
ControllerGain = Annotated[float, Field(gt=0, le=1e5)]
Area = Annotated[float, Field(gt=0, le=1)]
Lengths = Annotated[Spread, drawn(0, 1e3)]
Sizes = Annotated[Spread, drawn(0.01, 1e3)]
Distances = Annotated[Spread, drawn(0.1, 1e5)]
Heights = Annotated[Spread, drawn(0, 100)]
Shifts = Annotated[Spread, drawn(-10, 10)]
Picometres = Annotated[Spread, drawn(0, 1e4)]
Speeds = Annotated[Spread, drawn(0, 1e3)]
Bows = Annotated[Spread, drawn(-1e3, 1e3)]

# Angles (degrees).
Angle = Annotated[float, Field(ge=-360, le=360)]
Bend = Annotated[float, Field(gt=0, lt=90)]
Angles = Annotated[Spread, drawn(-360, 360)]
Tilts = Annotated[Spread, drawn(-10, 10)]

# Times (s), unless the field says ms or us.
Duration = Annotated[float, Field(gt=0, le=1e6)]
#: A time that may be none.
Delay = Annotated[float, Field(ge=0, le=1e6)]
Frequency = Annotated[float, Field(gt=0, le=1e7)]
Durations = Annotated[Spread, drawn(1e-6, 1e6)]
Frequencies = Annotated[Spread, drawn(1e-3, 1e7)]
#: How often something happens (Hz), if at all.
Rates = Annotated[Spread, drawn(0, 1e5)]

# Voltages (V) and energies (eV).
Voltage = Annotated[float, Field(gt=0, le=10)]
#: Of a level, an edge or a threshold.
Width = Annotated[float, Field(gt=0, le=10)]
Bias = Annotated[float, Field(ge=-10, le=10), AfterValidator(_some)]
Negative = Annotated[float, Field(lt=0, ge=-10)]
Energy = Annotated[float, Field(ge=-10, le=10)]
Voltages = Annotated[Spread, drawn(0.01, 10)]
Energies = Annotated[Spread, drawn(-10, 10)]
EnergyWidths = Annotated[Spread, drawn(1e-4, 10)]

# Currents (pA or nA), and what they flow through.
Current = Annotated[float, Field(gt=0, le=1e6)]
Conductance = Annotated[float, Field(gt=0, le=1e-3)]
Resistance = Annotated[float, Field(gt=0, le=1e9)]
#: Gain of a preamplifier (V/A).
Transimpedance = Annotated[float, Field(ge=1e3, le=1e11)]
Currents = Annotated[Spread, drawn(0, 1e4)]
#: Decay of the current with distance (1/nm), for barriers from 0.01 to 20 eV.
Decays = Annotated[Spread, drawn(1, 46)]

Temperature = Annotated[float, Field(gt=0, le=1500)]
