"""Weights on disk: safetensors beside a manifest that says where they come from; never pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from drivers.complaints import complaint
from drivers.errors import FileError
from drivers.formats.atomic import write_atomically

SHIPPED = Path(__file__).parent / "weights" / "scorer.safetensors"


class Hashed(BaseModel):
    """A manifest: whatever it says, it names its weights file by hash.

    Attributes:
        sha256: hash of the weights file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str


Described = TypeVar("Described", bound=Hashed)


class Manifest(Hashed):
    """Where weights come from and what they expect.

    Attributes:
        command: the command that trained them.
        seed: its seed.
        data: what they were trained on, in words.
        presets: hashes of the simulator's presets, by name.
        temperature: calibration; the logits of a whole scan are divided by it.
        line_temperature: the same for the logits after every row.
        alarm: probability of a change of the tip from which an alarm is raised.
        stop: probability of a good tip below which a running scan is hopeless.
        flags: probabilities from which a whole scan is flagged, by name.
        metrics: held-out figures of the training run.
    """

    command: str
    seed: int
    data: str
    presets: dict[str, str]
    temperature: float
    line_temperature: float
    alarm: float
    stop: float
    flags: dict[str, float]
    metrics: dict[str, float]


def manifest_path(weights: Path) -> Path:
    """The manifest that belongs to a weights file."""
    return weights.with_suffix(".json")


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], Manifest]:
    """Read weights and manifest of the scorer.

    Raises:
        FileError: a file is missing or damaged, or the two do not belong together.
    """
    return read_described(path, Manifest)


def read_described(path: Path, kind: type[Described]) -> tuple[dict[str, torch.Tensor], Described]:
    """Read weights and the manifest of the given kind.

    Raises:
        FileError: a file is missing or damaged, or the two do not belong together.
    """
    try:
        content = path.read_bytes()
        manifest = kind.model_validate_json(manifest_path(path).read_bytes())
    except OSError as error:
        raise FileError(f"weights cannot be read: {error.filename} ({error.strerror})") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "JSON"
        raise FileError(f"{manifest_path(path)}: {where}: {complaint(error)}") from None
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise FileError(f"{path} is not the file its manifest describes (sha256 differs)")
    try:
        return load(content), manifest
    except SafetensorError as error:
        raise FileError(f"{path} is not a safetensors file: {error}") from None


def write_weights(
    path: Path, tensors: dict[str, torch.Tensor], describe: dict[str, object]
) -> Manifest:
    """Write weights and manifest of the scorer, each whole or not at all."""
    return write_described(path, tensors, describe, Manifest)


def write_described(
    path: Path, tensors: dict[str, torch.Tensor], describe: dict[str, object], kind: type[Described]
) -> Described:
    """Write weights and manifest, each whole or not at all; the hash is filled in here."""
    content = save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    manifest = kind.model_validate({**describe, "sha256": digest})
    write_atomically(path, content)
    text = json.dumps(manifest.model_dump(), indent=2) + "\n"
    write_atomically(manifest_path(path), text.encode())
    return manifest
