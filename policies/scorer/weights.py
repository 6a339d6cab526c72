"""Weights on disk: safetensors beside a manifest that says where they come from; never pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from drivers.errors import FileError
from drivers.formats.atomic import write_atomically

#: Names of the tensors that say what is familiar, beside those of the network.
FAMILIAR = ("familiar.mean", "familiar.precision")
SHIPPED = Path(__file__).parent / "weights" / "scorer.safetensors"


class Manifest(BaseModel):
    """Where weights come from and what they expect.

    Attributes:
        command: the command that trained them.
        seed: its seed.
        data: what they were trained on, in words.
        preset: name and hash of the simulator's preset.
        temperature: calibration; logits are divided by it.
        sha256: hash of the weights file.
        metrics: held-out figures of the training run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    seed: int
    data: str
    preset: str
    temperature: float
    sha256: str
    metrics: dict[str, float]


def manifest_path(weights: Path) -> Path:
    """The manifest that belongs to a weights file."""
    return weights.with_suffix(".json")


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], Manifest]:
    """Read weights and manifest.

    Raises:
        FileError: a file is missing or damaged, or the two do not belong together.
    """
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(manifest_path(path).read_bytes())
    except OSError as error:
        raise FileError(f"weights cannot be read: {error.filename} ({error.strerror})") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "JSON"
        raise FileError(f"{manifest_path(path)}: {where}: {problem['msg']}") from None
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise FileError(f"{path} is not the file its manifest describes (sha256 differs)")
    try:
        return load(content), manifest
    except SafetensorError as error:
        raise FileError(f"{path} is not a safetensors file: {error}") from None


def write_weights(
    path: Path, tensors: dict[str, torch.Tensor], describe: dict[str, object]
) -> Manifest:
    """Write weights and manifest, each whole or not at all; the hash is filled in here."""
    content = save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    manifest = Manifest.model_validate({**describe, "sha256": digest})
    write_atomically(path, content)
    text = json.dumps(manifest.model_dump(), indent=2) + "\n"
    write_atomically(manifest_path(path), text.encode())
    return manifest
