"""Repairs in the compact world: the rules of the episode, and a gymnasium environment of them.

``policies.episode.next_step`` folds the whole history into a map of the sample at every step, which
is right for one microscope and far too slow to train with. Here the same decisions are taken from
the looks since the last action alone; a test holds both against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from drivers.actions import Action, CoarseMove, Indentation, Pulse, RetuneFeedback
from drivers.envelope import Limits
from drivers.sample_map import spoiled_diameter_m
from drivers.scan import Frame
from policies.combining import evidence
from policies.conditioner.catalogue import CHOICES, Mask, Means
from policies.conditioner.features import LAYOUT, Floats, Memory
from policies.history import Event, History, Looked
from policies.plan import RepairPlan
from policies.proposal import DeclareGood, GiveUp, Policy
from policies.training.bank import Bank
from policies.training.compact import CompactWorld, Rig
from policies.training.gather import AT
from sim.presets.preset import Preset

Wanted = Literal["look", "look_whole", "act", "good", "gave_up"]

#: Repairs of the training end here: nearly all are over long before.
PLAN = RepairPlan(max_actions=100, max_hours=1000.0)
#: Whole scans' time that one unit of reward stands for.
SCANS_PER_VALUE = 20.0
#: What else costs like scans: a frame's area spoiled, the largest action allowed, an end without a
#: good tip, and a tip declared good that is not.
AREA_SCANS, RISK_SCANS, GAVE_UP_SCANS, FALSE_SCANS = 0.5, 0.5, 100.0, 50.0


def wanted(memory: Memory, history: History, plan: RepairPlan) -> Wanted:
    """What the episode wants next, an action apart; see ``policies.episode.next_step``."""
    last = history[-1] if history else None
    if not isinstance(last, Looked):
        return "look"
    reports, quality = memory.reports, memory.combined.quality
    if quality >= plan.confirm_quality and len(evidence(reports)) >= plan.confirm_spots:
        return "good"
    if quality >= plan.doubt_quality and len(reports) < plan.most_spots:
        return "look_whole"
    if memory.situation.area_left <= 0 or memory.actions >= plan.max_actions:
        return "gave_up"
    return "act"


def landing(
    memory: Memory, last: Event, action: Action, plan: RepairPlan
) -> Literal["act", "look_whole", "gave_up"]:
    """Whether an action finds a spot in the last look; see ``policies.episode.next_step``."""
    site = last.site if isinstance(last, Looked) else None
    clear_m = site.clear_m if site is not None else 0.0
    if clear_m >= spoiled_diameter_m(action):
        return "act"
    return "gave_up" if len(memory.reports) >= plan.search_looks else "look_whole"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a repair ended.

    Attributes:
        declared: whether the tip was declared good.
        truly_good: whether it is.
        actions: how many it took.
        looks: how many it took.
        scans: instrument time in whole scans.
    """

    declared: bool
    truly_good: bool
    actions: int
    looks: int
    scans: float


class Repair:
    """One repair in the compact world, from event to event."""

    def __init__(self, world: CompactWorld, means: Means, plan: RepairPlan) -> None:
        self.world = world
        self.memory = Memory(means)
        self.history: list[Event] = []
        self._plan = plan
        self.ended: Ended | None = None
        self._go_on()

    def act(self, action: Action | None) -> None:
        """Carry out ``action``, or look for a spot where it can be; None gives up."""
        where = "gave_up"
        if action is not None:
            where = landing(self.memory, self.history[-1], action, self._plan)
        if action is None or where == "gave_up":
            self._end(declared=False)
            return
        # With one more look somebody may choose differently.
        acts = where == "act"
        self._remember(self.world.act(action) if acts else self.world.look(whole=True))
        self._go_on()

    def _go_on(self) -> None:
        """Look until somebody has to choose, or the repair is over."""
        while (want := wanted(self.memory, self.history, self._plan)).startswith("look"):
            self._remember(self.world.look(whole=want == "look_whole"))
        if want != "act":
            self._end(declared=want == "good")

    def _remember(self, event: Event) -> None:
        self.history.append(event)
        self.memory.see(event)

    def _end(self, *, declared: bool) -> None:
        looks = sum(isinstance(event, Looked) for event in self.history)
        self.ended = Ended(
            declared=declared,
            truly_good=self.world.is_good,
            actions=len(self.history) - looks,
            looks=looks,
            scans=self.world.time_s / self.world.rig.scan_s,
        )


