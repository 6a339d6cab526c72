"""Judges scans with trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from drivers.errors import FileError
from drivers.scan import Scan
from policies.report import TipReport, TipState
from policies.scorer.familiarity import Familiarity, statistics
from policies.scorer.network import OUTPUTS, ScorerNetwork
from policies.scorer.preprocess import ScorerInput, prepare
from policies.scorer.weights import FAMILIAR, SHIPPED, Manifest, read_weights


class Scorer:
    """Says what a scan, whole or partial, tells about the tip."""

    def __init__(
        self, network: ScorerNetwork, familiarity: Familiarity, manifest: Manifest
    ) -> None:
        self._network = network.eval()
        self._familiarity = familiarity
        self.manifest = manifest

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Scorer:
        """Load the weights at ``path``; the shipped ones by default.

        Raises:
            FileError: the weights or their manifest are missing, damaged or of another network.
        """
        tensors, manifest = read_weights(path)
        network = ScorerNetwork()
        try:
            familiarity = Familiarity(*(tensors.pop(name) for name in FAMILIAR))
            network.load_state_dict(tensors)
        except (KeyError, RuntimeError):
            raise FileError(f"{path} holds the weights of another network") from None
        return cls(network, familiarity, manifest)

    def judge(self, scan: Scan) -> TipReport:
        """Judge one scan.

        Raises:
            ValueError: the scan holds no data.
        """
        return self.judge_all([scan])[0]

    def judge_all(self, scans: Sequence[Scan]) -> list[TipReport]:
        """Judge several scans at once."""
        return self.report([prepare(scan) for scan in scans])

    def report(self, inputs: Sequence[ScorerInput]) -> list[TipReport]:
        """Judge scans that are prepared already."""
        pictures = torch.stack([torch.from_numpy(one.pictures) for one in inputs])
        protrusions = torch.stack([torch.from_numpy(one.protrusion) for one in inputs])
        numbers = torch.stack([torch.from_numpy(one.numbers) for one in inputs])
        with torch.inference_mode():
            logits = self._network(pictures, protrusions, numbers)[:, :OUTPUTS]
            rows = torch.sigmoid(logits / self.manifest.temperature).tolist()
            novelties = self._familiarity.novelty(statistics(pictures)).tolist()
        return [
            TipReport(row[0], dict(zip(TipState, row[1:], strict=True)), one.lines, novelty)
            for row, one, novelty in zip(rows, inputs, novelties, strict=True)
        ]
