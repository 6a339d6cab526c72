"""Judges scans with trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from drivers.errors import FileError
from drivers.scan import Scan
from policies.report import TipReport, TipState
from policies.scorer.assessable import complete_lines, is_featureless, why_not
from policies.scorer.coarse import coarse
from policies.scorer.familiarity import Familiarity, statistics
from policies.scorer.lines import Setting, read_rows
from policies.scorer.network import ScorerNetwork
from policies.scorer.outputs import OUTPUTS
from policies.scorer.preprocess import ScorerInput, prepare
from policies.scorer.stream import LineStream, Thresholds
from policies.scorer.weights import SHIPPED, Manifest, read_weights


@dataclass(frozen=True, slots=True)
class Features:
    """What the networks make of a scan before they judge it.

    Attributes:
        picture: features of the whole picture, shape (n,).
        lines: the memory after the last row, its mean and its largest, shape (3 * MEMORY,).
        logits: the judgement of the picture, shape (OUTPUTS,).
    """

    picture: torch.Tensor
    lines: torch.Tensor
    logits: torch.Tensor


class Scorer:
    """Says what a scan, whole or partial, tells about the tip."""

    def __init__(
        self, network: ScorerNetwork, familiarity: Familiarity, manifest: Manifest
    ) -> None:
        self.network = network.eval()
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
            familiarity = Familiarity.taken_from(tensors)
            network.load_state_dict(tensors)
        except (KeyError, RuntimeError):
            raise FileError(f"{path} holds the weights of another network") from None
        return cls(network, familiarity, manifest)

    def judge(self, scan: Scan) -> TipReport:
        """Judge one scan; one that cannot be judged is reported so."""
        return self.judge_all([scan])[0]

    def judge_all(self, scans: Sequence[Scan]) -> list[TipReport]:
        """Judge several scans at once."""
        scans = [coarse(scan) for scan in scans]
        troubles = [why_not(scan) for scan in scans]
        seen = [
            prepare(scan) if why is None else None
            for scan, why in zip(scans, troubles, strict=True)
        ]
        fit = [one for one in seen if one is not None]
        judged = iter(self.report(fit) if fit else [])
        reports = []
        for scan, one, why in zip(scans, seen, troubles, strict=True):
            if one is not None:
                reports.append(replace(next(judged), featureless=is_featureless(one, scan)))
            else:
                reports.append(TipReport.unassessable(str(why), len(complete_lines(scan))))
        return reports

    def features(self, scan: Scan) -> Features:
        """What the networks judge a scan by, for heads of other surfaces.

        Raises:
            ValueError: the scan holds too few lines, or no relief.
        """
        one, rows = prepare(scan), read_rows(scan)
        if not len(rows):
            raise ValueError("the scan holds too little: fewer lines than are read together")
        with torch.inference_mode():
            inputs = (one.pictures, one.protrusion, one.numbers)
            picture = self.network.picture.seen(*(torch.from_numpy(a)[None] for a in inputs))
            found = self.network.picture.head(picture)[0, :OUTPUTS]
            read, numbers = torch.from_numpy(rows.pictures), torch.from_numpy(rows.numbers)
            states = self.network.lines.states(read[None], numbers[None])[0]
        lines = torch.cat([states[-1], states.mean(dim=0), states.amax(dim=0)])
        return Features(picture[0], lines, found)

    def stream(self, setting: Setting) -> LineStream:
        """Judge a scan while it runs; give it every line as it arrives."""
        own = self.manifest
        thresholds = Thresholds(own.line_temperature, own.alarm, own.stop)
        return LineStream(self.network.lines, thresholds, setting)

    def report(self, inputs: Sequence[ScorerInput]) -> list[TipReport]:
        """Judge scans that are prepared already."""
        pictures = torch.stack([torch.from_numpy(one.pictures) for one in inputs])
        protrusions = torch.stack([torch.from_numpy(one.protrusion) for one in inputs])
        numbers = torch.stack([torch.from_numpy(one.numbers) for one in inputs])
        with torch.inference_mode():
            logits = self.network.picture(pictures, protrusions, numbers)[:, :OUTPUTS]
            rows = torch.sigmoid(logits / self.manifest.temperature).tolist()
            novelties = self._familiarity.novelty(statistics(pictures)).tolist()
        return [
            TipReport(row[0], dict(zip(TipState, row[1:], strict=True)), one.lines, novelty)
            for row, one, novelty in zip(rows, inputs, novelties, strict=True)
        ]
