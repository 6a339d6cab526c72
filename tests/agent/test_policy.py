"""The policies by name: what is shipped fits together, and what is not there is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import RepairSettings, load_config
from agent.policy import make_policy, weights_hash
from drivers.envelope import Limits
from drivers.errors import ConfigError, FileError
from policies.conditioner import EscalationRule
from policies.conditioner.learned import LearnedPolicy, shipped_brain
from policies.scorer import Scorer

RANGE_M = (1e-6, 1e-6)


def test_the_shipped_policy_was_trained_on_reports_of_the_shipped_scorer() -> None:
    assert shipped_brain().manifest.scorer == Scorer.load().manifest.sha256


def test_policies_go_by_name() -> None:
    learned = make_policy("learned", RepairSettings(), Limits(), RANGE_M, coarse=True)
    assert isinstance(learned.policy, LearnedPolicy)
    rule = make_policy("escalation", RepairSettings(), Limits(), RANGE_M, coarse=True)
    assert isinstance(rule.policy, EscalationRule)
    assert weights_hash("learned") == shipped_brain().manifest.sha256
    assert weights_hash("escalation") is None
    with pytest.raises(FileError, match="no policy 'intuition'; it has learned, escalation"):
        make_policy("intuition", RepairSettings(), Limits(), RANGE_M, coarse=True)


def test_the_configuration_names_one(tmp_path: Path) -> None:
    path = tmp_path / "tipsmith.toml"
    path.write_text('[policy]\nname = "learned"\n')
    assert load_config(path).policy.name == "learned"
    path.write_text('[policy]\nname = "intuition"\n')
    with pytest.raises(ConfigError, match="policy"):
        load_config(path)
