"""Judges scans with trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from drivers.errors import FileError
from drivers.scan import Scan
from policies.report import TipReport
from policies.scorer.assessable import complete_lines, is_featureless, why_not
from policies.scorer.coarse import coarse
from policies.scorer.familiarity import Familiarity, statistics
from policies.scorer.inputs import Inputs, as_inputs
from policies.scorer.line_step import LineStep, LineWeights
from policies.scorer.lines import Setting, read_rows
from policies.scorer.network import ScorerNetwork, summary
from policies.scorer.preprocess import prepare
from policies.scorer.stream import LineStream, Thresholds
from policies.scorer.weights import SHIPPED, Manifest, read_weights


@dataclass(frozen=True, slots=True)
class Features:
    """What the networks make of a scan before they judge it.

    Attributes:
        picture: what is seen in the whole picture, shape (SEEN,).
        lines: what is left of reading it line by line, shape (3 * MEMORY,).
        logits: the judgement, shape (OUTPUTS,).
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
        self._line_weights = LineWeights.of(self.network.lines)
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
        fit = [scan for scan, why in zip(scans, troubles, strict=True) if why is None]
        judged = iter(self._judged(fit) if fit else [])
        return [
            next(judged) if why is None else TipReport.unassessable(why, len(complete_lines(scan)))
            for scan, why in zip(scans, troubles, strict=True)
        ]

    def features(self, scan: Scan) -> Features:
        """What the networks judge a scan by, for heads of other surfaces.

        Raises:
            ValueError: the scan holds no complete line, or no relief.
        """
        with torch.inference_mode():
            seen, read, logits = self._found(as_inputs([prepare(scan)], [read_rows(scan)]))
        return Features(seen[0], read[0], logits.mean(dim=1)[0])

    def stream(self, setting: Setting) -> LineStream:
        """Judge a scan while it runs; give it every line as it arrives."""
        own = self.manifest
        thresholds = Thresholds(own.line_temperature, own.alarm, own.stop)
        return LineStream(LineStep(self._line_weights), thresholds, setting)

    def qualities(self, scan: Scan) -> list[float]:
        """The quality that a stream would tell after each row of ``scan``, all at once."""
        rows = read_rows(scan)
        pictures, numbers = torch.from_numpy(rows.pictures), torch.from_numpy(rows.numbers)
        with torch.inference_mode():
            logits = self.network.lines(pictures[None], numbers[None])[0, :, 0]
        found: list[float] = torch.sigmoid(logits / self.manifest.line_temperature).tolist()
        return found

    def _judged(self, scans: Sequence[Scan]) -> list[TipReport]:
        prepared, rows = [prepare(scan) for scan in scans], [read_rows(scan) for scan in scans]
        inputs = as_inputs(prepared, rows)
        with torch.inference_mode():
            logits = self._found(inputs)[2] / self.manifest.temperature
            found = torch.sigmoid(logits.mean(dim=1)).tolist()
            spreads = torch.sigmoid(logits[:, :, 0]).std(dim=1).tolist()
            novelties = self._familiarity.novelty(statistics(inputs.pictures)).tolist()
        return [
            replace(
                TipReport.of_outputs(numbers, one.lines),
                novelty=novelty,
                uncertainty=spread,
                featureless=is_featureless(one, scan),
            )
            for numbers, novelty, spread, one, scan in zip(
                found, novelties, spreads, prepared, scans, strict=True
            )
        ]

    def _found(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What is seen, what is read, and the logits of every head."""
        network = self.network
        seen = network.picture(inputs.pictures, inputs.protrusions, inputs.numbers)
        states = network.lines.states(inputs.rows, inputs.row_numbers)
        read = summary(states, inputs.counts)
        return seen, read, network.judged(seen, read)[0]
