"""A scorer that was adapted to a surface: on disk, and at work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from drivers.errors import FileError
from drivers.scan import Scan
from policies.adaptation.descriptors import describe
from policies.adaptation.examples import (
    DESCRIBED,
    LINES,
    PICTURE,
    WHOLE_SHARE,
    expected_lines,
)
from policies.adaptation.heads import Head, combined
from policies.scorer import Scorer
from policies.scorer.assessable import complete_lines
from policies.scorer.weights import Hashed, read_described, write_described

Heads = dict[str, list[Head]]


class Expectation(BaseModel):
    """What the adaptation is expected to bring for one class, on sessions that it has not seen.

    Attributes:
        shipped: AUC of the shipped scorer.
        adapted: AUC of the adapted one.
        from_first_lines: its AUC from the first lines of the scans.
        gain_low: lower end of the 95 % interval of the difference.
        gain_high: its upper end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shipped: float
    adapted: float
    from_first_lines: float
    gain_low: float
    gain_high: float


class AdaptedManifest(Hashed):
    """Where adapted weights come from and what they belong to.

    Attributes:
        command: the command that made them.
        seed: its seed.
        data: what they were taught, in words.
        scorer: hash of the weights of the scorer that they stand on.
        classes: names of the classes.
        expected: by class.
    """

    command: str
    seed: int
    data: str
    scorer: str
    classes: tuple[str, ...]
    expected: dict[str, Expectation]


@dataclass(frozen=True, slots=True)
class Judges:
    """The heads of an adapted scorer.

    Attributes:
        whole: by part, for scans with most of their lines.
        begun: by part, for scans with few of them.
    """

    whole: Heads
    begun: Heads

    def tensors(self) -> dict[str, torch.Tensor]:
        """All weights by name."""
        return {
            f"{group}.{part}.{number}.{name}": value
            for group, heads in (("whole", self.whole), ("begun", self.begun))
            for part, some in heads.items()
            for number, head in enumerate(some)
            for name, value in head.state_dict().items()
        }

    @classmethod
    def of(cls, tensors: dict[str, torch.Tensor]) -> Judges:
        """Take the heads from their weights.

        Raises:
            KeyError: some are missing.
            RuntimeError: some do not fit together.
        """
        return cls(
            {part: _heads(tensors, f"whole.{part}") for part in (DESCRIBED, PICTURE, LINES)},
            {DESCRIBED: _heads(tensors, f"begun.{DESCRIBED}")},
        )


class AdaptedScorer:
    """Says how probable each class of a surface is that somebody labelled."""

    def __init__(self, scorer: Scorer, judges: Judges, classes: tuple[str, ...]) -> None:
        self._scorer, self._judges = scorer, judges
        self.classes = classes

    @classmethod
    def load(cls, path: Path, scorer: Scorer) -> AdaptedScorer:
        """Load the weights at ``path``, which must stand on those of ``scorer``.

        Raises:
            FileError: the weights or their manifest are missing, damaged, of something else, or
                made for another scorer.
        """
        tensors, manifest = read_described(path, AdaptedManifest)
        if manifest.scorer != scorer.manifest.sha256:
            raise FileError(
                f"{path} was adapted from other weights of the scorer than these; "
                "run tipsmith adapt again"
            )
        try:
            judges = Judges.of(tensors)
        except (KeyError, RuntimeError):
            raise FileError(f"{path} does not hold the weights of an adapted scorer") from None
        return cls(scorer, judges, manifest.classes)

    def probabilities(self, scan: Scan) -> dict[str, float]:
        """Probability of each class, of a scan, whole or partial.

        Raises:
            ValueError: the scan holds fewer than two complete lines, or no relief.
        """
        lines = complete_lines(scan)
        described = torch.from_numpy(describe(lines))[None, None]
        heads, parts = self._judges.begun, {DESCRIBED: described}
        if len(lines) >= WHOLE_SHARE * expected_lines(scan):
            seen = self._scorer.features(scan)
            heads = self._judges.whole
            parts |= {PICTURE: seen.picture[None, None], LINES: seen.lines[None, None]}
        found = torch.sigmoid(combined(heads, parts))[0].tolist()
        return dict(zip(self.classes, found, strict=True))


def write_adapted(path: Path, judges: Judges, describe: dict[str, object]) -> AdaptedManifest:
    """Write weights and manifest, each whole or not at all.

    Raises:
        FileError: the place cannot be written to.
    """
    return write_described(path, judges.tensors(), describe, AdaptedManifest)


def _heads(tensors: dict[str, torch.Tensor], name: str) -> list[Head]:
    members: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{name}."):
            number, _, rest = key.removeprefix(f"{name}.").partition(".")
            members.setdefault(number, {})[rest] = value
    found = []
    for number in sorted(members):
        last = members[number]["layers.4.bias"]
        head = Head(len(members[number]["mean"]), len(last))
        head.load_state_dict(members[number])
        found.append(head.eval())
    if not found:
        raise KeyError(name)
    return found
