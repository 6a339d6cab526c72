"""What the networks of the scorer put out."""

from __future__ import annotations

from policies.report import TipState

#: One logit for "good", then one per state.
OUTPUTS = 1 + len(TipState)
#: Learned beside them, because a number teaches more than a class: radius and gap of the apexes.
MEASURES = 2
