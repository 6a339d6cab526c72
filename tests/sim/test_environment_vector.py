"""Many worlds in step: the same as one by one, in this process and in others."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from drivers.errors import ConfigError, ConnectionLost
from sim.environments import ENVIRONMENT
from sim.environments.config import EnvironmentConfig
from sim.environments.tip_conditioning import TipConditioning
from sim.environments.vector import VectorTipConditioning

CONFIG = EnvironmentConfig(pixels=32, frame_nm=16.0, max_actions=4)
WORLDS = 3


class StopRough:
    """Ends the scans over the rougher half of what it knows; every world is judged by itself."""

    lines = (8, 16)

    def __call__(self, heights_m: np.ndarray) -> np.ndarray:
        return np.ptp(heights_m, axis=(1, 2, 3)) > 0.3e-9


def choose(masks: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(masks[:-1])))


def one_by_one(steps: int, seed: int, rule: StopRough | None) -> list[dict[str, np.ndarray]]:
    """What a vector environment should tell: single ones, reset in the step after their end."""
    envs = [TipConditioning(config=CONFIG, stop_rule=rule) for _ in range(WORLDS)]
    rngs = [np.random.default_rng(i) for i in range(WORLDS)]
    seen = [env.reset(seed=seed + i)[0] for i, env in enumerate(envs)]
    over, told = [False] * WORLDS, [{n: np.stack([o[n] for o in seen]) for n in seen[0]}]
    for _ in range(steps):
        rows = []
        for i, env in enumerate(envs):
            action = choose(env.action_masks(), rngs[i])
            if over[i]:
                rows.append((env.reset()[0], 0.0, False, False))
            else:
                rows.append(env.step(action)[:4])
            over[i] = rows[-1][2] or rows[-1][3]
        columns = list(zip(*rows, strict=True))
        told.append({n: np.stack([o[n] for o in columns[0]]) for n in columns[0][0]})
        told[-1] |= dict(
            zip(("rewards", "terminated", "truncated"), map(np.array, columns[1:]), strict=True)
        )
    return told


def together(env: VectorTipConditioning, steps: int, seed: int) -> list[dict[str, np.ndarray]]:
    rngs = [np.random.default_rng(i) for i in range(WORLDS)]
    told = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        pairs = zip(env.action_masks(), rngs, strict=True)
        seen, rewards, terminated, truncated, _ = env.step(
            np.array([choose(mask, rng) for mask, rng in pairs])
        )
        ends = {"rewards": rewards, "terminated": terminated, "truncated": truncated}
        told.append({**seen, **ends})
    return told


def assert_same(one: list[dict[str, np.ndarray]], other: list[dict[str, np.ndarray]]) -> None:
    for step, (a, b) in enumerate(zip(one, other, strict=True)):
        assert a.keys() == b.keys()
        for name in a:
            assert np.array_equal(a[name], b[name]), (step, name)


@pytest.mark.parametrize("rule", [None, StopRough()])
def test_many_do_what_each_would_do_alone(rule: StopRough | None):
    env = VectorTipConditioning(WORLDS, config=CONFIG, stop_rule=rule)
    told = together(env, 10, 7)
    assert_same(told, one_by_one(10, 7, rule))
    assert sum(row["truncated"].sum() for row in told[1:]) == 2 * WORLDS
    scanned = {float(share) for row in told for share in row["numbers"][:, 0]}
    assert scanned == {1.0} if rule is None else {1.0} < scanned <= {0.25, 0.5, 1.0}


def test_processes_do_the_same():
    env = VectorTipConditioning(WORLDS, config=CONFIG, stop_rule=StopRough(), workers=2)
    try:
        assert_same(together(env, 6, 7), one_by_one(6, 7, StopRough()))
        env._crews[0]._process.kill()
        env._crews[0]._process.join()
        with pytest.raises(ConnectionLost, match="standard error"):
            env.step(np.zeros(WORLDS, int))
    finally:
        env.close()
    assert not any(crew._process.is_alive() for crew in env._crews)


def test_gymnasium_makes_it():
    env = gymnasium.make_vec(
        f"sim.environments:{ENVIRONMENT}", num_envs=2, preset="au111", config=CONFIG
    )
    observation, info = env.reset(seed=1)
    assert isinstance(env, VectorTipConditioning)
    assert env.observation_space.contains(observation)
    assert info["good"].shape == (2,)
    assert info["good"].dtype == np.bool_
    assert env.action_space.contains(env.action_space.sample())
    env.close()


def test_what_is_returned_is_never_written_again():
    env = VectorTipConditioning(2, config=CONFIG)
    first, info = env.reset(seed=1)
    kept = first["scan"].copy(), info["time_s"].copy(), env.action_masks()
    masks = env.action_masks()
    env.step(np.array([np.flatnonzero(mask)[0] for mask in masks]))
    assert np.array_equal(first["scan"], kept[0])
    assert np.array_equal(info["time_s"], kept[1])
    assert np.array_equal(masks, kept[2])


def test_seeds_and_episodes_may_be_given_one_by_one():
    env = VectorTipConditioning(2, config=CONFIG)
    _, info = env.reset(seed=[4, 4])
    assert info["episode"][0] == info["episode"][1]
    _, info = env.reset(options={"episode": [8, 9]})
    assert info["episode"].tolist() == [8, 9]
    _, info = env.reset(seed=[4, None])
    _, other = VectorTipConditioning(2, config=CONFIG).reset(seed=[4, 5])
    assert info["episode"][0] == other["episode"][0]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="workers 3 must not exceed num_envs 2"):
        VectorTipConditioning(2, config=CONFIG, workers=3)
    env = VectorTipConditioning(2, config=CONFIG)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(2, int))
    with pytest.raises(ConfigError, match="2 seeds"):
        env.reset(seed=[1])
    env.reset(seed=1)
    with pytest.raises(ConfigError, match="2 actions"):
        env.step(np.zeros(3, int))
    with pytest.raises(ConfigError, match="action 999"):
        env.step(np.array([0, 999]))
