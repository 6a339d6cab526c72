"""The learned policy at work: what it refuses, when it is lost, and what it tells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from drivers import Indentation, Pulse, Wait
from drivers.errors import FileError
from policies.conditioner import brain as brain_file
from policies.conditioner.brain import Brain, write_brain
from policies.conditioner.catalogue import CHOICES
from policies.conditioner.features import LAYOUT
from policies.conditioner.learned import LearnedPolicy
from policies.conditioner.rules.escalation import EscalationRule
from policies.history import Event, History
from policies.proposal import GiveUp, Proposal
from tests.policies.rehearsed import AT, DIP, PULSE, acted, looked, means, report

COUNT = len(LAYOUT)


def tensors(best: int | None = None) -> dict[str, torch.Tensor]:
    """Networks with random weights; the actor prefers ``best`` if it is given."""
    torch.manual_seed(0)
    made: dict[str, torch.Tensor] = {}
    for net, outputs in (("actor", len(CHOICES)), ("critic", 1)):
        widths = (COUNT, 16, 8, outputs)
        for layer in range(3):
            made[f"{net}.{layer}.weight"] = 0.1 * torch.randn(widths[layer + 1], widths[layer])
            made[f"{net}.{layer}.bias"] = torch.zeros(widths[layer + 1])
    if best is not None:
        made["actor.2.bias"][best] = 100.0
    made["critic.2.weight"] *= 0
    made["critic.2.bias"] -= 1.5
    made["chance.weight"], made["chance.bias"] = torch.zeros(1, 8), torch.zeros(1)
    made["familiar.mean"] = torch.zeros(COUNT)
    made["familiar.whitening"] = torch.eye(COUNT)
    return made


def written(folder: Path, best: int | None = None, **described: object) -> Path:
    path = folder / "policy.safetensors"
    describe: dict[str, object] = {
        "command": "by hand",
        "seed": 0,
        "data": "none",
        "scorer": "none",
        "unfamiliar": 10.0,
        "overdue": 1000,
        "scans_per_value": 20.0,
        "metrics": {},
    }
    write_brain(path, tensors(best), describe | described)
    return path


@dataclass
class Rule:
    """Wants the same dip whatever happens."""

    asked: list[int] = field(default_factory=list)

    def propose(self, history: History) -> Proposal:
        self.asked.append(len(history))
        return Proposal(DIP, "as always")


def policy(folder: Path, best: int | None = None, **described: object) -> LearnedPolicy:
    return LearnedPolicy(
        Brain.read(written(folder, best, **described)), means(), Rule(), scan_s=24.0
    )


def test_the_best_choice_that_is_allowed_is_made_and_explained(tmp_path: Path) -> None:
    names = [choice.name for choice in CHOICES]
    own = policy(tmp_path, names.index("pulse -5 0.2s"))
    weaker = acted(PULSE.model_copy(update={"bias_v": -4.0}))
    proposal = own.propose([looked(report(0.1)), weaker, looked(report(blunt=0.8))])
    assert proposal.choice == PULSE
    assert proposal.reason == "blunt: pulse -5.0 V for 0.2 s, 50 % hope of a good tip"
    assert proposal.cost_s == pytest.approx(30 * 24.0)
    assert proposal.chance == pytest.approx(0.5)


def test_what_is_masked_is_never_chosen(tmp_path: Path) -> None:
    names = [choice.name for choice in CHOICES]
    # Contact is unknown: an indentation counted from there makes no sense.
    own = policy(tmp_path, names.index("penetration +0.4 0.1s"))
    action = own.propose([looked()]).choice
    assert isinstance(action, Pulse | Indentation)
    known: list[Event] = [looked(), acted(DIP, -0.2e-9), looked()]
    deeper = own.propose(known).choice
    assert isinstance(deeper, Indentation)
    assert deeper.depth_m == pytest.approx(1.4e-9)


def test_noise_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    own = policy(tmp_path, 0)
    history: list[Event] = [looked(report(noisy=0.95))]
    for _ in range(3):
        action = own.propose(history).choice
        assert isinstance(action, Wait)
        history += [acted(action), looked(report(noisy=0.95))]
    proposal = own.propose(history)
    assert isinstance(proposal.choice, GiveUp)
    assert "noisy" in proposal.reason


def test_where_it_is_lost_the_rule_decides(tmp_path: Path) -> None:
    unlike = policy(tmp_path, unfamiliar=0.01).propose([looked()])
    assert unlike.choice == DIP
    assert unlike.reason.startswith("unlike the training")
    assert unlike.reason.endswith("so the rule decides: as always")
    late = policy(tmp_path, overdue=1).propose([looked(), acted(PULSE), looked()])
    assert late.choice == DIP
    assert "more than nearly all" in late.reason


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    proposal = policy(tmp_path).propose([looked(report(blunt=value))])
    assert isinstance(proposal.choice, GiveUp)
    assert "not finite (now blunt)" in proposal.reason


def test_the_same_history_gives_the_same_proposal_whatever_was_asked_before(
    tmp_path: Path,
) -> None:
    own = policy(tmp_path)
    history: list[Event] = [looked(report(0.2))]
    for turn in range(12):
        action = own.propose(history).choice
        assert action is not None
        assert policy(tmp_path).propose(history) == own.propose(history)
        history += [acted(action, 1e-10 * turn, 30.0 * turn), looked(report(0.1), 30.0 * turn)]
    other: list[Event] = [looked(report(0.4)), acted(PULSE), looked(report(0.3))]
    assert own.propose(other) == policy(tmp_path).propose(other)
    assert own.propose(history[:3]) == policy(tmp_path).propose(history[:3])


def test_files_of_another_kind_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(brain_file, "layout_hash", lambda: "another")
    with pytest.raises(FileError, match="layout"):
        Brain.read(path)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(FileError, match="sha256"):
        Brain.read(path)
    with pytest.raises(FileError, match="cannot be read"):
        Brain.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("critic.1.bias", torch.zeros(3), "layer 1 of the critic"),
        ("actor.2.weight", torch.full((len(CHOICES), 8), torch.inf), "not finite"),
        ("familiar.mean", torch.zeros(3), "familiar"),
        ("further", torch.zeros(3), "does not hold"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: torch.Tensor, complaint: str
) -> None:
    whole = tensors()
    monkeypatch.setattr(f"{__name__}.tensors", lambda best: whole | {name: value})
    with pytest.raises(FileError, match=complaint):
        Brain.read(written(tmp_path))


def test_where_the_limits_leave_nothing_but_waiting_the_rule_decides(tmp_path: Path) -> None:
    delicate = means(max_pulse_v=2.0, max_depth_nm=0.3)
    own = LearnedPolicy(Brain.read(written(tmp_path)), delicate, Rule(), scan_s=24.0)
    for history in ([looked()], [looked(), acted(Wait(seconds=60.0)), looked()]):
        proposal = own.propose(history)
        assert proposal.choice == DIP
        assert proposal.reason.startswith("the limits leave nothing of the catalogue")


def test_pulses_grow_step_by_step_where_the_rule_decides_as_well(tmp_path: Path) -> None:
    weak = PULSE.model_copy(update={"bias_v": 3.0})
    dirty = report(contaminated=0.9)
    history: list[Event] = [looked(dirty)]
    for _ in range(8):
        history += [acted(weak), looked(dirty)]
    lost = LearnedPolicy(
        Brain.read(written(tmp_path, unfamiliar=0.0)), means(), EscalationRule(AT), scan_s=24.0
    )
    choice = lost.propose(history).choice
    assert isinstance(choice, Pulse)
    assert abs(choice.peak_bias_v) <= 4.0
