"""What a learned policy can choose from: a discrete catalogue, and which of it makes sense now.

Indentations are counted from the depth of contact once it is known, which takes the unknown gap and
most of the z calibration out; before that they are counted from the tunnelling point. Looking again
on another spot, and declaring the tip good, are decided by the episode from the evidence; giving up
is what is left when nothing is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from drivers.actions import (
    Action,
    CoarseMove,
    Indentation,
    Pulse,
    RetuneFeedback,
    TunnellingPoint,
    Wait,
)
from drivers.envelope import Limits
from drivers.errors import Refused
from policies.legal import passes, way_back
from policies.report import ImageState

NM = 1e-9
#: Depths of contact are told apart in steps of this (nm); finer, nothing reproduces.
GRAIN_NM = 0.01
#: How often in a row a remedy for the image is tried before it is no use.
REMEDIES = 3
#: Share of the field that is left when a coarse move makes sense.
CROWDED = 0.1
#: Pulses and indentations are given like those of the rules that they compete with.
RAMP_S, DWELL_S, LIFT, CONTACT_BIAS_V = 0.1, 0.1, 3.0, 0.02
LATERAL_STEPS, RETRACT_STEPS = 20, 50

Mask = NDArray[np.bool_]


class Kind(StrEnum):
    """Kinds of choices; a ``PENETRATION`` is counted from contact, a ``DEPTH`` from tunnelling."""

    PULSE = "pulse"
    PENETRATION = "penetration"
    DEPTH = "depth"
    WAIT = "wait"
    COARSE_MOVE = "coarse_move"
    RETUNE = "retune"


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of the catalogue.

    Attributes:
        kind: what it is.
        level: volts of the sample, nm of depth, or the factor on the usual gain; 0 where none.
        duration_s: width of a pulse, time in contact, or time to wait (s).
    """

    kind: Kind
    level: float
    duration_s: float

    @property
    def name(self) -> str:
        """The choice in short, as layouts name it."""
        return f"{self.kind} {self.level:+g} {self.duration_s:g}s"


