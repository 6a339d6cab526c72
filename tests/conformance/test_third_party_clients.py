"""Other people's clients, unmodified, against the simulated controller."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

MOTOR = "MotorTest"


def test_the_vendors_client_gets_what_it_asks_for(spm_client, controller):
    found = json.loads(spm_client.run("spm_session.py", str(controller)))
    assert found["signals"] == 128
    assert found["bias_v"] == 0.5
    assert found["setpoint_a"] == pytest.approx(150e-12)
    assert found["current_a"] == pytest.approx(150e-12, rel=0.3)
    assert found["running"] == 1
    assert found["frame"] == ["Z (m)", 32, 32, 1024]
    assert found["direction"] == 1
    assert found["bias_after_pulse_v"] == 0.5
    assert found["shape"] == pytest.approx(
        [0.1, 1, 0.1, -1e-9, 0.1, 0.02, 0.1, 4e-9, 0.1, 0.1, 1], rel=1e-6
    )
    assert (found["feedback_after_shaping"], found["feedback_withdrawn"]) == (1, 0)
    assert found["steps"] == [0, 0, 20]
    assert found["feedback_after_approach"] == 1
    assert found["unknown_signal"].startswith("Error in command: signals.valget: ")
    assert Path(found["file"]).parent == Path(found["session"])


@pytest.mark.parametrize(
    ("controller", "failing"),
    [((), {MOTOR}), (("--lenient-legacy",), set())],
    ids=["strict", "lenient"],
    indirect=["controller"],
)
def test_the_live_suite_of_nanonistcp_passes(tcp_client, controller, failing):
    # Its motor module sends layouts of 2021, which a controller of today refuses as ours does.
    outcomes = json.loads(tcp_client.run("tcp_suite.py", str(controller)))
    assert len(outcomes) == 18
    assert {name for name, outcome in outcomes.items() if outcome != "success"} == failing
    if failing:
        assert "motor.freqampget: Error trying to read the Message" in outcomes[MOTOR]


def test_scanbot_shapes_a_tip_to_the_end(scanbot_client, controller):
    said = scanbot_client.run("scanbot_shaping.py", str(controller))
    assert "Tip shaping successful after" in said or "Tip shaping failed after" in said, said
    assert "Imprint size: " in said
