"""The DeepSPM baseline: what it sees, what it may do, and its file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from drivers import Frame
from drivers.actions import Indentation, Pulse, TunnellingPoint, Wait
from drivers.envelope import Limits
from drivers.errors import FileError
from drivers.sample_map import Site
from drivers.scan import Scan
from policies.acceptance import Acceptance, FreshSpots, Verdict
from policies.conditioner.learned import shipped_brain
from policies.conditioner.rules import deepspm_network
from policies.conditioner.rules.deepspm import DeepSPM, Table, acceptance
from policies.conditioner.rules.deepspm_network import (
    CLIP,
    NAMES,
    SIDE,
    QNetwork,
    picture,
    read_trained,
)
from policies.history import Looked
from policies.plan import RepairPlan
from policies.proposal import GiveUp, Policy
from policies.report import TipReport, TipState
from policies.scorer.weights import manifest_path
from policies.trials import entrants
from policies.trials.course import Course
from policies.trials.entrants import AS_PUBLISHED, DEEPSPM, LEARNED, Bout, learned_by, names
from policies.trials.trial import Seeing, Trial
from tests.policies.untaught import untaught_deepspm

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
WIDE = Site(0.0, 0.0, 24e-9)
COURSE = Course(pixels=32, plan=RepairPlan(max_actions=3))


def scan_of(heights: np.ndarray) -> Scan:
    return Scan(forward=heights.astype(np.float32), backward=None, frame=FRAME)


def looked(site: Site | None, quality: float = 0.1) -> list[Looked]:
    return [Looked(FRAME, TipReport(quality, dict.fromkeys(TipState, 0.0), 96), site, 0.0)]


def longing_for(index: int) -> QNetwork:
    """A network for which one action is worth the most, whatever it sees."""
    network = QNetwork()
    last = network.layers[-1]
    torch.nn.init.zeros_(last.weight)
    last.bias.data = -torch.arange(float(len(NAMES)))
    last.bias.data[index] = 100.0
    return network


def chosen(index: int, table: Table, site: Site | None = WIDE) -> object:
    agent = DeepSPM(longing_for(index), table)
    agent.see(scan_of(np.zeros((96, 96))))
    return agent.propose(looked(site)).choice


def test_the_table_is_the_published_one() -> None:
    table = Table(AT, Limits())
    kinds = [type(action) for action in table.actions]
    assert kinds == [Wait, *[Pulse] * 5, *[Indentation] * 6]
    assert [one.peak_bias_v for one in table.actions[1:6]] == [2.5, 4, -2.5, -4, -8]
    depths = [one.depth_m for one in table.actions[6:]]
    assert depths == pytest.approx(np.array([0.8, 1, 1.2, 1.8, 2.5, 5]) * 1e-9)
    assert [chosen(index, table) for index in range(len(NAMES))] == list(table.actions)


def test_what_the_limits_refuse_is_never_proposed() -> None:
    table = Table(AT, Limits().narrowed(max_pulse_v=3.0, max_depth_nm=1.1))
    allowed = [name for name, fine in zip(NAMES, table.mask(WIDE), strict=True) if fine]
    assert allowed == [
        "stall", "pulse +2.5 V", "pulse -2.5 V", "indent 0.8 nm", "indent 1 nm",
    ]  # fmt: skip
    for index in range(len(NAMES)):
        name = NAMES[table.actions.index(chosen(index, table))]
        assert name == (NAMES[index] if NAMES[index] in allowed else "stall")


def test_what_the_spot_is_too_small_for_is_never_proposed() -> None:
    table = Table(AT, Limits())
    small = Site(0.0, 0.0, 8e-9)
    for index in range(len(NAMES)):
        found = chosen(index, table, small)
        assert not isinstance(found, Indentation) or found.depth_m < 1.7e-9
    # Without any spot the wish counts, so that one is looked for.
    assert chosen(len(NAMES) - 1, table, None) == table.actions[-1]


def test_it_gives_up_where_nothing_is_allowed_and_needs_to_see() -> None:
    nothing = Limits().narrowed(max_pulse_v=0.0, max_depth_nm=0.0, max_wait_s=0.0)
    assert isinstance(chosen(0, Table(AT, nothing)), GiveUp)
    with pytest.raises(ValueError, match="call see first"):
        DeepSPM(QNetwork(), Table(AT, Limits())).propose(looked(WIDE))


def test_one_image_of_nine_tenths_is_enough() -> None:
    assert acceptance().judge(looked(WIDE, 0.89)).verdict is Verdict.BAD
    assert acceptance().judge(looked(WIDE, 0.90)).verdict is Verdict.GOOD


@pytest.mark.parametrize("lines", [96, 40, 1])
def test_a_plane_is_removed_and_what_was_not_scanned_is_nothing(lines: int) -> None:
    rows, columns = np.mgrid[:96, :96]
    plane = 1e-7 + 3e-12 * rows - 2e-12 * columns
    plane[lines:] = np.nan
    seen = picture(scan_of(plane))
    assert seen.shape == (SIDE, SIDE)
    assert seen.dtype == np.float32
    assert np.abs(seen).max() < 1e-2
    assert not seen[int(np.ceil(lines / 96 * SIDE)) :].any()


def test_heights_count_in_tenths_of_nanometres_and_are_clipped() -> None:
    heights = np.zeros((96, 96))
    heights[30:33, 30:33] = 0.5e-10
    heights[60:66, 60:66] = 9e-10
    seen = picture(scan_of(heights))
    # A block of three pixels covers two of those that the network sees.
    assert seen[20:22, 20:22] == pytest.approx(0.5, abs=0.1)
    assert seen[41:43, 41:43] == pytest.approx(CLIP)
    assert np.abs(seen).max() == pytest.approx(CLIP)


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="run `tipsmith train deepspm`"):
        read_trained(tmp_path / "deepspm.safetensors")


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    trained = untaught_deepspm(tmp_path)
    again = read_trained(tmp_path / "deepspm0.safetensors")
    seen = torch.rand(2, 1, SIDE, SIDE)
    assert torch.equal(trained.network(seen), again.network(seen))
    assert trained.manifest == again.manifest


def test_other_weights_than_described_are_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        untaught_deepspm(tmp_path, seed)
    path = tmp_path / "deepspm0.safetensors"
    path.write_bytes((tmp_path / "deepspm1.safetensors").read_bytes())
    with pytest.raises(FileError, match="sha256 differs"):
        read_trained(path)


def test_another_layout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untaught_deepspm(tmp_path)
    monkeypatch.setattr(deepspm_network, "CLIP", 3.0)
    with pytest.raises(FileError, match=r"was trained with the layout .* again"):
        read_trained(tmp_path / "deepspm0.safetensors")


def test_weights_that_do_not_fit_or_are_no_numbers_are_refused(tmp_path: Path) -> None:
    broken = QNetwork()
    broken.layers[0].bias.data[0] = torch.nan
    describe = {"command": "none", "seed": 0, "data": "none", "curve": [], "metrics": {}}
    path = tmp_path / "broken.safetensors"
    deepspm_network.write_trained(path, broken, describe)
    with pytest.raises(FileError, match="not finite"):
        read_trained(path)
    del broken.layers[-1]
    deepspm_network.write_trained(path, broken, describe)
    with pytest.raises(FileError, match="does not hold the layers"):
        read_trained(path)
    assert manifest_path(path).exists()


def test_a_trial_shows_it_every_scan(tmp_path: Path) -> None:
    network, seen = untaught_deepspm(tmp_path).network, []

    class Watching(DeepSPM):
        def see(self, scan: Scan) -> None:
            seen.append(scan)
            super().see(scan)

    def entering(_name: str, bout: Bout) -> tuple[Policy, Acceptance]:
        policy = Watching(network, Table(bout.at, bout.limits))
        assert isinstance(policy, Seeing)
        return policy, FreshSpots(bout.plan)

    run = Trial(COURSE, "watching", 3, stop=0.5, entering=entering).run()
    judged, question = [], next(run)
    with suppress(StopIteration):
        while True:
            if not question.by_lines:
                judged.append(question.scan)
            question = run.send(TipReport(0.01, dict.fromkeys(TipState, 0.5), 32))
    assert len(judged) > COURSE.plan.max_actions
    assert [id(one) for one in seen] == [id(one) for one in judged]
    assert any(np.isnan(one.forward).any() for one in seen)


def test_entrants_say_what_they_have_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = untaught_deepspm(tmp_path)
    monkeypatch.setattr(entrants, "shipped_deepspm", lambda: trained)
    assert {DEEPSPM, DEEPSPM + AS_PUBLISHED} <= set(names())
    assert learned_by(DEEPSPM) == learned_by(DEEPSPM + AS_PUBLISHED) == trained.manifest.sha256
    assert learned_by(LEARNED) == shipped_brain().manifest.sha256
    learners = {LEARNED, DEEPSPM, DEEPSPM + AS_PUBLISHED}
    assert all(learned_by(name) == "" for name in set(names()) - learners)
