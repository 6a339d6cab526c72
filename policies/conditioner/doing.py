"""How rules put their numbers into actions: the same ramps, lifts and widths for all of them."""

from __future__ import annotations

from drivers.actions import Indentation, Pulse, TunnellingPoint
from drivers.envelope import Limits

NM = 1e-9
#: Time of the ramps down and up, and in contact (s).
RAMP_S, DWELL_S = 0.1, 0.1
#: A retraction by three times the depth breaks the neck (Scanbot, JOSS 2024).
LIFT = 3.0


def indentation(
    at: TunnellingPoint, depth_nm: float, limits: Limits, contact_bias_v: float = 0.02
) -> Indentation:
    """An indentation of ``depth_nm``, as quick and lifted as high as ``limits`` allow.

    Args:
        at: tunnelling point that the depth counts from.
        depth_nm: depth (nm); it is not cut, whoever asks for too much is refused.
        limits: the envelope.
        contact_bias_v: bias in contact (V).
    """
    lift_nm = max(min(LIFT * depth_nm, limits.max_lift_nm), depth_nm)
    ramp_s = max(RAMP_S, lift_nm / max(limits.max_ramp_nm_per_s, 1e-3))
    return Indentation(
        at=at,
        depth_m=depth_nm * NM,
        approach_time_s=ramp_s,
        contact_bias_v=contact_bias_v,
        lift_m=lift_nm * NM,
        lift_time_s=ramp_s,
        dwell_s=min(DWELL_S, limits.max_dwell_s),
    )


def pulse(at: TunnellingPoint, bias_v: float, width_s: float, limits: Limits) -> Pulse:
    """A pulse to ``bias_v`` at constant height, of ``width_s`` or as long as ``limits`` allow.

    Where they allow none at all it is of ``width_s``, and will be refused.
    """
    width_s = min(width_s, limits.max_pulse_s) or width_s
    return Pulse(at=at, bias_v=bias_v, width_s=width_s, feedback="held")
