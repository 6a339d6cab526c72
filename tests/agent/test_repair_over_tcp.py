"""The agent on the simulated controller, over TCP and between two processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.config import Config, RepairSettings
from agent.installation import own_version
from agent.journal import Journal, history
from agent.loop import run
from agent.session import run_repair
from drivers.bench import HOST, served
from tests.agent.scripted import ScriptedScorer


@pytest.mark.skipif(own_version() == "unknown", reason="the distribution is not installed")
def test_a_repair_over_tcp_acts_and_is_journaled(tmp_path: Path):
    settings = RepairSettings(pixels=16, lines=24, max_actions=2, stop_early=False)
    truth = tmp_path / "truth.json"
    with served("--seed", "1", "--time-scale", "100", "--truth", str(truth)) as port:
        config = Config(repair=settings).overridden(
            uri=f"nanonis://{HOST}:{port}", directory=tmp_path
        )
        # The scripted scorer takes heights in metres for qualities: to it every tip is bad.
        result = run(run_repair(config, None, ScriptedScorer(), lambda _: None))
    assert (result.outcome, result.actions) == ("gave_up", 2)
    assert result.true_state is None
    assert "good" in json.loads(truth.read_text())
    with Journal.open(Path(result.journal)) as journal:
        assert len(history(journal)) == 5
        assert journal.pending() is None
