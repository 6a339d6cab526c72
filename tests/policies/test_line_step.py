"""Row by row the line network says what it says of all rows at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drivers.actions import TunnellingPoint
from drivers.scan import Frame, ScanLine, ScanSettings
from policies.scorer import Scorer
from policies.scorer.line_network import REACH, LineNetwork
from policies.scorer.line_step import LineStep, LineWeights
from policies.scorer.lines import CHANNELS, MOST_ROWS, NUMBERS, POINTS, Setting, read_rows
from sim.presets.preset import load_preset
from sim.world import World

FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)


@pytest.fixture(scope="module")
def network() -> LineNetwork:
    """One whose batch norms do something, as after a training."""
    torch.manual_seed(1)
    network = LineNetwork().train()
    with torch.no_grad():
        for block in network.blocks:
            block[1].weight.uniform_(0.5, 2.0)
            block[1].bias.uniform_(-0.5, 0.5)
        network(3 + torch.randn(8, CHANNELS, 20, POINTS), torch.randn(8, 20, NUMBERS))
    return network.eval()


def rows(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(CHANNELS, count, POINTS), torch.randn(count, NUMBERS)


def one_by_one(step: LineStep, pictures: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    return torch.stack(
        [step.read(pictures[:, k].numpy(), numbers[k].numpy()) for k in range(len(numbers))]
    )


def at_once(network: LineNetwork, pictures: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(pictures[None], numbers[None])[0]


def test_row_by_row_it_says_what_it_says_of_all(network: LineNetwork) -> None:
    seen = rows(MOST_ROWS)
    found = one_by_one(LineStep(LineWeights.of(network)), *seen)
    whole = at_once(network, *seen)
    assert torch.allclose(found, whole, atol=1e-5)
    # It tells the rows apart.
    assert whole.std(dim=0).min() > 1e-3


def test_what_was_said_stays_as_it_was_said(network: LineNetwork) -> None:
    pictures, numbers = (one.numpy() for one in rows(REACH))
    step = LineStep(LineWeights.of(network))
    first = step.read(pictures[:, 0], numbers[0])
    kept = first.clone()
    step.read(pictures[:, 1], numbers[1])
    assert torch.equal(first, kept)


def test_scans_do_not_see_each_other(network: LineNetwork) -> None:
    weights = LineWeights.of(network)
    steps, scans = [LineStep(weights), LineStep(weights)], [rows(8, seed) for seed in (1, 2)]
    found = [
        [step.read(pictures[:, k].numpy(), numbers[k].numpy()) for k in range(first, last)]
        for first, last in ((0, 4), (4, 8))
        for step, (pictures, numbers) in zip(steps, scans, strict=True)
    ]
    for index, scan in enumerate(scans):
        mine = torch.stack(found[index] + found[index + 2])
        assert torch.allclose(mine, at_once(network, *scan), atol=1e-5)


def test_what_is_learned_later_does_not_show() -> None:
    network, seen = LineNetwork().eval(), rows(4)
    weights, before = LineWeights.of(network), at_once(network, *seen)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(-1.5)
    assert torch.allclose(one_by_one(LineStep(weights), *seen), before, atol=1e-5)


# More lines than the network reads as rows are read a few at a time.
@pytest.mark.parametrize("lines", [48, 2 * MOST_ROWS])
def test_a_simulated_scan_is_judged_line_by_line_as_in_one_go(lines: int) -> None:
    scorer = Scorer.load()
    at = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
    settings = ScanSettings(
        frame=FRAME, pixels=128, lines=lines, forward_s=0.1, backward_s=0.1, at=at
    )
    scan = World(load_preset("au111"), 3).scan(settings)
    setting = Setting.of(scan)
    stream = scorer.stream(setting)
    reports = [
        stream.read(ScanLine(row, row, scan.forward[row], scan.backward[row], 0.0))
        for row in range(lines)
    ]
    told = [
        [report.quality, *report.states.values(), *report.image.values()]
        for report in reports[setting.lines_per_row - 1 :: setting.lines_per_row]
        if report is not None
    ]
    read = read_rows(scan)
    logits = at_once(
        scorer.network.lines, torch.from_numpy(read.pictures), torch.from_numpy(read.numbers)
    )
    whole = torch.sigmoid(logits / scorer.manifest.line_temperature)
    assert np.allclose(told, whole.numpy(), atol=1e-5)
