"""Training data and training: the same from the same seed, and labels that tell the truth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from policies.scorer import Scorer
from policies.scorer.network import OUTPUTS
from policies.training import scans
from policies.training.scans import Examples
from policies.training.scorer import train
from policies.training.tips import draw_tips
from sim.preset import load_preset


@pytest.fixture(scope="module")
def chunks() -> Iterator[list[Examples]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, "CHUNK", 150)
        yield list(scans.generate(seed=3, count=200, preset="au111", workers=1))


@pytest.mark.timeout(300)  # it starts processes that import torch
def test_the_same_seed_gives_the_same_examples(chunks: list[Examples]) -> None:
    again = list(scans.generate(seed=3, count=200, preset="au111", workers=2))
    assert [len(chunk.labels) for chunk in chunks] == [150, 50]
    for before, after in zip(chunks, again, strict=True):
        assert np.array_equal(before.labels, after.labels)
        assert np.array_equal(before.pictures, after.pictures)
        assert np.isfinite(after.pictures).all()


def test_a_good_tip_has_no_trouble_and_a_bad_one_has(chunks: list[Examples]) -> None:
    labels = np.concatenate([chunk.labels for chunk in chunks])
    good, states = labels[:, 0] > 0.5, labels[:, 1:OUTPUTS] > 0.5
    assert 0.03 < good.mean() < 0.5
    assert not states[good].any()
    assert states[~good].any(axis=1).all()


def test_tips_of_every_kind_are_drawn() -> None:
    preset, rng = load_preset("au111"), np.random.default_rng(0)
    tips = list(islice(draw_tips(rng, preset), 400))
    assert {tip.clean for tip in tips} == {True, False}
    assert {tip.stable for tip in tips} == {True, False}
    assert min(tip.radius_nm for tip in tips) < 0.8
    assert max(tip.radius_nm for tip in tips) > 8


@pytest.mark.timeout(300)  # it starts processes that import torch
def test_training_writes_weights_that_load_and_learn(tmp_path: Path) -> None:
    path = tmp_path / "scorer.safetensors"
    manifest = train(seed=1, scans=1000, out=path)
    assert manifest.command == "tipsmith train scorer --seed 1 --scans 1000"
    assert {"auc_double", "auc_blunt", "share_good"} <= set(manifest.metrics)
    assert manifest.metrics["auc_unstable"] > 0.6
    assert Scorer.load(path).manifest == manifest
