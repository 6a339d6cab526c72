"""What fewer false goods cost: repairs by the shipped policy in the compact world, by threshold.

python scripts/price_of_certainty.py --repairs 300 0.7 0.8 0.85 0.9
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from policies.conditioner.learned import LearnedPolicy, shipped_brain
from policies.conditioner.rules.escalation import EscalationRule
from policies.scorer import Scorer
from policies.training.bank import Bank
from policies.training.gather import bank_at
from policies.training.rehearsal import AT, PLAN, Ended, rehearse, usual_means
from sim.presets.preset import load_preset

SCAN_S = 24.0


def main() -> None:
    """Rehearse the same tips with each threshold; builds the bank of reports if there is none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("thresholds", type=float, nargs="+", help="quality that counts as good")
    parser.add_argument("--repairs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tips", type=int, default=2400)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    preset = load_preset("au111")
    bank = Bank.read(bank_at(Scorer.load(), arguments.seed, arguments.tips))
    means = usual_means(preset)

    def repair(number: int, quality: float) -> Ended:
        policy = LearnedPolicy(shipped_brain(), means, EscalationRule(AT), SCAN_S)
        plan = PLAN.model_copy(update={"confirm_quality": quality})
        return rehearse(preset, bank, policy, np.random.default_rng([9, number]), plan)

    for quality in arguments.thresholds:
        ended = [repair(number, quality) for number in range(arguments.repairs)]
        declared = [one for one in ended if one.declared]
        good = sum(one.truly_good for one in declared)
        false = (len(declared) - good) / max(len(declared), 1)
        scans = sum(one.scans for one in ended) / max(good, 1)
        print(
            f"good from {quality:.2f}: {len(declared)} of {len(ended)} declared good, "
            f"{100 * false:.1f} % of them falsely; {scans:.0f} scans for each truly good tip",
            flush=True,
        )


if __name__ == "__main__":
    main()