def usual_frame() -> Frame:
    """The frame that looks are taken in."""
    side = PLAN.frame_nm * 1e-9
    return Frame(x_m=0.0, y_m=0.0, width_m=side, height_m=side)


def usual_means(preset: Preset) -> Means:
    """The usual tunnelling point and gains within the widest envelope."""
    control = preset.controller
    usual = RetuneFeedback(
        p_gain_m=control.p_gain_pm * 1e-12, time_constant_s=control.time_constant_us * 1e-6
    )
    lateral_m = control.range_xy_nm * 1e-9
    return Means(AT, Limits(), (lateral_m, lateral_m), usual)


def rehearse(
    preset: Preset,
    bank: Bank,
    policy: Policy,
    rng: np.random.Generator,
    plan: RepairPlan,
    rig: Rig | None = None,
) -> Ended:
    """One repair by ``policy``."""
    repair = Repair(CompactWorld(preset, bank, rng, usual_frame(), rig), usual_means(preset), plan)
    while repair.ended is None:
        choice = policy.propose(repair.history).choice
        repair.act(None if isinstance(choice, DeclareGood | GiveUp) else choice)
    return repair.ended


class ConditioningEnv(gymnasium.Env[Floats, np.int64]):
    """Repairs one after the other; an action is an index into the catalogue.

    ``action_masks`` says what is allowed, as sb3-contrib's maskable algorithms ask. A repair in
    which nothing is allowed any more is given up at once.
    """

    def __init__(self, preset: Preset, bank: Bank, seed: tuple[int, ...]) -> None:
        self.observation_space = spaces.Box(-1, 1, (len(LAYOUT),), np.float32)
        self.action_space = spaces.Discrete(len(CHOICES))
        self._preset, self._bank = preset, bank
        self.np_random = np.random.default_rng(seed)
        self._means = usual_means(preset)
        self._mask: Mask = np.ones(len(CHOICES), np.bool_)
        self._repair = self._begun()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin another repair; one that needs no action is not told about."""
        super().reset(seed=seed, options=options)
        self._repair = self._begun()
        while self._over():
            self._repair = self._begun()
        return self._repair.memory.observation(), {}

    def step(self, action: np.int64) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Carry out a choice, and look until the next one; a masked one gives up."""
        repair = self._repair
        before_s, acted = repair.world.time_s, repair.memory.actions
        deed = None
        if self._mask[action]:
            deed = self._means.action(int(action), repair.memory.situation.contact_nm)
        repair.act(deed)
        scans = (repair.world.time_s - before_s) / repair.world.rig.scan_s
        # Without a spot for it there was only another look.
        scans += _wear(deed) if repair.memory.actions > acted else 0.0
        over, info = self._over(), {}
        ended = repair.ended
        if over and ended:
            scans += FALSE_SCANS * (ended.declared and not ended.truly_good)
            scans += GAVE_UP_SCANS * (not ended.declared)
            info = {"ended": ended}
        return repair.memory.observation(), -scans / SCANS_PER_VALUE, over, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which choices are allowed now."""
        return self._mask

    def _begun(self) -> Repair:
        world = CompactWorld(self._preset, self._bank, self.np_random, usual_frame())
        return Repair(world, self._means, PLAN)

    def _over(self) -> bool:
        """Whether the repair has ended, or has to because nothing is allowed any more."""
        if self._repair.ended is None:
            self._mask = self._means.mask(self._repair.memory.situation)
            if not self._mask.any():
                self._repair.act(None)
        return self._repair.ended is not None


def _wear(action: Action | None) -> float:
    """What an action costs besides its time, in scans."""
    match action:
        case Pulse():
            share = abs(action.peak_bias_v) / Limits().max_pulse_v
        case Indentation():
            share = action.depth_m * 1e9 / Limits().max_depth_nm
        case CoarseMove():
            share = 1.0
        case _:
            return 0.0
    area = (spoiled_diameter_m(action) * 1e9 / PLAN.frame_nm) ** 2
    return RISK_SCANS * share + AREA_SCANS * area
