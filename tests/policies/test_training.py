"""Training data and training: the same from the same seed, and labels that tell the truth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.errors import FileError
from policies.report import ImageState, TipState
from policies.scorer import Scorer
from policies.scorer.outputs import NAMES, OUTPUTS, STATES
from policies.training import fit, scans, scorer
from policies.training.scans import Examples
from policies.training.scorer import train
from policies.training.settings import SURFACES, choices
from policies.training.tips import draw_tips
from sim.presets.preset import load_preset


@pytest.fixture(scope="module")
def chunks() -> list[Examples]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, "CHUNK", 100)
        return list(scans.generate(seed=3, chunks=range(2), workers=1))


@pytest.mark.timeout(300)  # it starts processes that import torch
def test_the_same_seed_gives_the_same_examples(
    chunks: list[Examples], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "CHUNK", 100)
    (again,) = scans.generate(seed=3, chunks=range(1, 2), workers=2)
    assert [len(chunk.labels) for chunk in chunks] == [100, 100]
    assert np.array_equal(chunks[1].labels, again.labels)
    assert np.array_equal(chunks[1].pictures, again.pictures)
    assert np.isfinite(again.pictures).all()


def test_a_good_tip_has_no_trouble_and_a_bad_one_has(chunks: list[Examples]) -> None:
    labels = np.concatenate([chunk.labels for chunk in chunks])
    good, states = labels[:, 0] > 0.5, labels[:, STATES] > 0.5
    assert 0.02 < good.mean() < 0.5
    # A tip may be good before and after it changed.
    lasting = np.delete(states, list(TipState).index(TipState.CHANGED), axis=1)
    assert not lasting[good].any()
    assert states[~good].any(axis=1).all()


def test_pictures_with_noise_and_bad_feedback_are_drawn(chunks: list[Examples]) -> None:
    labels = np.concatenate([chunk.labels for chunk in chunks])
    for state in ImageState:
        assert 0.01 < labels[:, NAMES.index(state)].mean() < 0.4, state


def test_rows_tell_what_was_true_when_they_were_read(chunks: list[Examples]) -> None:
    rows = np.concatenate([chunk.row_labels for chunk in chunks])
    whole = np.concatenate([chunk.labels for chunk in chunks])[:, :OUTPUTS] > 0.5
    read = np.isfinite(rows[:, :, 0])
    count = read.sum(axis=1)
    assert (np.diff(read.astype(int), axis=1) <= 0).all()
    assert (count >= 4).all()
    last = rows[np.arange(len(rows)), count - 1] > 0.5
    assert np.array_equal(last, whole)
    column = NAMES.index(TipState.CHANGED)
    changed = whole[:, column]
    assert changed.any()
    # Before the change nothing was changed, and from then on it stays so.
    flags = np.nan_to_num(rows[:, :, column], nan=1.0)
    assert (np.diff(flags[changed], axis=1) >= 0).all()
    assert not flags[~changed][read[~changed]].any()


def test_what_lies_behind_the_last_row_is_nothing(chunks: list[Examples]) -> None:
    for chunk in chunks:
        behind = ~np.isfinite(chunk.row_labels[:, :, 0])
        assert behind.any()
        assert not chunk.rows.transpose(0, 2, 1, 3)[behind].any()
        assert not chunk.row_numbers[behind].any()


def test_scans_of_every_surface_are_drawn() -> None:
    drawn = list(islice(choices(np.random.default_rng(1)), 300))
    assert {choice.surface for choice in drawn} == set(range(len(SURFACES)))
    assert any("-" in choice.preset.name for choice in drawn)


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
    manifest = train(seed=1, scans=2000, out=path)
    assert manifest.command == "tipsmith train scorer --seed 1 --scans 2000"
    assert {"auc_double", "auc_blunt", "share_good"} <= set(manifest.metrics)
    assert manifest.metrics["auc_unstable"] > 0.6
    assert Scorer.load(path).manifest == manifest
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.mark.timeout(300)  # it starts processes that import torch
def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (scans, scorer):
        monkeypatch.setattr(module, "CHUNK", 64)
    monkeypatch.setattr(fit, "CHECKPOINT_CHUNKS", 1)
    unbroken = train(seed=5, scans=192, out=tmp_path / "unbroken.safetensors")

    def cut_short(*args: Any, **options: Any) -> Iterator[Examples]:
        yield from islice(scans.generate(*args, **options), 2)
        raise KeyboardInterrupt

    broken = tmp_path / "broken.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(scorer, "generate", cut_short)
        with pytest.raises(KeyboardInterrupt):
            train(seed=5, scans=192, out=broken)
    assert not broken.exists()
    with pytest.raises(FileError, match="another training"):
        train(seed=6, scans=192, out=broken)
    assert train(seed=5, scans=192, out=broken).sha256 == unbroken.sha256
