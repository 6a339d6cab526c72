"""How unlike its training data a scan is: the Mahalanobis distance of its features.

Method: Lee et al., "A simple unified framework for detecting out-of-distribution samples and
adversarial attacks", NeurIPS 2018, with one Gaussian for all classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Share of familiar scans whose novelty stays below 1.
FAMILIAR_SHARE = 0.99
#: Shrinkage of the covariance towards its mean variance: some features hardly ever vary.
SHRINKAGE = 1e-3


@dataclass(frozen=True, slots=True)
class Familiarity:
    """A Gaussian over the features of familiar scans.

    Attributes:
        mean: shape (features,).
        precision: inverse covariance, divided by the squared distance that ``FAMILIAR_SHARE`` of
            the familiar scans stay below; shape (features, features).
    """

    mean: torch.Tensor
    precision: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor) -> Familiarity:
        """Fit to familiar scans, shape (n, features)."""
        exact = features.double()
        mean = exact.mean(dim=0)
        covariance = torch.cov(exact.T)
        floor = SHRINKAGE * covariance.diagonal().mean()
        precision = torch.linalg.inv(covariance + floor * torch.eye(len(mean)))
        raw = cls(mean.float(), precision.float())
        limit = torch.quantile(raw.novelty(features), FAMILIAR_SHARE) ** 2
        return cls(raw.mean, raw.precision / limit)

    def novelty(self, features: torch.Tensor) -> torch.Tensor:
        """Distance of each scan from the familiar ones, shape (n,); above 1 is unfamiliar."""
        away = features - self.mean
        squared = ((away @ self.precision) * away).sum(dim=1)
        return squared.clamp(min=0).sqrt()
