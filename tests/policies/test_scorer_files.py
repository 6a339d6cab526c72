"""Weights and manifests: whole or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from drivers.errors import FileError
from policies.scorer import Scorer
from policies.scorer.familiarity import Familiarity
from policies.scorer.network import ScorerNetwork
from policies.scorer.picture_network import PictureNetwork
from policies.scorer.weights import Manifest, manifest_path, read_weights, write_weights

DESCRIPTION: dict[str, object] = {
    "command": "tipsmith train scorer",
    "seed": 1,
    "data": "none",
    "presets": {"au111": "0123"},
    "temperature": 1.5,
    "line_temperature": 1.2,
    "alarm": 0.9,
    "stop": 0.01,
    "flags": {"good": 0.05},
    "metrics": {"auc": 0.9},
}


def tensors() -> dict[str, torch.Tensor]:
    familiar = Familiarity(torch.zeros(1, 18), torch.eye(18)[None])
    return {**ScorerNetwork().state_dict(), **familiar.tensors()}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "scorer.safetensors"
    write_weights(path, tensors(), DESCRIPTION)
    return path


def test_what_is_written_can_be_read(weights: Path) -> None:
    read, manifest = read_weights(weights)
    assert isinstance(manifest, Manifest)
    assert manifest.temperature == 1.5
    assert set(read) == set(tensors())
    assert sorted(path.name for path in weights.parent.iterdir()) == [
        "scorer.json",
        "scorer.safetensors",
    ]
    assert Scorer.load(weights).manifest == manifest


def test_altered_weights_are_refused(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(FileError, match="sha256"):
        Scorer.load(weights)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere\.safetensors"):
        Scorer.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seed": "one"}'])
def test_a_damaged_manifest_is_refused(weights: Path, text: str) -> None:
    manifest_path(weights).write_text(text)
    with pytest.raises(FileError, match=r"scorer\.json"):
        Scorer.load(weights)


def test_an_unknown_entry_in_the_manifest_is_refused(weights: Path) -> None:
    entries = json.loads(manifest_path(weights).read_text())
    manifest_path(weights).write_text(json.dumps({**entries, "temprature": 1}))
    with pytest.raises(FileError, match="temprature"):
        Scorer.load(weights)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    write_weights(path, PictureNetwork().state_dict(), DESCRIPTION)
    with pytest.raises(FileError, match="another network"):
        Scorer.load(path)
