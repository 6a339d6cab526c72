"""What the networks of the scorer put out."""

from __future__ import annotations

from policies.report import ImageState, TipState

#: One logit each.
NAMES = ("good", *(state.value for state in (*TipState, *ImageState)))
OUTPUTS = len(NAMES)
#: Those that are states of the tip.
STATES = slice(1, 1 + len(TipState))
#: Learned beside them, because a number teaches more than a class: radius and gap of the apexes.
MEASURES = 2
#: Heads of the judgement of whole scans, each taught half of them; how far they disagree is what
#: the training left open (bootstrapped heads: Osband et al., NeurIPS 2016).
HEADS = 4
