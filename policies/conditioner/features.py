"""The history of a repair as numbers of fixed length: what a learned policy sees.

``Memory`` takes in one event after the other; the same history gives the same numbers. All lie
between -1 and 1, and none is left open: what is not known is 0 and said to be so.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.actions import CoarseMove, Indentation, Pulse, RetuneFeedback, Wait
from policies.combining import SURE, combine, evidence
from policies.conditioner.catalogue import CHOICES, NM, Kind, Means, Situation, nearest
from policies.conditioner.contact import contact_depth_m
from policies.history import USABLE, Acted, Event, Looked
from policies.report import ImageState, TipReport, TipState

#: How many of the last actions are told one by one.
LATEST = 6
#: Probability from which something is wrong with the image rather than with the tip.
TROUBLE = 0.8
#: Log-odds of the surest scan; lengths (nm) and counts that features are measured in.
SUREST = math.log((1 - SURE) / SURE)
JUMP_NM, DEEP_NM, HIGH_V, LOOKS, ACTIONS, MINUTES = 0.3, 5.0, 10.0, 12.0, 300.0, 600.0
#: Depth past contact that features are measured in (nm); what matters happens within one.
PAST_NM = 1.5

NOW = (
    "quality", "last_quality", *TipState, *ImageState, "uncertainty", "novelty", "telling",
    "looks", "lines",
)  # fmt: skip
ACT = (
    "is_pulse", "is_penetration", "is_depth", "volts", "depth", "jump", "jump_known", "met",
    "quality_after", *TipState,
)  # fmt: skip
TRIED = ("count", "quality_mean", "quality_best", "jump_mean", "blunt_mean")
WHOLE = (
    "contact_known", "contact_depth", "traces", "actions", "pulses", "dips_in_row", "all_looks",
    "minutes", "area_left", "quality_best", "remedies", "waited",
)  # fmt: skip
LAYOUT = (
    *(f"now {name}" for name in NOW),
    *(f"act {back} {name}" for back in range(LATEST) for name in ACT),
    *(f"{choice.name} {name}" for choice in CHOICES for name in TRIED),
    *(f"whole {name}" for name in WHOLE),
)

Floats = NDArray[np.float32]


def layout_hash() -> str:
    """Names and order of all features and choices; another hash means another policy file."""
    layout = {"features": LAYOUT, "choices": [choice.name for choice in CHOICES]}
    return hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:16]


@dataclass(slots=True)
class _Deed:
    """An action and what came of it, as far as it is known."""

    choice: int
    numbers: list[float]
    jump: float
    after: TipReport | None = None


class Memory:
    """What the features are made of, brought up to date by every event of a history.

    Args:
        means: what actions are made with; tells how large the field is.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._reports: list[TipReport] = []
        self._combined: TipReport | None = None
        self._deeds: list[_Deed] = []
        self._tried = np.zeros((len(CHOICES), 4), np.float64)
        self._best = np.full(len(CHOICES), -1.0)
        self._contact_nm: float | None = None
        self._traces = False
        self._since_s: float | None = None
        self._now_s = 0.0
        self._looks = self._looks_here = self._dips = self._pulses = self._remedies = 0
        self._frame_m2 = self._strongest_v = 0.0
        self._waited = False

    @classmethod
    def of(cls, history: Iterable[Event], means: Means) -> Memory:
        """The memory that a history adds up to."""
        memory = cls(means)
        for event in history:
            memory.see(event)
        return memory

    @property
    def combined(self) -> TipReport:
        """All looks since the last action as one report."""
        if self._combined is None:
            self._combined = combine(self._reports)
        return self._combined

    @property
    def reports(self) -> list[TipReport]:
        """The looks since the last action."""
        return self._reports

    @property
    def actions(self) -> int:
        """How many actions there were."""
        return len(self._deeds)

    @property
    def situation(self) -> Situation:
        """What decides which choices make sense."""
        return Situation(
            self._contact_nm,
            self._trouble(),
            self._remedies,
            self._area_left(),
            self._waited,
            self._strongest_v,
            self.combined.spoiled,
        )

    def see(self, event: Event) -> None:
        """Take in one more event."""
        match event:
            case Looked():
                self._see_look(event)
            case Acted():
                self._see_act(event)

    def observation(self) -> Floats:
        """The features as ``LAYOUT`` names them, shape (features,); what is not finite stays so."""
        now = self.combined
        numbers = self._now(now)
        for back in range(1, LATEST + 1):
            numbers += self._act(back, now)
        numbers += self._per_choice(now).ravel().tolist()
        numbers += self._whole(now)
        found = np.array(numbers, np.float32)
        return np.where(np.isfinite(found), found.clip(-1, 1), np.nan)

    def _see_look(self, look: Looked) -> None:
        self._reports.append(look.report)
        self._combined = None
        self._passes(look.finished_s)
        self._looks += 1
        self._looks_here += 1
        self._frame_m2 = look.frame.width_m * look.frame.height_m

    def _see_act(self, act: Acted) -> None:
        self._settle()
        action, outcome = act.action, act.outcome
        choice = nearest(action, self._contact_nm)
        jump_nm = None if outcome.z_jump_m is None else outcome.z_jump_m / NM
        self._passes(outcome.finished_s)
        met = self._meet(act) if isinstance(action, Indentation) else False
        jump = 0.0 if jump_nm is None else math.tanh(jump_nm / JUMP_NM)
        kind = CHOICES[choice].kind
        depth_nm = action.depth_m / NM if isinstance(action, Indentation) else 0.0
        self._deeds.append(
            _Deed(
                choice,
                [
                    float(kind is Kind.PULSE),
                    float(kind is Kind.PENETRATION),
                    float(kind is Kind.DEPTH),
                    action.peak_bias_v / HIGH_V if isinstance(action, Pulse) else 0.0,
                    (depth_nm - (self._contact_nm or 0.0)) / PAST_NM if depth_nm else 0.0,
                    jump,
                    float(jump_nm is not None),
                    float(met),
                ],
                abs(jump),
            )
        )
        self._count(act)
        self._reports, self._combined = [], None

    def _count(self, act: Acted) -> None:
        action = act.action
        if isinstance(action, Pulse):
            self._pulses += 1
            self._strongest_v = max(self._strongest_v, abs(action.peak_bias_v))
        self._dips = self._dips + 1 if isinstance(action, Indentation) else 0
        self._waited = isinstance(action, Wait)
        remedy = isinstance(action, Wait | RetuneFeedback) and self._trouble() is not None
        self._remedies = self._remedies + 1 if remedy else 0
        if isinstance(action, CoarseMove):
            # Another field, and another distance to the metal.
            self._looks_here = 0

    def _meet(self, act: Acted) -> bool:
        """Whether an indentation met the metal; what it told about the depth is kept."""
        trace = act.outcome.trace
        self._traces = self._traces or trace is not None
        if not isinstance(act.action, Indentation):
            return False
        depth_m = contact_depth_m(act.action, act.outcome)
        # Without a trace only the search tells the depth; later dips go deeper on purpose.
        if depth_m is not None and not (self._contact_nm is not None and trace is None):
            self._contact_nm = depth_m / NM
        return depth_m is not None and depth_m <= act.action.depth_m

    def _settle(self) -> None:
        """The last action has had its effect: from here on it counts among what was tried."""
        if not self._deeds:
            return
        deed, after = self._deeds[-1], self.combined
        deed.after = after
        quality = _odds(after.quality)
        self._tried[deed.choice] += (1.0, quality, deed.jump, after.states[TipState.BLUNT])
        self._best[deed.choice] = max(self._best[deed.choice], quality)

    def _passes(self, time_s: float) -> None:
        self._since_s = time_s if self._since_s is None else self._since_s
        self._now_s = time_s

    def _trouble(self) -> ImageState | None:
        """What is wrong with the image, where that is more probable than any fault of the tip."""
        now = self.combined
        if now.not_assessable is not None or not now.image:
            return None
        state = max(now.image, key=lambda one: now.image[one])
        sure = now.image[state] >= max(TROUBLE, *now.states.values())
        return state if sure else None

    def _area_left(self) -> float:
        width, height = (USABLE * side for side in self._means.range_m)
        return max(1 - self._looks_here * self._frame_m2 / (width * height), 0.0)

    def _now(self, now: TipReport) -> list[float]:
        last = self._reports[-1] if self._reports else now
        return [
            _odds(now.quality),
            _odds(last.quality),
            *(now.states[state] for state in TipState),
            *(now.image.get(state, 0.5) for state in ImageState),
            2 * now.uncertainty,
            now.novelty / 3,
            len(evidence(self._reports)) / LOOKS,
            len(self._reports) / LOOKS,
            last.lines / 256,
        ]

    def _act(self, back: int, now: TipReport) -> list[float]:
        if back > len(self._deeds):
            return [0.0] * len(ACT)
        deed = self._deeds[-back]
        after = deed.after or now
        return [
            *deed.numbers,
            _odds(after.quality),
            *(after.states[state] for state in TipState),
        ]

    def _per_choice(self, now: TipReport) -> NDArray[np.float64]:
        """What came of each choice so far, the last action as it looks now."""
        tried, best = self._tried, self._best
        if self._deeds:
            deed, quality = self._deeds[-1], _odds(now.quality)
            tried, best = tried.copy(), best.copy()
            tried[deed.choice] += (1.0, quality, deed.jump, now.states[TipState.BLUNT])
            best[deed.choice] = max(best[deed.choice], quality)
        count = tried[:, 0]
        some, once = count > 0, np.maximum(count, 1)
        return np.stack(
            [
                np.log1p(count) / math.log(50),
                tried[:, 1] / once,
                np.where(some, best, 0.0),
                tried[:, 2] / once,
                # How blunt a depth leaves the tip tells on which side of the best one it lies.
                tried[:, 3] / once,
            ],
            axis=1,
        )

    def _whole(self, now: TipReport) -> list[float]:
        known = self._contact_nm is not None
        minutes = (self._now_s - (self._since_s or 0.0)) / 60
        tried = self._tried[:, 0] > 0
        best = float(self._best[tried].max()) if tried.any() else _odds(now.quality)
        return [
            float(known),
            (self._contact_nm or 0.0) / DEEP_NM,
            float(self._traces),
            _log_share(len(self._deeds), ACTIONS),
            _log_share(self._pulses, ACTIONS),
            _log_share(self._dips, 50),
            _log_share(self._looks, 3 * ACTIONS),
            _log_share(minutes, MINUTES),
            self._area_left(),
            best,
            self._remedies / 3,
            float(self._waited),
        ]


def _odds(quality: float) -> float:
    """Log-odds of a quality, -1..1."""
    return math.log(max(quality, SURE) / max(1 - quality, SURE)) / SUREST


def _log_share(value: float, most: float) -> float:
    return math.log1p(value) / math.log1p(most)
