"""The agent on the simulated controller, over TCP and between two processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.config import Config, GuardianSettings, RepairSettings
from agent.guardian.statefile import read_report
from agent.guardian.states import State
from agent.installation import own_version
from agent.journal import Journal, history
from agent.loop import run
from agent.session import run_repair
from drivers.bench import HOST, served
from drivers.errors import ConfigError
from tests.agent.scripted import ScriptedScorer

INSTALLED = pytest.mark.skipif(
    own_version() == "unknown", reason="the distribution is not installed"
)


@INSTALLED
def test_a_repair_over_tcp_acts_and_is_journaled(tmp_path: Path):
    settings = RepairSettings(pixels=16, lines=24, max_actions=2, stop_early=False)
    truth = tmp_path / "truth.json"
    with served("--seed", "1", "--time-scale", "100", "--truth", str(truth)) as port:
        # How fast this machine is, is not the question here.
        guardian = GuardianSettings(
            state=str(tmp_path / "guardian.json"), unattended=True, lost_after_s=5.0
        )
        config = Config(repair=settings, guardian=guardian).overridden(
            uri=f"nanonis://{HOST}:{port}?safe_tip_threshold_pa=5000", directory=tmp_path
        )
        # The scripted scorer takes heights in metres for qualities: to it every tip is bad.
        result = run(run_repair(config, None, ScriptedScorer(), lambda _: None))
    assert (result.outcome, result.actions) == ("gave_up", 2)
    assert result.true_state is None
    assert "good" in json.loads(truth.read_text())
    with Journal.open(Path(result.journal)) as journal:
        assert len(history(journal)) == 5
        assert journal.pending() is None
        assert journal.about()["guardian"].startswith("guardian armed")
    assert read_report(tmp_path / "guardian.json").state is State.DISARMED


@INSTALLED
def test_unattended_a_controller_whose_safe_tip_is_off_is_refused(tmp_path: Path):
    guardian = GuardianSettings(state=str(tmp_path / "guardian.json"), unattended=True)
    with served("--seed", "1", "--time-scale", "100") as port:
        config = Config(guardian=guardian).overridden(
            uri=f"nanonis://{HOST}:{port}", directory=tmp_path
        )
        with pytest.raises(ConfigError, match=r"^unattended .*SafeTip is off.*switch it on in the"):
            run(run_repair(config, None, ScriptedScorer(), lambda _: None))
    assert not list(tmp_path.iterdir())
