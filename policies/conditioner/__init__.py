"""The conditioner: which repair comes next."""

from policies.conditioner.rules.escalation import EscalationRule

__all__ = ["EscalationRule"]
