"""What the parts of the learned policy are worth: each taken away, trained anew and rehearsed.

python scripts/ablations.py --choices 500000

All variants get the same number of choices to learn from, the same seed and the same bank of
reports, and are judged on the same tips of the compact world. Its scans are reports on like tips:
compare the variants with each other, not with the benchmark.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import DummyVecEnv

from policies.conditioner.features import LAYOUT, Floats
from policies.scorer import Scorer
from policies.scorer.weights import read_described
from policies.training.bank import Bank, BankManifest, Gathered
from policies.training.gather import bank_at
from policies.training.policy import ENVIRONMENTS, Annealing, maskable_ppo
from policies.training.rehearsal import SCANS_PER_VALUE, ConditioningEnv, Ended
from sim.presets.preset import load_preset

Step = tuple[Floats, float, bool, bool, dict[str, Any]]

#: Stream of the repairs that judge; none is trained on.
JUDGED = 10**6
#: A choice that makes no sense wastes the time of this many scans.
WASTED_SCANS = 1.0
RESAMPLES = 1000


class Blinkered(ConditioningEnv):
    """Repairs of which only some features are seen; the others are 0."""

    seen: NDArray[np.bool_]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """As always, without what is not seen."""
        observation, info = super().reset(seed=seed, options=options)
        return observation * self.seen, info

    def step(self, action: np.int64) -> Step:
        """As always, without what is not seen."""
        observation, *rest = super().step(action)
        return observation * self.seen, *rest


class Forgetful(Blinkered):
    """Chooses from the looks at the present tip alone."""

    seen = np.array([name.startswith("now ") for name in LAYOUT])


class ShortOfMemory(Blinkered):
    """Chooses from the last actions one by one, without what became of each kind of choice."""

    seen = np.array([name.split()[0] in {"now", "act", "whole"} for name in LAYOUT])


class Unmasked(ConditioningEnv):
    """May choose everything; what makes no sense or is not allowed only wastes time."""

    def step(self, action: np.int64) -> Step:
        """As always where the choice makes sense."""
        if super().action_masks()[action]:
            return super().step(action)
        self._repair.world.time_s += WASTED_SCANS * self._repair.world.rig.scan_s
        observation = self._repair.memory.observation()
        return observation, -WASTED_SCANS / SCANS_PER_VALUE, False, False, {}

    def action_masks(self) -> NDArray[np.bool_]:
        """Everything."""
        return np.ones_like(super().action_masks())


def main() -> None:
    """Train and judge every variant; builds the bank of reports if there is none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--choices", type=int, default=500_000)
    parser.add_argument("--repairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tips", type=int, default=2400)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tensors, _ = read_described(
        bank_at(Scorer.load(), arguments.seed, arguments.tips), BankManifest
    )
    gathered = Gathered(*(tensors[name].numpy() for name in Gathered.__slots__))
    variants: dict[str, tuple[type[ConditioningEnv], Bank]] = {
        "everything": (ConditioningEnv, Bank(gathered)),
        "no history": (Forgetful, Bank(gathered)),
        "no record of what each choice did": (ShortOfMemory, Bank(gathered)),
        "no masking": (Unmasked, Bank(gathered)),
        "no early stop": (ConditioningEnv, Bank(_never_cut(gathered))),
    }
    for name, (kind, bank) in variants.items():
        model = _trained(kind, bank, arguments.seed, arguments.choices)
        print(f"{name}: {_told(_repairs(model, kind, bank, arguments))}", flush=True)


def _never_cut(gathered: Gathered) -> Gathered:
    """The same looks, all of them whole."""
    views, changed = gathered.views.copy(), gathered.changed_views.copy()
    views[:, :, 1], changed[:, :, 1] = views[:, :, 0], changed[:, :, 0]
    return Gathered(gathered.tips, views, gathered.changed_tips, changed)


def _trained(kind: type[ConditioningEnv], bank: Bank, seed: int, choices: int) -> MaskablePPO:
    preset = load_preset("au111")

    def environment(number: int) -> Callable[[], ConditioningEnv]:
        return lambda: kind(preset, bank, (seed, number))

    environments = DummyVecEnv([environment(number) for number in range(ENVIRONMENTS)])
    model = maskable_ppo(seed, environments)
    model.learn(choices, callback=Annealing(choices))
    return model


def _repairs(
    model: MaskablePPO, kind: type[ConditioningEnv], bank: Bank, arguments: argparse.Namespace
) -> list[Ended]:
    """Repairs of tips of their own, each choice drawn as in the training."""
    ended: list[Ended] = []
    for number in range(arguments.repairs):
        environment = kind(load_preset("au111"), bank, (arguments.seed, JUDGED, number))
        observation, _ = environment.reset()
        over = False
        while not over:
            allowed = environment.action_masks()
            choice, _ = model.predict(observation, action_masks=allowed)
            observation, _, over, _, info = environment.step(np.int64(choice))
        ended.append(info["ended"])
    return ended


def _told(ended: Sequence[Ended]) -> str:
    """Scans for each truly good tip with a 95 % interval, and what else people ask."""
    scans = np.array([one.scans for one in ended])
    good = np.array([one.declared and one.truly_good for one in ended])
    drawn = np.random.default_rng(0).integers(len(ended), size=(RESAMPLES, len(ended)))
    low, high = np.percentile(scans[drawn].sum(1) / good[drawn].sum(1), (2.5, 97.5))
    declared = sum(one.declared for one in ended)
    actions = sum(one.actions for one in ended) / good.sum()
    return (
        f"{scans.sum() / good.sum():.1f} scans ({low:.1f} to {high:.1f}) and {actions:.1f} actions "
        f"for each truly good tip, {100 * (1 - good.sum() / declared):.1f} % false goods, "
        f"{declared} of {len(ended)} declared good"
    )


if __name__ == "__main__":
    main()
