"""The policies by the names that journals know them by."""

from __future__ import annotations

from drivers.actions import TunnellingPoint
from drivers.envelope import Limits
from drivers.errors import FileError
from policies.conditioner import EscalationRule
from policies.proposal import Policy

ESCALATION = "escalation"


def make_policy(name: str, at: TunnellingPoint, limits: Limits) -> Policy:
    """The policy called ``name``, before and after whose actions the tip is held ``at``.

    Raises:
        FileError: this version has none of that name.
    """
    if name != ESCALATION:
        raise FileError(f"this tipsmith has no policy {name!r}; it has {ESCALATION!r}")
    return EscalationRule(at, limits)
