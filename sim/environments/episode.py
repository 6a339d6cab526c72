"""One episode: a world, what was done to it, and what a policy is told and charged for it."""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np

from drivers.actions import Action
from drivers.envelope import check_action
from drivers.errors import ApproachFailed
from drivers.microscope import Feedback
from drivers.outcome import Outcome
from sim.environments.catalogue import NM, PM, Choice, Kind
from sim.environments.features import action_features
from sim.environments.ground import flatten
from sim.environments.memory import INFO, NUMBERS, Bools, Memory, within
from sim.environments.place import Place
from sim.environments.setup import Setup, travel
from sim.environments.worlds import episode_preset
from sim.scans.kernels import Floats
from sim.world import World

#: What chance is drawn for: the action itself, and the scan after it.
ACTING, LOOKING = 1, 2


class Episode:
    """A world and a policy's way through it, in steps of three phases: act, scan, report.

    A new episode begins with a scan, as if it had just acted.

    Chance is keyed by the number of the action, so that two policies meet the same luck.

    Args:
        setup: the kind of episode.
        number: decides the world, the tip and all chance.
    """

    def __init__(self, setup: Setup, number: int) -> None:
        self._setup = setup
        self._number = number
        self._world = World(episode_preset(setup.preset, setup.worlds, number), number)
        self._place = Place(setup.frames, setup.config.flat_pm)
        self._spoils = [float(size) for size in np.unique(setup.spoiled_m) if size]
        self._actions = 0
        self._allowed = setup.allowed
        self._scan: Generator[Floats] | None = None
        self._lines = 0
        self._begin(None)
        self._look()

    # ---- The phases of a step

    def act(self, index: int) -> None:
        """Carry out a choice, or refuse it; a scan begins unless it was the last word."""
        choice = self._setup.choices[index]
        self._actions += 1
        self._begin(choice)
        self._refused = not self._allowed[index]
        if self._refused or choice.kind is Kind.DECLARE_GOOD:
            return
        self._world.reseed(self._actions, ACTING)
        self._risk = choice.risk
        self._perform(choice)
        self._look()

    @property
    def scanning(self) -> bool:
        """Whether a scan runs."""
        return self._scan is not None

    def advance(self, heights: Floats) -> int:
        """Scan up to the next pause into ``heights`` (lines, 2, pixels; nm); return the lines."""
        if self._scan is not None:
            taken = next(self._scan)
            self._lines = len(taken)
            heights[: self._lines] = taken
        return self._lines

    def report(self, memory: Memory, row: int) -> None:
        """End the scan and the step: write what came of it to row ``row`` of ``memory``."""
        if self._scan is not None:
            self._scan.close()
            self._scan = None
            heights = memory.heights[row, : self._lines]
            flatten(heights, memory.scan[row])
            self._place.look(heights)
        elif self._lines == 0:
            memory.scan[row] = 0
        self._remember(memory.history[row])
        memory.lines[row] = self._lines
        memory.numbers[row] = self._numbers()
        memory.masks[row] = self._allowed = self._masks()
        memory.rewards[row] = self._reward()
        memory.terminated[row] = self._declared
        memory.truncated[row] = not self._declared and self._is_over()
        memory.info[row] = self._info()

    # ---- Inside

    def _masks(self) -> Bools:
        """Which choices are allowed now, shape (choices,)."""
        setup = self._setup
        free = next((size for size in reversed(self._spoils) if self._place.is_clear(size)), 0.0)
        allowed: Bools = setup.allowed & (setup.spoiled_m <= free)
        if self._world.feedback is not Feedback.ON:
            allowed &= ~setup.in_contact
        if self._place.left <= 0:
            allowed &= ~setup.onwards
        return allowed

    def _begin(self, choice: Choice | None) -> None:
        self._choice = choice
        self._outcome: Outcome | None = None
        self._since_s = self._world.time_s
        self._risk = self._area_nm2 = 0.0
        self._refused = False

    def _perform(self, choice: Choice) -> None:
        site = self._place.site
        actions = choice.actions
        if choice.spoiled_m and site is not None:
            self._place.touch(choice.spoiled_m)
            self._area_nm2 = math.pi / 4 * (choice.spoiled_m / NM) ** 2
            actions = (travel(self._setup.config, site.x_m, site.y_m), *actions)
        try:
            for action in actions:
                self._send(action)
        except ApproachFailed:
            # The tip hangs in the air or still drifts; either way the policy must see to it.
            pass
        if choice.kind is Kind.ANOTHER_SPOT:
            self._place.next_frame()
        elif choice.kind is Kind.COARSE_MOVE:
            self._place = Place(self._setup.frames, self._setup.config.flat_pm)

    def _send(self, action: Action) -> None:
        check_action(action, self._setup.state, self._setup.limits)
        self._outcome = self._world.apply(action)

    def _look(self) -> None:
        self._lines = 0
        if self._world.feedback is Feedback.ON:
            self._world.reseed(self._actions, LOOKING)
            self._scan = self._world.parts(self._place.settings, self._setup.ends)

    @property
    def _declared(self) -> bool:
        return self._choice is not None and self._choice.kind is Kind.DECLARE_GOOD

    @property
    def _good(self) -> bool:
        return self._world.is_good

    def _is_over(self) -> bool:
        config = self._setup.config
        late = self._world.time_s >= config.max_hours * 3600
        return late or self._actions >= config.max_actions

    def _reward(self) -> float:
        law = self._setup.config.reward
        if self._choice is None:
            return 0.0
        cost = law.per_s * (self._world.time_s - self._since_s) + law.per_nm2 * self._area_nm2
        cost += law.per_risk * self._risk + law.refused * self._refused
        end = (law.good if self._good else -law.wrong) if self._declared else 0.0
        return end - cost

    def _remember(self, history: Floats) -> None:
        if self._choice is None:
            history[:] = 0
            return
        history[1:] = history[:-1].copy()
        scanned = 0.0 if self._refused else self._lines / self._setup.config.pixels
        history[0] = action_features(self._choice, self._outcome, self._refused, scanned)

    def _numbers(self) -> list[float]:
        config, world = self._setup.config, self._world
        site, usual_gain = self._place.site, self._setup.preset.controller.p_gain_pm * PM
        values = {
            "scanned": self._lines / config.pixels,
            "site_nm": site.clear_m / NM if site else 0.0,
            "area_left": self._place.left,
            "time_used": world.time_s / (config.max_hours * 3600),
            "actions_used": self._actions / config.max_actions,
            "gain_decades": math.log10(world.p_gain_m / usual_gain),
        }
        return [within(values[name], bounds) for name, bounds in NUMBERS.items()]

    def _info(self) -> list[float]:
        world, tip = self._world, self._world.tip
        values = {
            "episode": self._number,
            "action_number": self._actions,
            "refused": self._refused,
            "lines": self._lines,
            "time_s": world.time_s,
            "seconds": world.time_s - self._since_s,
            "area_nm2": self._area_nm2,
            "risk": self._risk,
            "radius_nm": tip.radius_nm,
            "gap_nm": tip.gap_nm,
            "contaminated": not tip.clean,
            "stable": tip.stable,
            "good": self._good,
        }
        return [values[name] for name in INFO]
