"""Where a training stands, on disk, so that it goes on after a kill: safetensors, never pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.optim import Optimizer

from drivers.errors import FileError
from drivers.formats.atomic import write_atomically


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that holds network and optimiser after a number of chunks of data.

    Attributes:
        path: the file; gone when the training is over.
        training: what is trained, in words; a checkpoint of another training is refused.
    """

    path: Path
    training: str

    def write(
        self, network: nn.Module, optimiser: Optimizer, chunks: int, elapsed_s: float
    ) -> None:
        """Replace the file by the state after ``chunks`` chunks and ``elapsed_s`` seconds."""
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        contiguous = {name: value.contiguous().cpu() for name, value in tensors.items()}
        stand = {
            "training": self.training,
            "chunks": str(chunks),
            "elapsed_s": f"{elapsed_s:.1f}",
        }
        write_atomically(self.path, save(contiguous, metadata=stand))

    def restore(self, network: nn.Module, optimiser: Optimizer) -> tuple[int, float]:
        """Bring both to where the file stands; (0, 0) and nothing done if there is none.

        Returns:
            Chunks of data seen, and seconds spent.

        Raises:
            FileError: the file is damaged, or of another training.
        """
        if not self.path.exists():
            return 0, 0.0
        try:
            with safe_open(str(self.path), framework="pt") as file:
                stand = file.metadata() or {}
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError) as error:
            raise FileError(f"{self.path} is no checkpoint: {error}; delete it") from None
        if stand.get("training") != self.training:
            raise FileError(
                f"{self.path} belongs to another training ({stand.get('training')}); "
                "finish that one, or delete the file"
            )
        network.load_state_dict(_below("network", tensors))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _below("optimiser", tensors).items():
            index, moment = name.split(".")
            moments.setdefault(int(index), {})[moment] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
        return int(stand["chunks"]), float(stand["elapsed_s"])

    def remove(self) -> None:
        """Delete the file: the training is over."""
        self.path.unlink(missing_ok=True)


def _below(part: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
