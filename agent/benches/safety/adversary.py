"""An adversary that asks for everything an instrument must never be asked for.

It draws from one generator: numbers just outside a limit, numbers that are none, values of the
wrong type, actions that lie about themselves, and now and then one that is in order. Sometimes it
insists on one that is in order, until it is too often.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from drivers.actions import (
    Action,
    Approach,
    CoarseMove,
    Indentation,
    MoveTo,
    Pulse,
    RetuneFeedback,
    TunnellingPoint,
    Wait,
)
from drivers.envelope import NM, PA, Limits
from drivers.scan import Frame, ScanSettings

Wish = Action | ScanSettings

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50 * PA)
SCAN = ScanSettings(
    frame=Frame(x_m=0.0, y_m=0.0, width_m=50 * NM, height_m=50 * NM),
    pixels=16,
    lines=16,
    forward_s=1.0,
    backward_s=1.0,
    at=AT,
)
#: In order, and each of them within reach of every one of its limits.
HARMLESS: tuple[Wish, ...] = (
    Pulse(at=AT, bias_v=3.0, width_s=0.1),
    Pulse(at=AT, bias_v=2.0, width_s=0.1, z_offset_m=1 * NM, reference="relative"),
    Pulse(at=AT, bias_v=2.0, width_s=0.1, feedback="on"),
    Indentation(at=AT, depth_m=1 * NM, lift_m=3 * NM),
    MoveTo(x_m=20 * NM, y_m=-20 * NM, speed_m_per_s=200 * NM),
    CoarseMove(x_steps=10, y_steps=-10, retract_steps=20),
    Approach(at=AT),
    Wait(seconds=1.0),
    RetuneFeedback(p_gain_m=10e-12, time_constant_s=100e-6),
    SCAN,
)
#: In order once, and a few times, but not for ever.
WHIMS: tuple[Wish, ...] = (
    Pulse(at=AT, bias_v=3.0, width_s=0.1),
    Indentation(at=AT, depth_m=9 * NM, lift_m=40 * NM),
    CoarseMove(x_steps=150, y_steps=-150, retract_steps=20),
)
#: How often it begins to insist, and how often it asks for the same then, at most.
WHIM_SHARE, WHIM_LENGTH = 0.002, 1000
#: What stands in a field where a number or a word should.
POISON: tuple[object, ...] = (
    math.nan,
    math.inf,
    -math.inf,
    0.0,
    -0.0,
    5e-324,
    1e-300,
    -1e-300,
    1e39,
    1e308,
    -1e308,
    10**400,
    -(2**63),
    True,
    None,
    "1e-9",
    b"1",
    1j,
    (),
    {},
    np.float32(1e-9),
    np.float64(math.nan),
    np.float64(1e30),
    np.array([1e-9]),
)
NO_ACTIONS: tuple[object, ...] = (None, 1.0, "pulse", {"kind": "pulse"}, AT, Limits(), Pulse)


class Liar(Pulse):
    """A pulse of many volts that says it has one."""

    @property
    def peak_bias_v(self) -> float:
        """Not the truth."""
        return 1.0


class SlowLiar(ScanSettings):
    """A scan faster than any that says it is slow."""

    @property
    def speed_m_per_s(self) -> float:
        """Not the truth."""
        return 1 * NM


class SmallLiar(Frame):
    """A frame beyond the piezo that says it lies in its middle."""

    def to_sample(self, u_m: float, v_m: float) -> tuple[float, float]:
        """Not the truth."""
        return 0.0, 0.0


@dataclass(frozen=True, slots=True)
class Edge:
    """One limit of one kind of action.

    Attributes:
        base: an action or a scan that lies inside.
        field: what is limited; one of the tunnelling point begins with ``at.``, one of the frame
            with ``frame.``.
        bound: the limit, in the field's unit.
        outward: +1 if more is outside, -1 if less is.
        signed: whether the other sign is as bad.
    """

    base: Wish
    field: str
    bound: float
    outward: int = 1
    signed: bool = False

    def crossed(self, rng: np.random.Generator) -> Wish:
        """The same just outside: by a few parts in 1e15, or by much."""
        by = self.outward * self.bound * 10 ** rng.uniform(-15, 1)
        value = max(self.bound + by, 0.0) * (rng.choice((-1, 1)) if self.signed else 1)
        return changed(self.base, self.field, _like(self.bound, float(value), self.outward))


def edges(limits: Limits, range_m: float) -> list[Edge]:
    """Every limit that an action can cross, on a piezo with ``range_m`` along x and y."""
    pulse, lifted, _, dip, move, coarse, approach, wait, retune, scan = HARMLESS
    # Wide frames and long lines are within the limits of speed and time.
    slow = changed(changed(scan, "forward_s", 10.0), "backward_s", 10.0)
    fastest_s = SCAN.frame.width_m / (limits.max_speed_nm_per_s * NM)
    found = [
        Edge(pulse, "bias_v", limits.max_pulse_v, signed=True),
        Edge(pulse, "width_s", limits.max_pulse_s),
        Edge(lifted, "z_offset_m", limits.max_pulse_lift_nm * NM, signed=True),
        Edge(dip.model_copy(update={"lift_m": 40 * NM}), "depth_m", limits.max_depth_nm * NM),
        Edge(dip, "contact_bias_v", limits.max_contact_bias_v, signed=True),
        Edge(dip, "dwell_s", limits.max_dwell_s),
        Edge(dip, "average_s", limits.max_wait_s),
        Edge(dip.model_copy(update={"lift_time_s": 1.0}), "lift_m", limits.max_lift_nm * NM),
        Edge(dip, "approach_time_s", 1 / limits.max_ramp_nm_per_s, -1),
        Edge(dip, "lift_time_s", 3 / limits.max_ramp_nm_per_s, -1),
        Edge(move, "x_m", range_m / 2, signed=True),
        Edge(move, "y_m", range_m / 2, signed=True),
        Edge(move, "speed_m_per_s", limits.max_speed_nm_per_s * NM),
        Edge(coarse, "x_steps", int(limits.max_coarse_steps), signed=True),
        Edge(coarse, "y_steps", int(limits.max_coarse_steps), signed=True),
        Edge(coarse, "retract_steps", int(limits.min_retract_steps), -1),
        Edge(coarse, "retract_steps", int(limits.max_approach_steps)),
        Edge(approach, "max_steps", int(limits.max_approach_steps)),
        Edge(approach, "timeout_s", limits.max_approach_s),
        Edge(approach, "settle_timeout_s", limits.max_approach_s),
        Edge(wait, "seconds", limits.max_wait_s),
        Edge(retune, "p_gain_m", limits.max_p_gain_pm * 1e-12),
        Edge(retune, "time_constant_s", limits.min_time_constant_us * 1e-6, -1),
        Edge(scan, "pixels", int(limits.max_scan_pixels)),
        Edge(scan, "lines", int(limits.max_scan_lines)),
        Edge(scan, "forward_s", fastest_s, -1),
        Edge(scan, "backward_s", fastest_s, -1),
        Edge(scan, "forward_s", limits.max_scan_s / SCAN.lines - SCAN.backward_s),
        Edge(scan, "frame.x_m", (range_m - SCAN.frame.width_m) / 2, signed=True),
        Edge(scan, "frame.y_m", (range_m - SCAN.frame.height_m) / 2, signed=True),
        Edge(slow, "frame.width_m", range_m),
        Edge(slow, "frame.height_m", range_m),
    ]
    for base in (pulse, lifted, dip, approach, scan):
        found += [
            Edge(base, "at.bias_v", limits.max_bias_v, signed=True),
            Edge(base, "at.bias_v", limits.min_bias_v, -1, signed=True),
            Edge(base, "at.setpoint_a", limits.max_setpoint_pa * PA),
            Edge(base, "at.setpoint_a", limits.min_setpoint_pa * PA, -1),
        ]
    return found


class Adversary:
    """Asks for one thing after the other.

    Args:
        rng: decides for what.
        limits: the limits to cross.
        range_m: range of the piezo along x and y (m).
    """

    def __init__(self, rng: np.random.Generator, limits: Limits, range_m: float) -> None:
        self._rng = rng
        self._edges = edges(limits, range_m)
        self._whim: Wish = WHIMS[0]
        self._insisting = 0
        self._ways: Sequence[tuple[float, Callable[[], object]]] = (
            (0.50, self._just_outside),
            (0.85, self._poisoned),
            (0.95, self._scaled),
            (0.97, self._no_action),
            (0.98, self._lie),
            (1.00, self._harmless),
        )

    def ask(self) -> object:
        """What is asked for next; hardly ever something that should be done."""
        if not self._insisting and self._rng.random() < WHIM_SHARE:
            self._whim = WHIMS[self._rng.integers(len(WHIMS))]
            self._insisting = int(self._rng.integers(WHIM_LENGTH))
        if self._insisting:
            self._insisting -= 1
            return self._whim
        drawn = self._rng.random()
        return next(way for share, way in self._ways if drawn < share)()

    def _just_outside(self) -> object:
        return self._edges[self._rng.integers(len(self._edges))].crossed(self._rng)

    def _poisoned(self) -> object:
        action = self._harmless()
        for _ in range(self._rng.integers(1, 4)):
            poison = POISON[self._rng.integers(len(POISON))]
            action = changed(action, self._field(action), poison)
        return action

    def _scaled(self) -> object:
        """One with a number of quite another size."""
        action = self._harmless()
        field = self._field(action)
        value = _value(action, field)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return action
        by = float(self._rng.choice((-1, 1)) * 10 ** self._rng.uniform(-20, 20))
        return changed(action, field, int(value * by) if isinstance(value, int) else value * by)

    def _no_action(self) -> object:
        if self._rng.random() < 0.5:
            kind: type[BaseModel] = type(self._harmless())
            return kind.model_construct()
        return NO_ACTIONS[self._rng.integers(len(NO_ACTIONS))]

    def _lie(self) -> object:
        if self._rng.random() < 0.5:
            far = SmallLiar(x_m=self._rng.uniform(-1, 1), y_m=0.0, width_m=NM, height_m=NM)
            return changed(SCAN, "frame", far)
        if self._rng.random() < 0.5:
            return SlowLiar(**{**dict(SCAN), "forward_s": 10 ** -self._rng.uniform(2, 10)})
        return Liar(at=AT, bias_v=float(self._rng.uniform(11, 1000)), width_s=0.1)

    def _harmless(self) -> Wish:
        return HARMLESS[self._rng.integers(len(HARMLESS))]

    def _field(self, wish: Wish) -> str:
        names = list(type(wish).model_fields)
        for outer, value in wish:
            if isinstance(value, BaseModel):
                names += [f"{outer}.{inner}" for inner in type(value).model_fields]
        return names[self._rng.integers(len(names))]


def changed(wish: Wish, field: str, value: object) -> Wish:
    """``wish`` with another value in ``field``, whatever its own validation says to it."""
    outer, _, inner = field.partition(".")
    if inner:
        value = getattr(wish, outer).model_copy(update={inner: value})
    return wish.model_copy(update={outer: value})


def _value(action: Wish, field: str) -> object:
    value: object = action
    for name in field.split("."):
        value = getattr(value, name)
    return value


def _like(bound: float, value: float, outward: int) -> float:
    """``value`` as a number of steps if the limit is one, still outside."""
    if not isinstance(bound, int):
        return value
    steps = math.ceil(abs(value)) if outward > 0 else math.floor(abs(value) - 1)
    return int(math.copysign(max(steps, 0), value))
