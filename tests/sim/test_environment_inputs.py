"""Wrong inputs to the environments: one clear error each, and nothing happens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivers.errors import ConfigError
from sim.environments.config import EnvironmentConfig
from sim.environments.tip_conditioning import TipConditioning
from sim.environments.vector import VectorTipConditioning

CONFIG = EnvironmentConfig(pixels=16, frame_nm=8.0)


class Rule:
    def __init__(self, lines: object) -> None:
        self.lines = lines

    def __call__(self, heights_m: np.ndarray) -> np.ndarray:
        return np.zeros(len(heights_m), np.bool_)


@pytest.fixture(scope="module")
def env() -> TipConditioning:
    env = TipConditioning(config=CONFIG)
    env.reset(seed=1)
    return env


@pytest.fixture(scope="module")
def envs() -> VectorTipConditioning:
    envs = VectorTipConditioning(2, config=CONFIG)
    envs.reset(seed=1)
    return envs


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"preset": 3}, "preset must be a name, the path of a .toml file, or a Preset, got int 3"),
        ({"preset": None}, "preset must be .*got NoneType"),
        ({"config": {"pixels": 32}}, r"config must be an EnvironmentConfig or None, got dict {'pi"),
        ({"config": {}}, "config must be an EnvironmentConfig or None, got dict"),
        ({"limits": {"max_pulse_v": 3}}, "limits must be drivers.Limits or None, got dict"),
        ({"limits": 0}, "limits must be drivers.Limits or None, got int"),
        ({"worlds": "mars"}, "unknown worlds 'mars'; known are nominal, randomised, shifted"),
        ({"worlds": None}, "unknown worlds None; known are nominal"),
        ({"worlds": ["nominal"]}, r"unknown worlds \['nominal'\]; known are nominal"),
        ({"stop_rule": 3}, "stop_rule must be a callable with a list of lines, got int"),
        ({"stop_rule": Rule(4)}, "stop_rule must be a callable with a list of lines, got Rule"),
        ({"stop_rule": Rule([1.5])}, "stop rule's lines must be a whole number .*got float 1.5"),
    ],
)
def test_arguments_of_another_type_are_named(arguments: dict[str, Any], says: str):
    for make in (TipConditioning, VectorTipConditioning):
        with pytest.raises(ConfigError, match=says):
            make(**arguments)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pixels": -1}, "pixels must be a multiple of 16, got int -1"),
        ({"pixels": 0}, "pixels must be greater than or equal to 16, got int 0"),
        ({"frame_nm": "wide"}, "frame_nm must be a valid number, .*, got str 'wide'"),
        ({"max_hours": float("nan")}, "max_hours must be a finite number, got float nan"),
        ({"catalogue": {"pulses_v": [0.0]}}, r"pulses_v\.0 must be greater than 0, got float 0\.0"),
        ({"catalogue": 5}, "Catalogue must be a valid dictionary or instance of .*, got int 5"),
        ({"pixel": 32}, "unknown setting 'pixel'; known are pixels, frame_nm, "),
        ({"episodes": (5, 2)}, r"episodes \(5, 2\) must be a range of numbers of at least 0"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=f"^{says}"):
        EnvironmentConfig(**settings)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_envs": 0}, "num_envs must be a whole number of at least 1, got int 0"),
        ({"num_envs": 2.0}, "num_envs must be a whole number of at least 1, got float 2.0"),
        ({"num_envs": "2"}, "num_envs must be a whole number of at least 1, got str '2'"),
        ({"workers": None}, "workers must be a whole number of at least 0, got NoneType"),
        ({"workers": -1}, "workers must be a whole number of at least 0, got int -1"),
        ({"workers": 2}, "workers 2 must not exceed num_envs 1"),
    ],
)
def test_numbers_of_worlds_and_workers_are_whole(arguments: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        VectorTipConditioning(**arguments)


@pytest.mark.parametrize("action", [1.7, None, "3", True, [1.0], 2**70, object(), np.float32(1)])
def test_an_action_is_a_whole_number(env: TipConditioning, action: Any):
    with pytest.raises(ConfigError, match="action must be a whole number from 0 to 36, got "):
        env.step(action)


def test_one_world_takes_one_action(env: TipConditioning):
    with pytest.raises(ConfigError, match=r"expected one action, got an array of shape \(2,\)"):
        env.step(np.array([1, 2]))


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        ([1.0, 2.0], "action must be a whole number from 0 to 36, got list"),
        (np.array([0.0, 1.7]), "action must be a whole number from 0 to 36, got ndarray"),
        ([None, 1], "action must be a whole number"),
        ([[1], [1, 2]], "action must be a whole number"),
        (None, "action must be a whole number from 0 to 36, got NoneType"),
        (3, r"expected 2 actions, one for each world, got an array of shape \(\)"),
        ("12", "action must be a whole number from 0 to 36, got str '12'"),
        ({0: 1, 1: 2}, "action must be a whole number from 0 to 36, got dict"),
        (
            [[0, 1], [0, 1]],
            r"expected 2 actions, one for each world, got an array of shape \(2, 2\)",
        ),
        ([1], r"expected 2 actions, one for each world, got an array of shape \(1,\)"),
        ([0, 37], "action 37 is none of the 37 choices"),
    ],
)
def test_actions_of_many_worlds_are_whole_numbers(
    envs: VectorTipConditioning, actions: Any, says: str
):
    with pytest.raises(ConfigError, match=says):
        envs.step(actions)


@pytest.mark.parametrize("seed", [1.5, "1", -1, True, object(), np.float64(2)])
def test_a_seed_is_a_whole_number(env: TipConditioning, envs: VectorTipConditioning, seed: Any):
    says = "seed must be a whole number of at least 0, got "
    with pytest.raises(ConfigError, match=says):
        env.reset(seed=seed)
    with pytest.raises(ConfigError, match=f"{says}|expected 2 seeds in a list"):
        envs.reset(seed=seed)
    with pytest.raises(ConfigError, match=says):
        envs.reset(seed=[0, seed])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([7], "options must be a dictionary, got list"),
        ({"episode": 1.5}, "episode must be a whole number of at least 0, got float 1.5"),
        ({"episode": -1}, "episode must be a whole number of at least 0, got int -1"),
        ({"episode": None}, "episode must be a whole number of at least 0, got NoneType"),
        ({"episode": 2**63}, "episode must be a whole number"),
    ],
)
def test_an_episode_is_a_whole_number(env: TipConditioning, options: Any, says: str):
    with pytest.raises(ConfigError, match=says):
        env.reset(options=options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([7, 8], "options must be a dictionary"),
        ({"episode": 7}, "expected 2 episodes in a list, got int 7"),
        ({"episode": [7]}, "expected 2 episodes, one for each world, got 1"),
        ({"episode": [7, "8"]}, "episode must be a whole number of at least 0, got str '8'"),
    ],
)
def test_episodes_of_many_worlds_are_whole_numbers(
    envs: VectorTipConditioning, options: Any, says: str
):
    with pytest.raises(ConfigError, match=says):
        envs.reset(options=options)


def test_numpy_s_own_whole_numbers_are_welcome():
    env, other = TipConditioning(config=CONFIG), TipConditioning(config=CONFIG)
    one, _ = env.reset(seed=np.int64(3))
    two, _ = other.reset(seed=3)
    np.testing.assert_array_equal(one["scan"], two["scan"])
    last = len(env.choices) - 1
    assert env.step(np.uint8(last))[1] == other.step(np.array(last))[1]


def test_a_refused_action_leaves_the_episode_as_it_was():
    env, other = TipConditioning(config=CONFIG), TipConditioning(config=CONFIG)
    for one in (env, other):
        one.reset(seed=3)
    with pytest.raises(ConfigError):
        env.step(1.7)  # type: ignore[arg-type]
    np.testing.assert_array_equal(env.step(np.int64(0))[0]["scan"], other.step(0)[0]["scan"])
