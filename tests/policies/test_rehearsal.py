"""Rehearsed repairs follow the rules of the episode; the environment keeps gymnasium's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample_map import Site
from policies.conditioner import EscalationRule
from policies.conditioner.catalogue import CHOICES
from policies.conditioner.features import LAYOUT, Memory
from policies.episode import Act, Declare, Look, Step, next_step
from policies.history import Event, History, Looked
from policies.plan import RepairPlan
from policies.proposal import GiveUp, Proposal
from policies.training import rehearsal
from policies.training.bank import Bank
from policies.training.figures import figures
from policies.training.rehearsal import ConditioningEnv, landing, rehearse, wanted
from tests.policies.rehearsed import AT, DIP, PRESET, acted, honest_bank, means, report

PLAN = RepairPlan(confirm_spots=2, most_spots=4, search_looks=5, max_actions=3, max_hours=1000.0)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return honest_bank()


@dataclass
class Fixed:
    def propose(self, history: History) -> Proposal:
        return Proposal(DIP, "because")


def named(step: Step) -> str:
    match step:
        case Look(whole=whole):
            return "look_whole" if whole else "look"
        case Act():
            return "act"
        case Declare(outcome=outcome):
            return outcome


@given(st.lists(st.tuples(st.floats(0.02, 0.99), st.sampled_from([0.0, 20e-9])), max_size=40))
def test_decisions_are_those_of_the_episode(looks: list[tuple[float, float]]) -> None:
    memory, history = Memory(means()), list[Event]()
    for quality, clear_m in [*looks, *[(0.01, 20e-9)] * 40]:
        step = next_step(history, PLAN, Fixed(), (800e-9, 800e-9))
        ours: str = wanted(memory, history, PLAN)
        if ours == "act":
            ours = landing(memory, history[-1], DIP, PLAN)
        assert ours == named(step)
        event: Event
        match step:
            case Look():
                site = Site(step.frame.x_m, step.frame.y_m, clear_m) if clear_m else None
                event = Looked(step.frame, report(quality), site, 25.0 * len(history))
            case Act():
                event = acted(step.action, 1e-10, 25.0 * len(history))
            case Declare():
                return
        history.append(event)
        memory.see(event)
    raise AssertionError("the episode does not end")


def test_the_rule_repairs_tips_under_an_honest_scorer(bank: Bank) -> None:
    rule = EscalationRule(AT)
    ended = [
        rehearse(PRESET, bank, rule, np.random.default_rng([1, seed]), rehearsal.PLAN)
        for seed in range(12)
    ]
    told = figures(ended)
    assert told["success"] > 0.6
    assert 2 < told["actions"] < 80
    assert all(one.looks > one.actions for one in ended)


def test_giving_up_ends_a_repair(bank: Bank) -> None:
    class Tired:
        def propose(self, history: History) -> Proposal:
            return Proposal(GiveUp(), "tired")

    ended = rehearse(PRESET, bank, Tired(), np.random.default_rng(2), rehearsal.PLAN)
    assert not ended.declared
    assert ended.actions == 0


def test_the_environment_is_one_of_gymnasium(bank: Bank) -> None:
    env = ConditioningEnv(PRESET, bank, (1, 2))
    # Its checker takes masked choices as well: they are not carried out, and end the repair.
    check_env(env, skip_render_check=True)


def test_episodes_repeat_from_their_seed_and_rewards_are_costs(bank: Bank) -> None:
    def played() -> list[tuple[float, bool]]:
        env, rng = ConditioningEnv(PRESET, bank, (5,)), np.random.default_rng(0)
        env.reset(seed=11)
        steps = []
        for _ in range(60):
            choice = rng.choice(np.flatnonzero(env.action_masks()))
            observation, reward, over, truncated, info = env.step(choice)
            assert observation.shape == (len(LAYOUT),)
            assert reward < 0
            assert not truncated
            assert over == ("ended" in info)
            steps.append((reward, over))
            if over:
                env.reset()
        return steps

    assert played() == played()


def test_masks_follow_what_is_known(bank: Bank) -> None:
    env = ConditioningEnv(PRESET, bank, (7,))
    env.reset(seed=3)
    kinds = {choice.kind for choice, on in zip(CHOICES, env.action_masks(), strict=True) if on}
    assert "depth" in kinds
    assert "penetration" not in kinds


@pytest.mark.parametrize(
    ("quality", "declared", "scans"),
    [(1e-6, True, rehearsal.FALSE_SCANS), (1 - 1e-9, False, rehearsal.GAVE_UP_SCANS)],
)
def test_a_false_good_and_a_repair_given_up_cost_extra(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, quality: float, declared: bool, scans: float
) -> None:
    env = ConditioningEnv(PRESET, bank, (9,))
    env.reset(seed=1)
    plan = RepairPlan(
        max_actions=0, max_hours=1000.0, confirm_spots=1, most_spots=1, confirm_quality=quality
    )
    monkeypatch.setattr(env._repair, "_plan", plan)
    index = next(k for k in np.flatnonzero(env.action_masks()) if CHOICES[k].kind == "depth")
    while not (stepped := env.step(index))[2]:
        pass
    _, reward, _, _, info = stepped
    assert info["ended"].declared is declared
    assert not info["ended"].truly_good
    assert reward < -scans / rehearsal.SCANS_PER_VALUE