#: Heights of pulses, weakest first, follow published ranges (2 to 10 V), depths the distance to
#: the metal.
PULSES_V = (3.0, 4.0, 5.0, 6.0, 7.0, 8.5)
PENETRATIONS_NM = (0.1, 0.25, 0.4, 0.55, 0.7, 0.9, 1.1, 1.4, 1.8, 2.5)
DEPTHS_NM = (0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.0, 3.0)
WAIT = Choice(Kind.WAIT, 0.0, 60.0)
SLOWER, FASTER = Choice(Kind.RETUNE, 0.4, 0.0), Choice(Kind.RETUNE, 2.5, 0.0)
CHOICES = (
    *(Choice(Kind.PULSE, sign * height, 0.2) for height in PULSES_V for sign in (1, -1)),
    *(Choice(Kind.PENETRATION, depth, DWELL_S) for depth in PENETRATIONS_NM),
    *(Choice(Kind.DEPTH, depth, DWELL_S) for depth in DEPTHS_NM),
    WAIT,
    Choice(Kind.COARSE_MOVE, 0.0, 0.0),
    SLOWER,
    FASTER,
)
#: What helps against what is wrong with the image, none of which touches the tip.
REMEDY = {
    ImageState.NOISY: CHOICES.index(WAIT),
    ImageState.RINGING: CHOICES.index(SLOWER),
    ImageState.LAGGING: CHOICES.index(FASTER),
}
#: Everything but waiting.
DOING = np.array([choice != WAIT for choice in CHOICES])
_OF_KIND = {
    kind: [index for index, choice in enumerate(CHOICES) if choice.kind is kind] for kind in Kind
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides which choices make sense.

    Attributes:
        contact_nm: depth of contact below the tunnelling point (nm), None if unknown.
        trouble: what is wrong with the image and no fault of the tip, or None.
        remedies: how many remedies for the image were tried in a row, up to now.
        area_left: share of the field that is not yet used, 0..1.
        waited: whether the last action was to wait.
        strongest_v: height of the strongest pulse so far (V), 0 if there was none.
        spoiled: whether the image is probably spoiled; trouble is what is surely wrong with it.
    """

    contact_nm: float | None
    trouble: ImageState | None
    remedies: int
    area_left: float
    waited: bool
    strongest_v: float
    spoiled: bool


@dataclass
class Means:
    """What actions are made with, and the envelope around them.

    Attributes:
        at: tunnelling point of actions.
        limits: the envelope.
        range_m: piezo range in x and y (m).
        feedback: the usual gains, None if they are not known; then nothing can be retuned.
        coarse: whether the instrument has coarse motion.
    """

    at: TunnellingPoint
    limits: Limits
    range_m: tuple[float, float]
    feedback: RetuneFeedback | None = None
    coarse: bool = True
    _made: dict[tuple[int, int | None], Action | None] = field(default_factory=dict, repr=False)

    def action(self, index: int, contact_nm: float | None) -> Action | None:
        """The action that a choice stands for; None where the envelope refuses it."""
        counted = CHOICES[index].kind is Kind.PENETRATION and contact_nm is not None
        key = index, round(contact_nm / GRAIN_NM) if counted and contact_nm is not None else None
        if key not in self._made:
            self._made[key] = self._allowed(CHOICES[index], key[1])
        return self._made[key]

    def mask(self, now: Situation) -> Mask:
        """Which choices make sense now and lie inside the envelope, shape (choices,)."""
        mask = self._masked(now)
        deeper = _OF_KIND[Kind.PENETRATION]
        if now.trouble is None and now.contact_nm is not None and not mask[deeper].any():
            # Contact was misread, or lies deeper than anything that is allowed.
            return self._masked(replace(now, contact_nm=None))
        return mask

    def _masked(self, now: Situation) -> Mask:
        mask = np.zeros(len(CHOICES), np.bool_)
        for index in self._sensible(now):
            mask[index] = self.action(index, now.contact_nm) is not None
        return mask

    def _sensible(self, now: Situation) -> list[int]:
        if now.trouble is None:
            return [index for index, choice in enumerate(CHOICES) if _fits(choice, now)]
        if now.remedies >= REMEDIES:
            return []
        remedy = REMEDY[now.trouble]
        # Whoever cannot retune can still wait and see.
        return [remedy if self.action(remedy, None) else CHOICES.index(WAIT)]

    def _allowed(self, choice: Choice, grains: int | None) -> Action | None:
        action = self._make(choice, None if grains is None else grains * GRAIN_NM)
        return action if action and passes(action, self.limits) else None

    def _make(self, choice: Choice, contact_nm: float | None) -> Action | None:
        match choice.kind:
            case Kind.PULSE:
                return Pulse(at=self.at, bias_v=choice.level, width_s=choice.duration_s)
            case Kind.PENETRATION:
                # A line through little current may end anywhere, even above the tip.
                if contact_nm is None or contact_nm + choice.level <= 0:
                    return None
                return self._indentation(contact_nm + choice.level, choice.duration_s)
            case Kind.DEPTH:
                return self._indentation(choice.level, choice.duration_s)
            case Kind.WAIT:
                return Wait(seconds=choice.duration_s)
            case Kind.COARSE_MOVE:
                return self._coarse_move() if self.coarse else None
            case Kind.RETUNE:
                return self._retuned(choice.level)

    def _indentation(self, depth_nm: float, dwell_s: float) -> Indentation:
        lift_m = LIFT * depth_nm * NM
        return Indentation(
            at=self.at,
            depth_m=depth_nm * NM,
            approach_time_s=RAMP_S,
            contact_bias_v=CONTACT_BIAS_V,
            dwell_s=dwell_s,
            lift_m=lift_m,
            lift_time_s=RAMP_S,
        )

    def _coarse_move(self) -> CoarseMove | None:
        move = CoarseMove(x_steps=LATERAL_STEPS, y_steps=0, retract_steps=RETRACT_STEPS)
        try:
            way_back(move, self.at, self.limits)
        except Refused:
            return None
        return move

    def _retuned(self, factor: float) -> RetuneFeedback | None:
        usual = self.feedback
        if usual is None:
            return None
        # P and P/T together: the loop gets faster without changing its shape.
        return usual.model_copy(update={"p_gain_m": usual.p_gain_m * factor})


def _fits(choice: Choice, now: Situation) -> bool:
    """Whether a choice makes sense where nothing is wrong with the image."""
    match choice.kind:
        case Kind.PENETRATION:
            return now.contact_nm is not None
        case Kind.DEPTH:
            return now.contact_nm is None
        case Kind.COARSE_MOVE:
            return now.area_left < CROWDED
        case Kind.WAIT:
            return not now.waited
        case Kind.RETUNE:
            return False
        case Kind.PULSE:
            # Gentle ones first: a pulse is no more than one step stronger than any before it.
            # And none for what may be no fault of the tip.
            stronger = (height for height in PULSES_V if height > now.strongest_v)
            return not now.spoiled and abs(choice.level) <= next(stronger, PULSES_V[-1])


def nearest(action: Action, contact_nm: float | None) -> int:
    """The choice that comes closest to an action, whoever chose it.

    Args:
        action: what was done.
        contact_nm: depth of contact that was known then (nm), or None.
    """
    match action:
        case Pulse():
            kind, level = Kind.PULSE, action.peak_bias_v
        case Indentation() if contact_nm is not None:
            kind, level = Kind.PENETRATION, action.depth_m / NM - contact_nm
        case Indentation():
            kind, level = Kind.DEPTH, action.depth_m / NM
        case CoarseMove():
            kind, level = Kind.COARSE_MOVE, 0.0
        case RetuneFeedback():
            # Which way it went shows only beside the usual gains, which a history does not hold.
            kind, level = Kind.RETUNE, SLOWER.level
        case _:
            kind, level = Kind.WAIT, 0.0
    return min(_OF_KIND[kind], key=lambda index: abs(CHOICES[index].level - level))
