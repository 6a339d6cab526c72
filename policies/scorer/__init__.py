"""The scorer: what a scan says about the tip."""

from policies.scorer.scorer import Scorer

__all__ = ["Scorer"]
