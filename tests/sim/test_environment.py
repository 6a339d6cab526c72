"""The environment of one tip: the interface, determinism, masks, rewards and early ends."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from drivers.envelope import Limits
from drivers.errors import ConfigError, Refused
from sim.environments import ENVIRONMENT
from sim.environments.catalogue import Kind
from sim.environments.config import Catalogue, EnvironmentConfig, Reward
from sim.environments.memory import FEATURES, TOLD
from sim.environments.tip_conditioning import TipConditioning

SMALL = EnvironmentConfig(pixels=32, frame_nm=16.0)


@dataclass(frozen=True)
class StopAfter:
    """Ends every scan at its first pause."""

    lines: tuple[int, ...] = (8,)

    def __call__(self, heights_m: np.ndarray) -> np.ndarray:
        assert heights_m.shape[1:] == (2, self.lines[0], SMALL.pixels)
        assert np.abs(heights_m).max() < 200e-9
        return np.ones(len(heights_m), np.bool_)


def indices(env: TipConditioning, kind: Kind) -> list[int]:
    return [i for i, choice in enumerate(env.choices) if choice.kind is kind]


def allowed(env: TipConditioning, kind: Kind) -> list[int]:
    return [i for i in indices(env, kind) if env.action_masks()[i]]


def walk(env: TipConditioning, seed: int, steps: int) -> list[object]:
    """What a policy sees that picks among the allowed choices, all but the declaration."""
    observation, info = env.reset(seed=seed)
    rng, told = np.random.default_rng(seed), [observation, info]
    for _ in range(steps):
        action = rng.choice(np.flatnonzero(env.action_masks()[:-1]))
        told += [env.action_masks(), *env.step(action)]
    return told


def same(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return np.array_equal(np.asarray(one), np.asarray(other))


def test_gymnasium_makes_it_and_finds_nothing_wrong():
    env = gymnasium.make(f"sim.environments:{ENVIRONMENT}", preset="au111", config=SMALL)
    check_env(env.unwrapped)
    assert ENVIRONMENT == "tipsmith/TipConditioning-v0"


@pytest.mark.parametrize("pixels", [64, 128])
def test_observations_have_the_promised_form(pixels: int):
    env = TipConditioning(config=EnvironmentConfig(pixels=pixels))
    observation, info = env.reset(seed=1)
    assert observation["scan"].shape == (2, pixels, pixels)
    assert {array.dtype for array in observation.values()} == {np.dtype(np.float32)}
    assert env.observation_space.contains(observation)
    assert 1e-3 < observation["scan"].std() < 5
    assert {"radius_nm", "gap_nm", "contaminated", "stable", "good"} <= info.keys()


def test_the_same_seed_gives_the_same_episode():
    told = [walk(TipConditioning(config=SMALL), 5, 12) for _ in range(2)]
    assert all(same(one, other) for one, other in zip(*told, strict=True))
    assert not same(told[0][0], walk(TipConditioning(config=SMALL), 6, 1)[0])


def test_an_episode_can_be_asked_for_by_its_number():
    one, other = TipConditioning(config=SMALL), TipConditioning(config=SMALL)
    observation, info = one.reset(seed=3)
    again, _ = other.reset(seed=99, options={"episode": info["episode"]})
    assert same(observation, again)
    with pytest.raises(
        ConfigError, match="episode must be a whole number of at least 0, got int -1"
    ):
        one.reset(options={"episode": -1})


def test_episodes_come_from_the_range_that_was_given():
    env = TipConditioning(config=SMALL.model_copy(update={"episodes": (70, 72)}))
    numbers = {env.reset(seed=seed)[1]["episode"] for seed in range(8)}
    assert numbers == {70, 71}


def test_two_policies_meet_the_same_luck():
    """After different first actions that change nothing, the same second one has the same end."""
    ends = []
    for first in (Kind.SCAN_AGAIN, Kind.RETUNE):
        env = TipConditioning(config=SMALL, worlds="nominal")
        env.reset(options={"episode": 11})
        quiet = [i for i in indices(env, first) if env.choices[i].level == 0.0]
        env.step(quiet[0])
        deep = indices(env, Kind.INDENTATION)[-1]
        gentle = allowed(env, Kind.INDENTATION)
        *_, info = env.step(gentle[-1] if deep not in gentle else deep)
        ends.append(info["radius_nm"])
    assert ends[0] == ends[1]


def test_what_is_not_allowed_is_refused_and_does_nothing():
    env = TipConditioning(config=SMALL, limits=Limits(max_depth_nm=1.0, max_pulse_v=3.0))
    before, _ = env.reset(seed=1)
    for kind, most in ((Kind.PULSE, 0.3), (Kind.INDENTATION, 0.1)):
        assert allowed(env, kind)
        assert all(abs(env.choices[i].level) <= most for i in allowed(env, kind))
    deep = indices(env, Kind.INDENTATION)[-1]
    after, reward, terminated, truncated, info = env.step(deep)
    assert info["refused"]
    assert info["seconds"] == 0.0
    assert reward == -Reward().refused
    assert not terminated
    assert not truncated
    assert same(before["scan"], after["scan"])
    assert after["history"][0, len(TOLD) + list(FEATURES).index("refused")] == 1


def test_no_spot_is_touched_twice():
    env = TipConditioning(config=SMALL)
    env.reset(seed=2)
    spots: list[tuple[float, float, float]] = []
    for _ in range(12):
        dips = allowed(env, Kind.INDENTATION)
        if not dips:
            env.step(allowed(env, Kind.ANOTHER_SPOT)[0])
            spots = []
            continue
        site = env._crew._episodes[0]._place.site
        radius = env.choices[dips[0]].spoiled_m / 2
        x, y = site.x_m, site.y_m
        assert all(np.hypot(x - a, y - b) >= radius + r for a, b, r in spots)
        env.step(dips[0])
        spots.append((x, y, radius))
    assert spots


def test_an_exhausted_region_is_left_by_a_coarse_move():
    env = TipConditioning(
        config=SMALL.model_copy(update={"frame_nm": 380.0, "forward_s": 1.0, "backward_s": 1.0})
    )
    env.reset(seed=1)
    (move,) = indices(env, Kind.ANOTHER_SPOT)
    left = []
    while env.action_masks()[move]:
        left.append(env.step(move)[0]["numbers"][2])
    assert left[-1] == 0
    observation, *_ = env.step(indices(env, Kind.COARSE_MOVE)[0])
    assert observation["numbers"][2] > 0
    assert env.action_masks()[move]


def test_each_cost_is_charged_by_its_weight():
    free = dict.fromkeys(Reward.model_fields, 0.0)
    for field, of in (("per_s", "seconds"), ("per_nm2", "area_nm2"), ("per_risk", "risk")):
        config = SMALL.model_copy(update={"reward": Reward(**{**free, field: 0.5})})
        env = TipConditioning(config=config)
        env.reset(seed=1)
        _, reward, *_, info = env.step(allowed(env, Kind.PULSE)[0])
        assert info[of] > 0
        assert reward == pytest.approx(-0.5 * info[of])


def test_declaring_is_paid_by_the_truth():
    rewards = {}
    for episode in range(40):
        env = TipConditioning(config=SMALL)
        env.reset(options={"episode": episode})
        for _ in range(6):
            dips = allowed(env, Kind.INDENTATION) or allowed(env, Kind.ANOTHER_SPOT)
            *_, info = env.step(dips[min(3, len(dips) - 1)])
        _, reward, terminated, truncated, info = env.step(len(env.choices) - 1)
        assert terminated
        assert not truncated
        rewards[info["good"]] = reward
        if len(rewards) == 2:
            break
    assert rewards == {True: Reward().good, False: -Reward().wrong}


def test_an_episode_is_cut_off_after_its_actions_or_its_time():
    env = TipConditioning(config=SMALL.model_copy(update={"max_actions": 2}))
    env.reset(seed=1)
    again = indices(env, Kind.SCAN_AGAIN)[0]
    assert [env.step(again)[2:4] for _ in range(2)] == [(False, False), (False, True)]
    env = TipConditioning(config=SMALL.model_copy(update={"max_hours": 0.01}))
    env.reset(seed=1)
    assert env.step(indices(env, Kind.WAIT)[0])[3]


def test_the_history_tells_what_an_indentation_met():
    env = TipConditioning(config=SMALL)
    env.reset(seed=1)
    deepest = allowed(env, Kind.INDENTATION)[-1]
    observation, *_ = env.step(deepest)
    row = dict(zip([*TOLD, *FEATURES], observation["history"][0], strict=True))
    assert row[Kind.INDENTATION] == 1
    assert row["level"] == pytest.approx(env.choices[deepest].level)
    assert row["contact"] == 1
    assert 0 < row["contact_depth_nm"] < 2
    assert row["peak_current_decades"] == pytest.approx(4, abs=0.01)  # the preamplifier clips
    observation, *_ = env.step(indices(env, Kind.WAIT)[0])
    assert np.array_equal(observation["history"][1], np.array(list(row.values()), np.float32))


def test_a_scan_that_is_stopped_costs_the_lines_it_took():
    env = TipConditioning(config=SMALL, stop_rule=StopAfter())
    observation, info = env.reset(seed=1)
    assert info["lines"] == 8
    assert observation["numbers"][0] == 0.25
    assert observation["scan"][:, :8].any()
    assert not observation["scan"][:, 8:].any()
    *_, info = env.step(indices(env, Kind.SCAN_AGAIN)[0])
    line_s = SMALL.forward_s + SMALL.backward_s
    assert info["seconds"] == pytest.approx(8 * line_s, abs=line_s)


def test_a_rule_that_stops_nothing_changes_nothing():
    class Never(StopAfter):
        def __call__(self, heights_m: np.ndarray) -> np.ndarray:
            return np.zeros(len(heights_m), np.bool_)

    plain = walk(TipConditioning(config=SMALL), 4, 6)
    asked = walk(TipConditioning(config=SMALL, stop_rule=Never((5, 20))), 4, 6)
    assert all(same(one, other) for one, other in zip(plain, asked, strict=True))


def test_stepping_before_a_reset_is_refused():
    with pytest.raises(gymnasium.error.ResetNeeded):
        TipConditioning(config=SMALL).step(0)


@pytest.mark.parametrize("action", [-1, 10_000])
def test_an_action_that_there_is_not_is_refused(action: int):
    env = TipConditioning(config=SMALL)
    env.reset(seed=1)
    with pytest.raises(ConfigError, match=f"action {action}"):
        env.step(action)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"preset": "cheese"}, "cheese"),
        ({"worlds": "strange"}, "strange"),
        ({"config": EnvironmentConfig(frame_nm=5000)}, "frame_nm"),
        ({"stop_rule": StopAfter((8, 4))}, "stop rule"),
        ({"stop_rule": StopAfter((64,))}, "stop rule"),
    ],
)
def test_arguments_that_make_no_sense_are_named(arguments: dict[str, object], named: str):
    with pytest.raises(ConfigError, match=named):
        TipConditioning(**arguments)


def test_scans_outside_the_envelope_are_refused_at_once():
    with pytest.raises(Refused, match="max_speed_nm_per_s"):
        TipConditioning(limits=Limits(max_speed_nm_per_s=10))


def test_the_catalogue_is_built_from_its_numbers():
    catalogue = Catalogue(pulses_v=(3.0,), pulses_s=(0.1,), depths_nm=(1.0, 2.0), dwells_s=(0, 1))
    env = TipConditioning(config=SMALL.model_copy(update={"catalogue": catalogue}))
    assert [env.choices[i].level for i in indices(env, Kind.PULSE)] == [0.3, -0.3]
    dips = [
        (env.choices[i].level, env.choices[i].duration_s) for i in indices(env, Kind.INDENTATION)
    ]
    assert dips == [(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]
    assert env.choices[-1].kind is Kind.DECLARE_GOOD


def test_an_episode_that_is_over_pays_nothing_more():
    env = TipConditioning(config=SMALL)
    env.reset(seed=1)
    declaration = indices(env, Kind.DECLARE_GOOD)[0]
    assert env.step(declaration)[2]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(declaration)
