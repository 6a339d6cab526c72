"""Real reports of the scorer on simulated tips, kept so that a compact world can draw from them.

Rendering and judging a scan takes a hundred times as long as anything else that happens in a
repair. The bank holds what the scorer said about a few thousand scans beside what the tips were
like; whoever needs the report on another tip takes that on one much like it. What misleads the
scorer about a tip misleads it on every spot: all looks at one tip come from the same entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from policies.report import ImageState, TipReport, TipState
from policies.scorer.weights import Hashed, read_described, write_described
from sim.tips.tip import Termination, Tip

#: Entries that are equally near, for all that the scorer could tell.
NEIGHBOURS = 3
#: Distances between tips that differ by one unit: of the logarithm of the radius, of gaps (nm) and
#: of the logarithm of how far apart the apexes are; another termination is farther than all that.
LOG_RADIUS, GAP_NM, LOG_OFFSET, UNLIKE = 0.3, 0.04, 1.0, 20.0
#: Gaps that no scan shows any more (nm), and a second apex counts less than the first.
DEEPEST_NM, SECOND = 0.45, 0.4

_STATES, _IMAGE = 1 + len(TipState), 1 + len(TipState) + len(ImageState)
_TOLD = ("lines", "novelty", "uncertainty", "featureless", "clear_nm")
#: Numbers of a view: those of the report, then how wide the clearest spot is.
COLUMNS = _IMAGE + len(_TOLD)

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class View:
    """What one scan told.

    Attributes:
        report: the scorer's judgement.
        clear_m: diameter of the clearest spot in it (m); 0 if there is none.
    """

    report: TipReport
    clear_m: float

    def numbers(self) -> list[float]:
        """The view as ``COLUMNS`` numbers."""
        one = self.report
        probabilities = [one.quality, *(one.states[state] for state in TipState)]
        probabilities += [one.image[state] for state in ImageState]
        told = [one.lines, one.novelty, one.uncertainty, float(one.featureless)]
        return [*probabilities, *told, self.clear_m / 1e-9]

    @classmethod
    def of_numbers(cls, numbers: list[float]) -> View:
        """The view that ``numbers`` were made of."""
        lines, novelty, uncertainty, featureless, clear_nm = numbers[_IMAGE:]
        report = TipReport(
            numbers[0],
            dict(zip(TipState, numbers[1:_STATES], strict=True)),
            round(lines),
            novelty,
            image=dict(zip(ImageState, numbers[_STATES:_IMAGE], strict=True)),
            featureless=featureless > 0.5,
            uncertainty=uncertainty,
        )
        return cls(report, clear_nm * 1e-9)


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks at one tip: whole scans, and the same cut short where they looked hopeless."""

    whole: tuple[View, ...]
    first: tuple[View, ...]

    def draw(self, rng: np.random.Generator, *, whole: bool) -> View:
        """One of them."""
        views = self.whole if whole else self.first
        return views[int(rng.integers(len(views)))]


class BankManifest(Hashed):
    """Where a bank comes from.

    Attributes:
        command: the command that made it.
        preset: hash of the preset that was scanned.
        scorer: hash of the weights that judged.
    """

    command: str
    preset: str
    scorer: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """A bank as it lies on disk.

    Attributes:
        tips: ``described`` tips, shape (n, DESCRIBED).
        views: their views, whole and cut short, shape (n, spots, 2, COLUMNS).
        changed_tips: tips that became so during a scan, shape (m, DESCRIBED).
        changed_views: that scan, shape (m, 1, 2, COLUMNS).
    """

    tips: Numbers
    views: Numbers
    changed_tips: Numbers
    changed_views: Numbers

    @classmethod
    def joined(cls, parts: Sequence[Gathered]) -> Gathered:
        """All parts as one."""
        return cls(
            *(np.concatenate([getattr(one, name) for one in parts]) for name in cls.__slots__)
        )

    def write(self, path: Path, manifest: dict[str, object]) -> None:
        """Write the bank with its manifest.

        Raises:
            FileError: it cannot be written there.
        """
        tensors = {name: torch.from_numpy(getattr(self, name)) for name in self.__slots__}
        write_described(path, tensors, manifest, BankManifest)


class Bank:
    """Looks by tip: those at tips that stayed, and those during which the tip changed."""

    def __init__(self, gathered: Gathered) -> None:
        self._looks = _looks(gathered.views)
        self._tree = KDTree(gathered.tips)
        self._changed = _looks(gathered.changed_views)
        self._changed_tree = KDTree(gathered.changed_tips)

    @classmethod
    def read(cls, path: Path) -> Bank:
        """Read a bank from disk.

        Raises:
            FileError: it is missing, damaged, or not what its manifest describes.
        """
        tensors, _ = read_described(path, BankManifest)
        return cls(Gathered(*(tensors[name].numpy() for name in Gathered.__slots__)))

    def looks(self, rng: np.random.Generator, tip: Tip) -> Looks:
        """The looks at one of the tips most like ``tip``."""
        return self._looks[_near(rng, self._tree, tip)]

    def changing(self, rng: np.random.Generator, tip: Tip) -> Looks:
        """The one look during which another tip became much like ``tip``."""
        return self._changed[_near(rng, self._changed_tree, tip)]


def described(tip: Tip) -> Numbers:
    """What decides how a tip images, as numbers whose differences count alike."""
    gaps = [_seen_gap(apex.gap_nm) for apex in tip.apexes[:2]]
    gaps += [_seen_gap(math.inf)] * (2 - len(gaps))
    first = tip.apexes[0] if tip.apexes else None
    offset = math.hypot(first.dx_nm, first.dy_nm) if first else 1.0
    # How far off an apex is matters the less, the less one sees of it.
    share = 1 - gaps[0] / _seen_gap(math.inf)
    numbers = [
        math.log(tip.radius_nm) / LOG_RADIUS,
        gaps[0],
        SECOND * gaps[1],
        share * math.log(max(offset, 0.1)) / LOG_OFFSET,
        UNLIKE * tip.stable,
        *(UNLIKE * (tip.termination is one) for one in Termination),
    ]
    return np.array(numbers, np.float32)


def _seen_gap(gap_nm: float) -> float:
    return min(gap_nm, DEEPEST_NM) / GAP_NM


def _near(rng: np.random.Generator, tree: KDTree, tip: Tip) -> int:
    count = min(NEIGHBOURS, tree.n)
    _, found = tree.query(described(tip), k=count)
    return int(np.atleast_1d(found)[int(rng.integers(count))])


def _looks(views: Numbers) -> list[Looks]:
    """Views of shape (n, spots, 2, COLUMNS) as looks."""
    return [
        Looks(*(tuple(View.of_numbers(row) for row in one[:, way].tolist()) for way in (0, 1)))
        for one in views
    ]
