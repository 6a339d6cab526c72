"""One repair of one simulated tip, driven by the same state machine as the agent's.

A trial runs until it needs the scorer, asks, and goes on with the answer, so that many of them can
be judged together. Chance is keyed by the number of the action and of the look after it: two
policies on the same episode meet the same luck at the same point.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from drivers.actions import Action, CoarseMove, Indentation, MoveTo, Pulse
from drivers.envelope import check_action, check_scan
from drivers.errors import InstrumentError, Refused
from drivers.outcome import Outcome
from drivers.sample_map import RELIEF_M, Site, spoiled_diameter_m
from drivers.scan import Frame, Scan
from policies import observe
from policies.episode import Act, Declare, Look, next_step
from policies.history import Acted, Event, Looked, area_left, last_look
from policies.legal import approach
from policies.report import TipReport
from policies.trials.course import Course
from policies.trials.entrants import Bout, Entering, enter
from policies.trials.record import Ending, Record
from sim.environments.ground import clearest, patch_points
from sim.scanning import picture
from sim.scans.kernels import Floats

NM = 1e-9
#: What chance is drawn for: the action, a look, and the scan after the end.
ACTING, LOOKING, AFTER = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Question:
    """A scan to be judged.

    Attributes:
        scan: partly scanned or whole.
        by_lines: whether only its lines so far are to be read, as while it runs.
    """

    scan: Scan
    by_lines: bool


Asking = Generator[Question, TipReport, Looked]


@runtime_checkable
class Seeing(Protocol):
    """A policy that chooses from pictures, which the history does not hold."""

    def see(self, scan: Scan) -> None:
        """Take note of a look's scan, before the policy is asked about it."""
        ...


class Trial:
    """One entrant's repair of one tip.

    Args:
        course: what is the same for all.
        entrant: its name.
        number: of the episode.
        stop: probability of a good tip below which the lines so far are hopeless.
        entering: makes policy and acceptance of the entrant.
    """

    def __init__(
        self, course: Course, entrant: str, number: int, stop: float, entering: Entering = enter
    ) -> None:
        self._course, self._number, self._stop = course, number, stop
        self._world = course.open_world(number)
        self._limits = course.limits()
        bout = Bout(self._world, course.at, self._limits, course.plan, course.scan_s, number)
        self._policy, self._acceptance = entering(entrant, bout)
        self._history: list[Event] = []
        self._actions = self._looks = self._lines = self._spoiled_good = 0
        self._area_nm2 = 0.0

    def run(self) -> Generator[Question, TipReport, Record]:
        """Repair the tip; each question is answered with a report."""
        x_m, y_m, _ = self._world.range_m
        try:
            while True:
                step = next_step(
                    self._history, self._course.plan, self._policy, (x_m, y_m), self._acceptance
                )
                match step:
                    case Look():
                        self._history.append((yield from self._look(step)))
                    case Act():
                        self._history.append(self._act(step))
                    case Declare():
                        return self._record(step.outcome, step.reason)
        except (InstrumentError, Refused) as error:
            return self._record("stopped", str(error))

    def _look(self, step: Look) -> Asking:
        world, settings = self._world, self._course.scan(step.frame)
        check_scan(settings, world.state(), self._limits)
        world.reseed(self._actions, LOOKING, self._looks)
        self._looks += 1
        pauses = (settings.lines,) if step.whole else self._course.pauses
        parts = world.parts(settings, pauses)
        for heights in parts:
            scan = picture(settings, heights)
            if len(heights) == settings.lines:
                break
            if (yield Question(scan, by_lines=True)).quality < self._stop:
                break
        parts.close()
        self._lines += len(heights)
        if isinstance(self._policy, Seeing):
            self._policy.see(scan)
        report = yield Question(scan, by_lines=False)
        site = _clear_site(step.frame, heights)
        return observe.looked(scan, report, site, world.time_s, of_imprint=step.imprint)

    def _act(self, step: Act) -> Acted:
        world, action, site = self._world, step.action, step.site
        good = world.is_good
        self._actions += 1
        self._looks = 0
        world.reseed(self._actions, ACTING)
        if isinstance(action, Pulse | Indentation):
            speed = self._course.travel_nm_per_s * NM
            self._perform(MoveTo(x_m=site.x_m, y_m=site.y_m, speed_m_per_s=speed))
        outcome = self._perform(action)
        if isinstance(action, CoarseMove):
            self._perform(approach(self._course.at, self._limits))
        self._spoiled_good += good and not world.is_good
        self._area_nm2 += math.pi / 4 * (spoiled_diameter_m(action) / NM) ** 2
        return Acted(action, site.x_m, site.y_m, outcome)

    def _perform(self, action: Action) -> Outcome:
        check_action(action, self._world.state(), self._limits)
        return self._world.apply(action)

    def _record(self, outcome: Ending, reason: str) -> Record:
        world, course = self._world, self._course
        seconds, truly_good = world.time_s, world.is_good
        scanned_s = self._lines * (course.forward_s + course.backward_s)
        return Record(
            number=self._number,
            outcome=outcome,
            truly_good=truly_good,
            kept=outcome == "good" and truly_good and self._lasts(),
            actions=self._actions,
            scans=self._lines / course.pixels,
            other_s=seconds - scanned_s,
            area_nm2=self._area_nm2,
            area_left=area_left(self._history, world.range_m[:2]),
            spoiled_good=self._spoiled_good,
            reason=reason,
        )

    def _lasts(self) -> bool:
        """Whether the tip is still good after one more scan."""
        last = last_look(self._history)
        self._world.reseed(self._actions, AFTER)
        self._world.scan(self._course.scan(last.frame))
        return self._world.is_good


def _clear_site(frame: Frame, heights_nm: Floats) -> Site | None:
    """The clearest spot of a scan downwards: that of ``drivers.sample_map.clear_site``, faster."""
    pixels = heights_nm.shape[2]
    pitch = frame.width_m / NM / pixels
    nothing = np.empty((0, 3))
    row, column, clear = clearest(heights_nm, pitch, patch_points(pitch), RELIEF_M / NM, nothing)
    if not clear:
        return None
    u = (column + 0.5) * pitch * NM - frame.width_m / 2
    v = frame.height_m / 2 - (row + 0.5) * pitch * NM
    return Site(*frame.to_sample(u, v), clear * NM)
