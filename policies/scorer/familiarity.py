"""How unlike its training data a scan is, by the statistics of its pictures.

What a network makes of a strange picture may well look usual: on real scans of other surfaces the
distance of its features (Lee et al., NeurIPS 2018) told nothing. Power spectrum, height histogram
and the difference of forward and backward do; a Gaussian over them gives the Mahalanobis distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch

from policies.scorer.preprocess import SIDE

#: Bounds of the rings of the power spectrum, in periods per side.
RINGS = (0, 2, 4, 7, 11, 16, 22, 30, 40, 55, 70)
#: Columns of the spectrum that hold what changes from line to line only.
LINE_NOISE = (1, 3)
#: Share of familiar scans whose novelty stays below 1.
FAMILIAR_SHARE = 0.99
#: Shrinkage of the covariance towards its mean variance.
SHRINKAGE = 1e-3
#: Scans of a surface from which their spread can be told.
FEWEST = 20
FAINT = 1e-6
#: Names of the tensors among the weights.
NAMES = ("familiar.mean", "familiar.precision")


def statistics(pictures: torch.Tensor) -> torch.Tensor:
    """What pictures are like, whatever they show.

    Args:
        pictures: what the network sees, shape (batch, CHANNELS, SIDE, SIDE).

    Returns:
        Logarithms of the power in rings of the spectrum and of the line noise, skewness, and
        logarithms of kurtosis, spread, slopes along both axes, and of the difference between
        forward and backward; shape (batch, statistics).
    """
    forward, backward, mask = pictures[:, 0], pictures[:, 1], pictures[:, -1]
    z = forward * mask
    z = z - z.mean(dim=(1, 2), keepdim=True)
    spread = z.std(dim=(1, 2)) + FAINT
    scaled = z / spread[:, None, None]
    differences = (z.diff(dim=2), z.diff(dim=1), forward - backward)
    columns = [
        *_power(z),
        (scaled**3).mean(dim=(1, 2)).clamp(-5, 5),
        _log((scaled**4).mean(dim=(1, 2))),
        _log(spread),
        *(_log((one**2).mean(dim=(1, 2))) for one in differences),
    ]
    return torch.stack(columns, dim=1)


def _power(z: torch.Tensor) -> list[torch.Tensor]:
    spectrum = torch.fft.rfft2(z).abs() ** 2
    return [_log((spectrum * band).sum(dim=(1, 2)) / size) for band, size in _bands()]


@cache
def _bands() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Which frequencies each band holds, and how many."""
    down = torch.fft.fftfreq(SIDE, 1 / SIDE)[:, None].abs()
    across = torch.fft.rfftfreq(SIDE, 1 / SIDE)[None]
    radius = (down**2 + across**2).sqrt()
    bands = [(radius >= low) & (radius < high) for low, high in pairwise(RINGS)]
    # Offsets between lines are slow along them and fast across; two bands tell 1/f from jumps.
    fast = (down > 10).expand(radius.shape)
    bands += [fast & (across < LINE_NOISE[0]), fast & (across >= 1) & (across < LINE_NOISE[1])]
    return [(band, band.sum()) for band in bands]


def _log(values: torch.Tensor) -> torch.Tensor:
    return torch.log(values + FAINT)


@dataclass(frozen=True, slots=True)
class Familiarity:
    """A Gaussian over the statistics of familiar scans of each surface.

    Attributes:
        mean: shape (surfaces, statistics).
        precision: inverse covariances, divided by the squared distance that ``FAMILIAR_SHARE`` of
            the familiar scans stay below; shape (surfaces, statistics, statistics).
    """

    mean: torch.Tensor
    precision: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """Both under the names that they have among the weights."""
        return dict(zip(NAMES, (self.mean, self.precision), strict=True))

    @classmethod
    def taken_from(cls, tensors: dict[str, torch.Tensor]) -> Familiarity:
        """Take both out of the weights.

        Raises:
            KeyError: they are not there.
        """
        return cls(*(tensors.pop(name) for name in NAMES))

    @classmethod
    def of(cls, familiar: torch.Tensor, surfaces: torch.Tensor) -> Familiarity:
        """Fit to the statistics of familiar scans.

        Args:
            familiar: shape (n, statistics).
            surfaces: number of the surface of each, shape (n,).
        """
        every = [familiar[surfaces == number].double() for number in sorted(set(surfaces.tolist()))]
        # What is rare spreads over no Gaussian of its own; where all is rare, all is one.
        groups = [group for group in every if len(group) >= FEWEST] or [familiar.double()]
        means = [group.mean(dim=0) for group in groups]
        precisions = [_precision(group) for group in groups]
        raw = cls(torch.stack(means).float(), torch.stack(precisions).float())
        limit = torch.quantile(raw.novelty(familiar), FAMILIAR_SHARE) ** 2
        return cls(raw.mean, raw.precision / limit)

    def novelty(self, found: torch.Tensor) -> torch.Tensor:
        """Distance of each scan from the nearest surface, shape (n,); above 1 is unfamiliar."""
        away = found - self.mean[:, None]
        squared = ((away @ self.precision) * away).sum(dim=2)
        return squared.clamp(min=0).sqrt().amin(dim=0)


def _precision(group: torch.Tensor) -> torch.Tensor:
    covariance = torch.cov(group.T)
    floor = SHRINKAGE * covariance.diagonal().mean()
    inverse: torch.Tensor = torch.linalg.inv(covariance + floor * torch.eye(len(covariance)))
    return inverse
