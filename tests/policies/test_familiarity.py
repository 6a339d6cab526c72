"""Novelty: small for what the Gaussian was fitted to, large for what lies elsewhere."""

from __future__ import annotations

import torch

from policies.scorer.familiarity import Familiarity


def features(count: int, seed: int) -> torch.Tensor:
    """Correlated features, one of which never varies."""
    drawn = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    mixed = drawn @ torch.diag(torch.tensor([1.0, 3.0, 0.1, 1.0, 2.0, 0.0]))
    mixed[:, 0] += mixed[:, 1]
    return mixed + 5


def test_one_familiar_scan_in_a_hundred_is_called_novel() -> None:
    familiarity = Familiarity.of(features(4000, seed=1))
    fresh = familiarity.novelty(features(4000, seed=2))
    assert 0.003 < (fresh > 1).float().mean() < 0.03


def test_what_lies_elsewhere_is_novel() -> None:
    familiarity = Familiarity.of(features(4000, seed=1))
    moved = features(100, seed=2) + torch.tensor([0, 0, 3.0, 0, 0, 0])
    assert (familiarity.novelty(moved) > 1).all()
    # Within the spread of each feature, but against their correlation.
    broken = features(1, seed=3).mean(dim=0, keepdim=True) * 0 + 5
    broken[0, 0], broken[0, 1] = 5 + 6, 5 - 6
    assert familiarity.novelty(broken) > 1
