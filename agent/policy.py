"""The policies by the names that configurations and journals know them by."""

from __future__ import annotations

from typing import get_args

from agent.config import LookSettings, PolicyName
from drivers.envelope import Limits
from drivers.errors import FileError
from policies.before import NOTHING, Before
from policies.conditioner import EscalationRule
from policies.conditioner.catalogue import Means
from policies.conditioner.learned import LearnedPolicy, shipped_brain
from policies.proposal import Policy
from policies.rationed import Rationed


def make_policy(
    name: str,
    settings: LookSettings,
    limits: Limits,
    range_m: tuple[float, float],
    before: Before = NOTHING,
    *,
    coarse: bool,
) -> Policy:
    """The policy called ``name``, held to so many pulses an hour.

    Args:
        name: see ``PolicyName``.
        settings: how looks are taken; actions begin and end at their tunnelling point.
        limits: the envelope.
        range_m: piezo range in x and y (m).
        before: what runs before have done.
        coarse: whether the instrument has coarse motion.

    Raises:
        FileError: this version has none of that name, or its weights are damaged.
    """
    rule = EscalationRule(settings.at, limits)
    match name:
        case "escalation":
            return Rationed(rule, limits, before)
        case "learned":
            means = Means(settings.at, limits, range_m, coarse=coarse)
            learned = LearnedPolicy(shipped_brain(), means, rule, settings.scan_s)
            return Rationed(learned, limits, before)
    raise FileError(
        f"this tipsmith has no policy {name!r}; it has {', '.join(get_args(PolicyName))}"
    )


def weights_hash(name: str) -> str | None:
    """Hash of what a policy has learned; None for a rule."""
    return shipped_brain().manifest.sha256 if name == "learned" else None
