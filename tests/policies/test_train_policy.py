"""Training the policy: a file that works, from one seed, also after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sb3_contrib", reason="training needs the extra 'train'")

from drivers.errors import FileError
from policies.conditioner import EscalationRule
from policies.conditioner.brain import Brain
from policies.conditioner.learned import LearnedPolicy
from policies.scorer import Scorer
from policies.training import familiar, policy
from policies.training.policy import train_policy
from policies.training.rehearsal import PLAN, rehearse
from tests.policies.rehearsed import AT, PRESET, honest_bank, means
from tests.policies.untaught import untaught_scorer

CHOICES = 256


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, bank = untaught_scorer(tmp_path), honest_bank(100)
    monkeypatch.setattr(Scorer, "load", lambda: scorer)
    monkeypatch.setattr(policy, "bank_at", lambda *_: tmp_path)
    monkeypatch.setattr(policy.Bank, "read", lambda _: bank)
    for name, value in {
        "ENVIRONMENTS": 2,
        "STEPS": 64,
        "BATCH": 64,
        "CHECKPOINT_UPDATES": 1,
    }.items():
        monkeypatch.setattr(policy, name, value)
    monkeypatch.setattr(familiar, "CHOICES_SEEN", 300)


@pytest.mark.usefixtures("small")
def test_a_trained_policy_is_written_and_repairs(tmp_path: Path) -> None:
    out = tmp_path / "new" / "policy.safetensors"
    train_policy(3, CHOICES, 100, out)
    brain = Brain.read(out)
    assert brain.manifest.command == "tipsmith train policy --seed 3 --steps 256 --tips 100"
    assert brain.manifest.unfamiliar > 0
    assert 0 < brain.manifest.overdue <= PLAN.max_actions
    assert not out.with_suffix(".checkpoint").exists()
    assert list(out.with_suffix(".tensorboard").rglob("events*"))
    own = LearnedPolicy(brain, means(), EscalationRule(AT), scan_s=24.0)
    ended = rehearse(PRESET, honest_bank(100), own, np.random.default_rng(0), PLAN)
    assert ended.actions > 0


@pytest.mark.usefixtures("small")
def test_a_killed_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "policy.safetensors"
    begun: list[int] = []
    original = policy.MaskablePPO.learn

    def learn(self: policy.MaskablePPO, total: int, **how: object) -> object:
        begun.append(self.num_timesteps)
        return original(self, total, **how)

    monkeypatch.setattr(policy.MaskablePPO, "learn", learn)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(policy, "familiarity", killed)
        with pytest.raises(KeyboardInterrupt):
            train_policy(3, CHOICES, 100, out)
    assert not out.exists()
    assert out.with_suffix(".checkpoint").exists()
    with pytest.raises(FileError, match="another training"):
        train_policy(4, CHOICES, 100, out)
    train_policy(3, CHOICES, 100, out)
    assert begun[0] == 0
    assert all(one > 0 for one in begun[2:])
    assert Brain.read(out).manifest.data.startswith("256 choices")


@pytest.mark.usefixtures("small")
def test_a_place_that_cannot_be_written_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="cannot write"):
        train_policy(3, CHOICES, 100, tmp_path / "file" / "policy.safetensors")
