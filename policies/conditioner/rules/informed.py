"""The informed bound: it knows the hidden state of the tip and the hidden parameters.

It pays for the same scans, moves and confirmation as everybody else. It never touches a good tip,
never confirms a bad one, and indents each tip by the depth that suits its shank best. On the laws
of the tip alone no other fixed share of that depth needed fewer actions (8.3 in the mean; 9.5 at
0.9 and 11.9 at 1.3 times the depth). It does not plan ahead, so it is a bound in practice only.
"""

from __future__ import annotations

from drivers.actions import TunnellingPoint
from drivers.envelope import Limits
from policies.acceptance import Judgement, Manner, Verdict
from policies.combining import evidence
from policies.conditioner.doing import NM, indentation
from policies.history import History, looks_since_action
from policies.plan import RepairPlan
from policies.proposal import Proposal
from sim.world import World


class Informed:
    """Policy and acceptance in one, with the world before its eyes."""

    def __init__(self, world: World, at: TunnellingPoint, limits: Limits, plan: RepairPlan) -> None:
        self._world, self._at, self._limits, self._plan = world, at, limits, plan

    def propose(self, history: History) -> Proposal:
        """The indentation that gets as far past contact as suits this tip best."""
        hidden = self._world.latents
        past_m = hidden.best_depth_nm / hidden.depth_scale * NM
        depth_nm = (self._world.contact_depth_m + past_m) / NM
        dip = indentation(self._at, min(depth_nm, self._limits.max_depth_nm), self._limits)
        return Proposal(dip, f"indent {depth_nm:.2f} nm, the best depth for this tip")

    def judge(self, history: History) -> Judgement:
        """Good in truth, and looked at on as many fresh spots as others need."""
        telling = len(evidence(look.report for look in looks_since_action(history)))
        if not self._world.is_good:
            return Judgement(Verdict.BAD, telling)
        enough = telling >= self._plan.confirm_spots
        return Judgement(Verdict.GOOD if enough else Verdict.DOUBT, telling)

    def manner(self, history: History) -> Manner:
        """Whole scans confirm a good tip; of a bad one the first lines are enough."""
        return Manner(whole=self._world.is_good)
