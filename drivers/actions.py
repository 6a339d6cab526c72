"""What can be done to a tip: frozen descriptions that say all that decides what they do.

Lengths are metres, times seconds, bias volts (the sample's potential relative to the tip), currents
amperes. Positive depth goes into the sample. No value is optional in the sense of "whatever the
controller had last": an action means the same on every instrument and on every day.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TunnellingPoint(_Described):
    """Bias (V) and current setpoint (A) at which feedback holds the tip."""

    bias_v: Finite
    setpoint_a: Positive


class Pulse(_Described):
    """A voltage pulse between tip and sample.

    Attributes:
        at: tunnelling point before and after the pulse; z is averaged there.
        bias_v: height of the pulse (V), absolute or relative to ``at.bias_v``.
        width_s: duration (s).
        feedback: ``held`` keeps z still during the pulse, ``on`` lets the feedback retract.
        reference: whether ``bias_v`` is ``absolute`` or ``relative``.
        z_offset_m: how far the tip is moved before the pulse, positive away from the sample;
            needs ``feedback="held"``.
    """

    kind: Literal["pulse"] = "pulse"
    at: TunnellingPoint
    bias_v: Finite
    width_s: Positive
    feedback: Literal["held", "on"] = "held"
    reference: Literal["absolute", "relative"] = "absolute"
    z_offset_m: Finite = 0.0

    @property
    def peak_bias_v(self) -> float:
        """Absolute sample bias during the pulse (V)."""
        return self.bias_v + (self.at.bias_v if self.reference == "relative" else 0.0)


class Indentation(_Described):
    """A controlled push of the tip into the sample.

    Attributes:
        at: tunnelling point whose averaged z is the origin of ``depth_m``.
        depth_m: how far below that z the tip goes (m), positive into the sample.
        approach_time_s: time of the ramp down (s).
        contact_bias_v: bias while in contact (V).
        dwell_s: time in contact (s).
        lift_m: how far the tip is then retracted from the deepest point (m).
        lift_time_s: time of the ramp up (s).
        average_s: how long z is averaged before the feedback lets go (s).
        restore_feedback: whether the feedback closes again at ``at`` afterwards.
    """

    kind: Literal["indentation"] = "indentation"
    at: TunnellingPoint
    depth_m: Positive
    approach_time_s: Positive = 0.1
    contact_bias_v: Finite = 0.02
    dwell_s: NotNegative = 0.1
    lift_m: Positive
    lift_time_s: Positive = 0.1
    average_s: Positive = 0.1
    restore_feedback: bool = True


class MoveTo(_Described):
    """Move the tip over the surface under feedback to ``(x_m, y_m)`` at ``speed_m_per_s``."""

    kind: Literal["move_to"] = "move_to"
    x_m: Finite
    y_m: Finite
    speed_m_per_s: Positive


class CoarseMove(_Described):
    """Withdraw, retract ``retract_steps`` with the motor (verified), then step sideways.

    The tip stays retracted afterwards: an ``Approach`` brings it back.
    """

    kind: Literal["coarse_move"] = "coarse_move"
    x_steps: int
    y_steps: int
    retract_steps: Annotated[int, Field(gt=0)]


class Approach(_Described):
    """Bring the tip into tunnelling contact, then wait until z stands still.

    Attributes:
        at: tunnelling point to approach with.
        max_steps: coarse steps after which the approach has failed.
        timeout_s: instrument seconds after which it has failed.
        max_drift_m_per_s: z drift below which the tip counts as settled (m/s).
        settle_timeout_s: instrument seconds allowed for settling.
    """

    kind: Literal["approach"] = "approach"
    at: TunnellingPoint
    max_steps: Annotated[int, Field(gt=0)] = 500
    timeout_s: Positive = 600.0
    max_drift_m_per_s: Positive = 10e-12
    settle_timeout_s: Positive = 600.0


class Wait(_Described):
    """Let ``seconds`` of instrument time pass (drift, creep, healing)."""

    kind: Literal["wait"] = "wait"
    seconds: Positive


class RetuneFeedback(_Described):
    """Set the feedback's proportional gain (m) and time constant (s); I = P / T."""

    kind: Literal["retune_feedback"] = "retune_feedback"
    p_gain_m: Positive
    time_constant_s: Positive


Action = Annotated[
    Pulse | Indentation | MoveTo | CoarseMove | Approach | Wait | RetuneFeedback,
    Field(discriminator="kind"),
]

#: Reads an action back from JSON or a dict, e.g. ``ACTION.validate_json(text)``.
ACTION: TypeAdapter[
    Pulse | Indentation | MoveTo | CoarseMove | Approach | Wait | RetuneFeedback
] = TypeAdapter(Action)
