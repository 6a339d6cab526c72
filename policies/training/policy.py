"""Trains the conditioning policy in the compact world: one command, one seed.

Maskable proximal policy optimisation of sb3-contrib; nothing but this package needs it. Where a
training stands is kept in a checkpoint, and a killed one goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from policies.conditioner.brain import LAYERS, write_brain
from policies.scorer import Scorer
from policies.training.bank import Bank
from policies.training.checkpoint import Checkpoint
from policies.training.familiar import familiarity
from policies.training.figures import figures
from policies.training.gather import bank_at
from policies.training.rehearsal import SCANS_PER_VALUE, ConditioningEnv, Ended
from policies.training.reporting import reporting
from policies.training.writable import check_writable
from sim.presets.preset import Preset, load_preset

#: Episodes side by side, and steps of each between two updates.
ENVIRONMENTS, STEPS = 32, 256
WIDTHS = [256, 128]
LEARNING_RATE, BATCH, EPOCHS, GAMMA = 4e-4, 2048, 6, 0.999
#: What trying something else is worth, at the start and at the end: later on it only costs scans.
ENTROPY = 0.01, 0.001
#: Updates between two checkpoints, and repairs that the reports are means of.
CHECKPOINT_UPDATES, RECENT = 10, 500
#: Seeds of episodes leave this much room for the number of the choice that they begin with.
SEED_BITS = 40
#: Stream of the repairs that say what is familiar: not one of them was trained on.
HELD_OUT = 10**6


def train_policy(seed: int, steps: int, tips: int, out: Path, banks: Path | None = None) -> None:
    """Train on ``steps`` choices and write the policy with its manifest to ``out``.

    Args:
        seed: seed of bank, episodes and initial weights.
        steps: choices to learn from, all episodes together.
        tips: tips in the bank of reports; it is built first where there is none for this scorer.
        out: the policy's file; the manifest goes beside it, TensorBoard's logs into a folder there.
        banks: where banks lie; the user's cache if None.

    Raises:
        FileError: the policy could not be written there; found out before the training.
    """
    check_writable(out.parent)
    torch.set_num_threads(1)
    scorer = Scorer.load()
    bank = Bank.read(bank_at(scorer, seed, tips, banks))
    command = f"tipsmith train policy --seed {seed} --steps {steps} --tips {tips}"
    judge = scorer.manifest.sha256
    preset = load_preset("au111")
    checkpoint = Checkpoint(out.with_suffix(".checkpoint"), f"{command}, scorer {judge}")
    environments = _environments(seed, preset, bank)
    model = maskable_ppo(seed, environments, out.with_suffix(".tensorboard"))
    policy = model.policy
    done, spent_s = checkpoint.restore(policy, policy.optimizer)
    model.num_timesteps = done
    # What comes after a restart is new as well.
    environments.seed((seed << SEED_BITS) + done)
    started = time.monotonic() - spent_s
    with reporting("training", steps, done, "choices") as report:
        follow = _Following(steps, checkpoint, report, started)
        if done < steps:
            model.learn(
                steps - done, callback=follow, reset_num_timesteps=False, tb_log_name="policy"
            )
    found = familiarity(model, lambda: ConditioningEnv(preset, bank, (seed, HELD_OUT)))
    write_brain(
        out,
        {**_networks(model), **found.tensors},
        {
            "command": command,
            "seed": seed,
            "data": f"{model.num_timesteps} choices in the compact world, {tips} tips in the bank",
            "scorer": judge,
            "unfamiliar": found.unfamiliar,
            "overdue": found.overdue,
            "scans_per_value": SCANS_PER_VALUE,
            "metrics": {**found.metrics, "training_s": round(time.monotonic() - started, 1)},
        },
    )
    checkpoint.remove()


def _environments(seed: int, preset: Preset, bank: Bank) -> DummyVecEnv:
    def environment(number: int) -> Callable[[], ConditioningEnv]:
        return lambda: ConditioningEnv(preset, bank, (seed, number))

    return DummyVecEnv([environment(number) for number in range(ENVIRONMENTS)])


def maskable_ppo(seed: int, environments: DummyVecEnv, logs: Path | None = None) -> MaskablePPO:
    """The untrained networks and how they learn from ``environments``.

    Args:
        seed: of the initial weights.
        environments: of ``ConditioningEnv``.
        logs: folder for TensorBoard; none are written if None.
    """
    return MaskablePPO(
        "MlpPolicy",
        environments,
        learning_rate=lambda left: LEARNING_RATE * max(left, 0.02),
        n_steps=STEPS,
        batch_size=BATCH,
        n_epochs=EPOCHS,
        gamma=GAMMA,
        ent_coef=ENTROPY[0],
        policy_kwargs={"net_arch": {"pi": WIDTHS, "vf": WIDTHS}, "activation_fn": torch.nn.Tanh},
        tensorboard_log=None if logs is None else str(logs),
        seed=seed,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )


class Annealing(BaseCallback):
    """Lets the worth of trying something else fall over a training of ``steps`` choices."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def _on_rollout_start(self) -> None:
        first, last = ENTROPY
        share = min(self.num_timesteps / self._steps, 1.0)
        self.model.ent_coef = first + (last - first) * share  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return True


class _Following(Annealing):
    """Keeps checkpoints as well, and tells how far the training is and how repairs go."""

    def __init__(
        self,
        steps: int,
        checkpoint: Checkpoint,
        report: Callable[[int, str], None],
        started: float,
    ) -> None:
        super().__init__(steps)
        self._checkpoint = checkpoint
        self._report, self._started = report, started
        self._ended: list[Ended] = []
        self._updates = 0

    def _on_step(self) -> bool:
        self._ended += [info["ended"] for info in self.locals["infos"] if "ended" in info]
        return True

    def _on_rollout_end(self) -> None:
        self._ended = self._ended[-RECENT:]
        if self._ended:
            told = figures(self._ended)
            for name, value in told.items():
                self.logger.record(f"repair/{name}", value)
            self._report(ENVIRONMENTS * STEPS, f"{told['scans']:.0f} scans a repair")
        self._updates += 1
        if self._updates % CHECKPOINT_UPDATES == 0:
            policy = self.model.policy
            elapsed_s = time.monotonic() - self._started
            self._checkpoint.write(policy, policy.optimizer, self.num_timesteps, elapsed_s)


def _networks(model: MaskablePPO) -> dict[str, torch.Tensor]:
    """The layers of actor and critic under the names of a policy's file."""
    policy = model.policy
    extractor = policy.mlp_extractor
    nets = {
        "actor": (extractor.policy_net, policy.action_net),
        "critic": (extractor.value_net, policy.value_net),
    }
    tensors: dict[str, torch.Tensor] = {}
    for name, (hidden, last) in nets.items():
        layers = [layer for layer in (*hidden, last) if isinstance(layer, torch.nn.Linear)]
        for number, layer in enumerate(layers[:LAYERS]):
            tensors[f"{name}.{number}.weight"] = layer.weight.detach()
            tensors[f"{name}.{number}.bias"] = layer.bias.detach()
    return tensors
