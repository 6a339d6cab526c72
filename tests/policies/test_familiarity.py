"""Novelty: small for what the Gaussian was fitted to, large for what lies elsewhere."""

from __future__ import annotations

from itertools import pairwise

import torch

from policies.scorer.familiarity import RINGS, Familiarity, statistics
from policies.scorer.preprocess import SIDE

#: Where the line noise lies among the statistics, behind the rings.
LINE_BANDS = (len(RINGS) - 1, len(RINGS))


def features(count: int, seed: int) -> torch.Tensor:
    """Correlated features, one of which never varies."""
    drawn = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    mixed = drawn @ torch.diag(torch.tensor([1.0, 3.0, 0.1, 1.0, 2.0, 0.0]))
    mixed[:, 0] += mixed[:, 1]
    return mixed + 5


def test_one_familiar_scan_in_a_hundred_is_called_novel() -> None:
    familiarity = Familiarity.of(features(4000, seed=1), torch.zeros(4000))
    fresh = familiarity.novelty(features(4000, seed=2))
    assert 0.003 < (fresh > 1).float().mean() < 0.03


def test_what_lies_elsewhere_is_novel() -> None:
    familiarity = Familiarity.of(features(4000, seed=1), torch.zeros(4000))
    moved = features(100, seed=2) + torch.tensor([0, 0, 3.0, 0, 0, 0])
    assert (familiarity.novelty(moved) > 1).all()
    # Within the spread of each feature, but against their correlation.
    broken = features(1, seed=3).mean(dim=0, keepdim=True) * 0 + 5
    broken[0, 0], broken[0, 1] = 5 + 6, 5 - 6
    assert familiarity.novelty(broken) > 1


def test_each_surface_is_familiar_but_not_what_lies_between() -> None:
    away = torch.tensor([0, 0, 0, 40.0, 0, 0])
    both = torch.cat([features(2000, seed=1), features(2000, seed=2) + away])
    familiarity = Familiarity.of(both, torch.arange(4000) // 2000)
    assert (familiarity.novelty(features(200, seed=3)) > 1).float().mean() < 0.05
    assert (familiarity.novelty(features(200, seed=4) + away) > 1).float().mean() < 0.05
    assert (familiarity.novelty(features(200, seed=5) + away / 2) > 1).all()


def test_it_is_kept_among_the_weights() -> None:
    familiarity = Familiarity.of(features(100, seed=1), torch.zeros(100))
    tensors = {"other": torch.zeros(1), **familiarity.tensors()}
    taken = Familiarity.taken_from(tensors)
    assert torch.equal(taken.precision, familiarity.precision)
    assert list(tensors) == ["other"]


def pictures(heights: torch.Tensor) -> torch.Tensor:
    """The same heights there and back, all of them scanned; shape (1, CHANNELS, SIDE, SIDE)."""
    return torch.stack([heights, heights, heights, torch.ones_like(heights)])[None]


def test_noise_from_line_to_line_is_told_from_noise_of_pixels() -> None:
    drawn = torch.Generator().manual_seed(3)
    white = torch.randn(SIDE, SIDE, generator=drawn)
    lines = torch.randn(SIDE, 1, generator=drawn).expand(SIDE, SIDE)
    found = [statistics(pictures(heights))[0] for heights in (white, lines)]
    offsets, slow = LINE_BANDS
    assert found[1][offsets] > found[0][offsets] + 3
    assert found[1][slow] < found[0][slow] - 3


def test_power_is_found_in_the_ring_of_its_period() -> None:
    x = torch.arange(SIDE) / SIDE
    for ring, (low, high) in enumerate(pairwise(RINGS[:-1])):
        periods = (low + high) // 2
        wave = torch.sin(2 * torch.pi * periods * x).expand(SIDE, SIDE)
        powers = statistics(pictures(wave))[0][: len(RINGS) - 1]
        assert int(powers.argmax()) == ring
