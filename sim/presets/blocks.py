"""Building blocks of presets: numbers that say where they come from, and distributions."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

TAGS = ("published: ", "measured: ", "assumed: ")

#: Half the width of the range that a normal law counts as having, in deviations.
DEVIATIONS = 2.0


class Frozen(BaseModel):
    """Checked once, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Block(Frozen):
    """A group of numbers that says where they come from."""

    provenance: dict[str, str]

    @model_validator(mode="after")
    def _every_number_has_a_source(self) -> Self:
        names = set(type(self).model_fields) - {"provenance"}
        unknown = set(self.provenance) - names - {"*"}
        if unknown:
            raise ValueError(f"provenance for unknown fields {sorted(unknown)}")
        missing = names - set(self.provenance)
        if missing and "*" not in self.provenance:
            raise ValueError(f"no provenance for {sorted(missing)}")
        wrong = [text for text in self.provenance.values() if not text.startswith(TAGS)]
        if wrong:
            raise ValueError(f"provenance {wrong[0]!r} must start with one of {TAGS}")
        return self


class Spread(Frozen):
    """A distribution that an episode draws one number from.

    Attributes:
        law: ``uniform`` and ``log_uniform`` between ``a`` and ``b``; ``normal`` with mean ``a`` and
            deviation ``b``; ``log_normal`` with median ``a`` and deviation ``b`` of the logarithm.
    """

    law: Literal["uniform", "log_uniform", "normal", "log_normal"]
    a: float
    b: float

    @model_validator(mode="after")
    def _within_its_law(self) -> Self:
        if self.law == "uniform" and not self.a <= self.b:
            raise ValueError("uniform needs a <= b")
        if self.law == "log_uniform" and not 0 < self.a <= self.b:
            raise ValueError("log_uniform needs 0 < a <= b")
        if self.law == "normal" and not self.b >= 0:
            raise ValueError("normal needs b >= 0")
        if self.law == "log_normal" and not (self.a > 0 and self.b >= 0):
            raise ValueError("log_normal needs a > 0 and b >= 0")
        return self

    def ends(self) -> tuple[float, float]:
        """Ends of the range, of the logarithm where the law is logarithmic.

        A normal law counts as ``DEVIATIONS`` wide on either side.
        """
        match self.law:
            case "uniform":
                return self.a, self.b
            case "log_uniform":
                return math.log(self.a), math.log(self.b)
            case "normal":
                middle = self.a
            case "log_normal":
                middle = math.log(self.a)
        return middle - DEVIATIONS * self.b, middle + DEVIATIONS * self.b

    def draw(self, rng: np.random.Generator) -> float:
        """One number from the distribution."""
        match self.law:
            case "uniform":
                return float(rng.uniform(self.a, self.b))
            case "log_uniform":
                return math.exp(rng.uniform(math.log(self.a), math.log(self.b)))
            case "normal":
                return float(rng.normal(self.a, self.b))
            case "log_normal":
                return math.exp(rng.normal(math.log(self.a), self.b))
