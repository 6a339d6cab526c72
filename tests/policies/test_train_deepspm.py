"""Training the DeepSPM baseline: the published target, and the same weights after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from drivers.errors import FileError
from policies.conditioner.rules.deepspm import Table
from policies.conditioner.rules.deepspm_network import NAMES, SIDE, read_trained
from policies.plan import RepairPlan
from policies.training import deepspm
from policies.training.deepspm import Learner, play, train_deepspm
from policies.training.replay import Batch, Replay, Transition, targets, turned
from policies.trials.course import Course
from policies.trials.record import Record

COURSE = Course(pixels=16, plan=RepairPlan(max_actions=8))
STEPS = 48
ALL = np.ones(len(NAMES), np.bool_)


class Says(nn.Module):
    """Values that depend on nothing."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = torch.tensor(values)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.values.expand(len(pictures), -1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {
        "LEARNS_FROM": 12, "REPLAY": 32, "BATCH": 8, "CHECKPOINT_ACTIONS": 16, "FOLLOW_EVERY": 3,
    }  # fmt: skip
    for name, value in sizes.items():
        monkeypatch.setattr(deepspm, name, value)


def transition(number: int, *, ended: bool = False) -> Transition:
    flat = np.full((SIDE, SIDE), number, np.float32)
    return Transition(flat, number % len(NAMES), -1.0, None if ended else flat + 1, ALL)


def test_the_online_network_chooses_and_the_target_tells_the_worth() -> None:
    pictures = torch.zeros(3, 1, SIDE, SIDE)
    allowed = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
    batch = Batch(
        before=pictures,
        actions=torch.zeros(3, dtype=torch.int64),
        rewards=torch.tensor([-1.0, -1.0, 10.0]),
        after=pictures,
        ended=torch.tensor([False, False, True]),
        allowed=allowed,
    )
    # Each network has another favourite; where the online one's is masked its second counts.
    found = targets(Says(1.0, 2.0, 3.0), Says(50.0, 20.0, 4.0), batch, 0.5)
    assert found.tolist() == [-1 + 0.5 * 4, -1 + 0.5 * 20, 10]


def test_a_square_has_eight_symmetries_and_they_keep_what_belongs_together() -> None:
    square = torch.rand(2, 2, SIDE, SIDE)
    ways = [turned(square, way) for way in range(8)]
    assert len({one.numpy().tobytes() for one in ways}) == 8
    replay = Replay(1)
    before = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32)
    replay.add(Transition(before, 0, -1.0, before, ALL))
    batch = replay.sample(4, np.random.default_rng(5))
    assert torch.equal(batch.before, batch.after)
    assert not torch.equal(batch.before[0, 0], torch.from_numpy(before).half().float())


def test_the_oldest_is_forgotten() -> None:
    replay = Replay(3)
    for number in range(5):
        replay.add(transition(number, ended=number == 4))
    batch = replay.sample(100, np.random.default_rng(0))
    assert len(replay) == 3
    assert set(batch.actions.tolist()) == {2, 3, 4}
    assert torch.equal(batch.before[:, 0, 0, 0], batch.actions.float())
    assert torch.equal(batch.ended, batch.actions == 4)
    going_on = ~batch.ended
    assert torch.equal(batch.after[going_on, 0, 0, 0], batch.actions[going_on] + 1.0)


@pytest.mark.usefixtures("small")
def test_every_action_is_learned_from_and_only_the_good_end_is_rewarded() -> None:
    course = COURSE.model_copy(update={"plan": RepairPlan(max_actions=40)})
    learner, table = Learner(0, 10**6), Table(course.at, course.limits())
    good = cut = False
    while not (good and cut):
        before = int(learner.replay._added)
        record = play(course, learner, table)
        added = int(learner.replay._added) - before
        last = (before + added - 1) % deepspm.REPLAY
        # What would have followed the last action before the limit nobody knows.
        assert added == record.actions - (not record.success)
        assert learner.replay._rewards[last] == (10 if record.success else -1)
        assert learner.replay._ended[last] == record.success
        good, cut = good or record.success, cut or not record.success
    assert learner.episodes >= 2


def test_less_and_less_is_drawn() -> None:
    learner = Learner(0, 100_000)
    shares = []
    for done in (0, deepspm.LEARNS_FROM, deepspm.LEARNS_FROM + 5_000, 50_000):
        learner._counts[0] = done
        shares.append(learner.epsilon)
    assert shares == pytest.approx([1.0, 1.0, (1 + 0.05) / 2, 0.05])


@pytest.mark.usefixtures("small")
def test_masked_actions_are_never_tried() -> None:
    table = Table(COURSE.at, COURSE.limits().narrowed(max_pulse_v=3.0, max_depth_nm=1.1))
    learner = Learner(0, STEPS)
    while learner.done < deepspm.REPLAY:
        play(COURSE, learner, table)
    tried = {NAMES[index] for index in learner.replay._actions[: len(learner.replay)].tolist()}
    refused = {name for name, fine in zip(NAMES, table.mask(None), strict=True) if not fine}
    assert len(refused) == 7
    assert len(tried) >= 3
    assert not tried & refused
    # Nor is what follows valued by one of them.
    following = learner.replay._allowed[~learner.replay._ended]
    assert not following[:, [NAMES.index(name) for name in refused]].any()


@pytest.mark.usefixtures("small")
def test_a_killed_training_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    train_deepspm(3, STEPS, whole, COURSE)
    played: list[int] = []

    def mortal(course: Course, learner: Learner, table: Table) -> Record:
        if len(played) == 4:
            raise KeyboardInterrupt
        played.append(learner.episodes)
        return play(course, learner, table)

    with monkeypatch.context() as patch:
        patch.setattr(deepspm, "play", mortal)
        with pytest.raises(KeyboardInterrupt):
            train_deepspm(3, STEPS, killed, COURSE)
    assert not killed.exists()
    assert killed.with_suffix(".checkpoint").exists()
    with pytest.raises(FileError, match="another training"):
        train_deepspm(4, STEPS, killed, COURSE)
    train_deepspm(3, STEPS, killed, COURSE)
    assert not killed.with_suffix(".checkpoint").exists()
    one, other = read_trained(whole).manifest, read_trained(killed).manifest
    assert one.sha256 == other.sha256
    assert one.curve == other.curve
    assert one.command == f"tipsmith train deepspm --seed 3 --steps {STEPS}"
    train_deepspm(4, STEPS, killed, COURSE)
    assert read_trained(killed).manifest.sha256 != one.sha256


@pytest.mark.usefixtures("small")
def test_learning_changes_the_weights_and_the_target_follows() -> None:
    learner, table = Learner(3, 10**6), Table(COURSE.at, COURSE.limits())
    began = learner.online.layers[0].weight.detach().clone()
    updates = deepspm.FOLLOW_EVERY
    while int(learner._counts[1]) < updates:
        play(COURSE, learner, table)
        if learner.done < deepspm.LEARNS_FROM:
            assert torch.equal(learner.online.layers[0].weight, began)
    assert not torch.equal(learner.online.layers[0].weight, began)
    assert not torch.equal(learner._target.layers[0].weight, began)


@pytest.mark.usefixtures("small")
def test_a_place_that_cannot_be_written_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="cannot write"):
        train_deepspm(3, STEPS, tmp_path / "file" / "deepspm.safetensors", COURSE)
