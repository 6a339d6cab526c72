"""Who takes part: each published system as published, and again with our eye."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drivers.actions import TunnellingPoint
from drivers.envelope import Limits
from policies.acceptance import Acceptance, FreshSpots
from policies.conditioner.catalogue import Means
from policies.conditioner.learned import LearnedPolicy, shipped_brain
from policies.conditioner.rules import autostm, deepspm, diao, mast, scanbot
from policies.conditioner.rules.closed_loop import ClosedLoop
from policies.conditioner.rules.deepspm_network import shipped as shipped_deepspm
from policies.conditioner.rules.escalation import EscalationRule
from policies.conditioner.rules.informed import Informed
from policies.conditioner.rules.ladder import OpenLoopLadder
from policies.conditioner.rules.single import RepeatedAction
from policies.conditioner.rules.uniform import uniform
from policies.plan import RepairPlan
from policies.proposal import Policy
from sim.world import World

AS_PUBLISHED = ", as published"
INFORMED = "informed bound"
LEARNED = "learned policy"
DEEPSPM = "DeepSPM"


@dataclass(frozen=True, slots=True)
class Bout:
    """What an entrant is set up with for one episode.

    Attributes:
        world: for the informed bound, and for trainings that are told the truth; nobody else may
            look at it.
        at: tunnelling point of actions.
        limits: the envelope.
        plan: when the repair ends.
        scan_s: time of a whole scan (s).
        seed: for those that draw.
    """

    world: World
    at: TunnellingPoint
    limits: Limits
    plan: RepairPlan
    scan_s: float
    seed: int


Entering = Callable[[str, Bout], tuple[Policy, Acceptance]]


def _learned(bout: Bout) -> Policy:
    range_m = bout.world.range_m[:2]
    means, rule = Means(bout.at, bout.limits, range_m), EscalationRule(bout.at, bout.limits)
    return LearnedPolicy(shipped_brain(), means, rule, bout.scan_s)


def _deepspm(bout: Bout) -> Policy:
    return deepspm.DeepSPM(shipped_deepspm().network, deepspm.Table(bout.at, bout.limits))


RULES: dict[str, Callable[[Bout], Policy]] = {
    "uniform random": lambda b: uniform(b.at, b.limits, b.seed),
    "best single action": lambda b: RepeatedAction(b.at, b.limits),
    "open-loop ladder": lambda b: OpenLoopLadder(b.at, b.limits),
    "closed loop": lambda b: ClosedLoop(b.at, b.limits),
    "escalation": lambda b: EscalationRule(b.at, b.limits),
    "Scanbot": lambda b: scanbot.ScanbotRule(b.at, b.limits, b.seed),
    "Diao": lambda b: diao.DiaoLadder(b.limits),
    "MAST": lambda b: mast.MastRule(b.at, b.limits),
    "AutoSTM": lambda b: autostm.six_actions(b.at, b.limits, b.seed),
    DEEPSPM: _deepspm,
    LEARNED: _learned,
}
#: How the published ones decide by themselves that a tip is good.
OWN: dict[str, Callable[[], Acceptance]] = {
    "Scanbot": scanbot.RoundImprint,
    "Diao": diao.acceptance,
    "MAST": mast.RoundCluster,
    "AutoSTM": autostm.acceptance,
    DEEPSPM: deepspm.acceptance,
}
#: Hash of what those that learned have learned.
WEIGHTS: dict[str, Callable[[], str]] = {
    LEARNED: lambda: shipped_brain().manifest.sha256,
    DEEPSPM: lambda: shipped_deepspm().manifest.sha256,
}


def names() -> tuple[str, ...]:
    """All entrants, the informed bound last."""
    return (*RULES, *(name + AS_PUBLISHED for name in OWN), INFORMED)


def learned_by(name: str) -> str:
    """Hash of the weights that an entrant plays by; empty for those that have learned nothing.

    Raises:
        FileError: the weights are missing or damaged.
    """
    weights = WEIGHTS.get(name.removesuffix(AS_PUBLISHED))
    return weights() if weights else ""


def enter(name: str, bout: Bout) -> tuple[Policy, Acceptance]:
    """The policy and the acceptance of an entrant.

    Raises:
        KeyError: there is none of this name.
        FileError: what it has learned is missing or damaged.
    """
    if name == INFORMED:
        informed = Informed(bout.world, bout.at, bout.limits, bout.plan)
        return informed, informed
    rule = name.removesuffix(AS_PUBLISHED)
    policy = RULES[rule](bout)
    return policy, OWN[rule]() if name != rule else FreshSpots(bout.plan)
