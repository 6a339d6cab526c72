"""Trains the DeepSPM baseline as its authors do, on simulated tips: one command, one seed.

Double DQN with the numbers of Krull et al., Commun. Phys. 3, 54 (2020): gamma 0.95, -1 for each
action and +10 for the one that makes the tip good, Adam, a replay of 15,000, batches of 64, and a
target that follows every 100 updates. Turns and mirrors of the pictures are drawn with the batches,
where they insert each experience 16 times. Tips, looks and actions are those of the benchmark's
trials, in worlds of their own. That a tip is good is the simulator's truth, not a classifier's
opinion, which is kinder to the baseline. Their epsilon falls within 500 actions, here within a
tenth of all, because there are many more.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from drivers.scan import Scan
from policies.acceptance import Acceptance
from policies.conditioner.rules.deepspm import Table, acceptance
from policies.conditioner.rules.deepspm_network import (
    NAMES,
    Picture,
    QNetwork,
    layout_hash,
    picture,
    write_trained,
)
from policies.history import History, actions, last_look
from policies.proposal import GiveUp, Policy, Proposal
from policies.report import TipReport, TipState
from policies.training.checkpoint import Checkpoint
from policies.training.replay import Replay, Transition, loss_of
from policies.training.reporting import reporting
from policies.training.writable import check_writable
from policies.trials.course import Course
from policies.trials.entrants import Bout
from policies.trials.record import Record
from policies.trials.trial import Question, Trial

GAMMA, REWARD, REWARD_GOOD = 0.95, -1.0, 10.0
LEARNING_RATE, BATCH, REPLAY, LEARNS_FROM = 5e-4, 64, 15_000, 2_000
#: Actions for each update, and updates after which the target follows.
UPDATE_EVERY, FOLLOW_EVERY = 4, 100
#: Share of random actions at first and at last, and share of the training until then.
EPSILON, EXPLORED = (1.0, 0.05), 0.1
#: Numbers of the episodes: so many for each seed, from here on, where no benchmark goes.
FIRST, EPISODES = 5_000_000, 1_000_000
#: Streams of chance: what is tried, and what is drawn from the replay.
TRYING, SAMPLING = 1, 2
CHECKPOINT_ACTIONS = 5_000
#: Points of the learning curve.
POINTS = 40


class Learner(nn.Module):
    """All that a training is made of, in one module, so that a checkpoint keeps it whole.

    Args:
        seed: decides initial weights and every draw.
        steps: actions of the whole training.
    """

    _counts: Tensor
    _curve: Tensor

    def __init__(self, seed: int, steps: int) -> None:
        super().__init__()
        self.seed, self._steps = seed, steps
        torch.manual_seed(seed)
        self.online, self._target = QNetwork(), QNetwork()
        self._target.load_state_dict(self.online.state_dict())
        self.replay = Replay(REPLAY)
        self.optimiser = torch.optim.Adam(self.online.parameters(), LEARNING_RATE)
        # Actions, updates, episodes; and for each point episodes, actions, successes.
        self.register_buffer("_counts", torch.zeros(3, dtype=torch.int64))
        self.register_buffer("_curve", torch.zeros(POINTS, 3, dtype=torch.float64))

    @property
    def done(self) -> int:
        """Actions so far."""
        return int(self._counts[0])

    @property
    def episodes(self) -> int:
        """Episodes so far."""
        return int(self._counts[2])

    @property
    def epsilon(self) -> float:
        """Share of actions that are drawn now."""
        share = max(self.done - LEARNS_FROM, 0) / (EXPLORED * self._steps)
        first, last = EPSILON
        return max(first + (last - first) * share, last)

    def count(self) -> None:
        """An action was chosen; learn if it is time."""
        self._counts[0] += 1
        if self.done % UPDATE_EVERY == 0 and len(self.replay) >= LEARNS_FROM:
            self._update()

    def finish(self, record: Record) -> None:
        """Note how an episode ended."""
        self._counts[2] += 1
        point = min(self.done * POINTS // self._steps, POINTS - 1)
        self._curve[point] += torch.tensor([1.0, record.actions, record.success])

    def curve(self) -> list[tuple[float, float, float]]:
        """Actions so far, mean actions of an episode and share of successes, per point."""
        return [
            (float(self._steps * (point + 1) // POINTS), actions / count, good / count)
            for point, (count, actions, good) in enumerate(self._curve.tolist())
            if count
        ]

    def _update(self) -> None:
        updates = int(self._counts[1])
        rng = np.random.default_rng([self.seed, SAMPLING, updates])
        loss = loss_of(self.online, self._target, self.replay.sample(BATCH, rng), GAMMA)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._counts[1] += 1
        if (updates + 1) % FOLLOW_EVERY == 0:
            self._target.load_state_dict(self.online.state_dict())


class Explorer:
    """Plays one episode: takes the best action or, now and then, any, and hands on what came of it.

    Args:
        learner: tells values and takes experience.
        table: the actions.
    """

    def __init__(self, learner: Learner, table: Table) -> None:
        self._learner, self._table = learner, table
        self._rng = np.random.default_rng([learner.seed, TRYING, learner.episodes])
        self._seen: Picture | None = None
        self._chosen: tuple[Picture, int] | None = None
        self._acted = 0
        self._bout: Bout | None = None

    def enter(self, _name: str, bout: Bout) -> tuple[Policy, Acceptance]:
        """Take part in a trial; see ``policies.trials.entrants.enter``."""
        self._bout = bout
        return self, acceptance()

    def see(self, scan: Scan) -> None:
        """Take note of the last scan."""
        self._seen = picture(scan)

    def answer(self, question: Question) -> TipReport:
        """The truth about the tip, in the words of a scorer.

        Raises:
            ValueError: no trial was entered.
        """
        if self._bout is None:
            raise ValueError("only who has entered a trial can be asked about its tip")
        quality = float(self._bout.world.is_good)
        return TipReport(quality, dict.fromkeys(TipState, 0.0), question.scan.lines_done)

    def propose(self, history: History) -> Proposal:
        """The best action or a drawn one.

        Raises:
            ValueError: it has not seen a scan.
        """
        if self._seen is None:
            raise ValueError("the learner chooses from an image and was shown none; call see first")
        site = last_look(history).site
        mask = self._table.mask(site)
        acted = sum(1 for _ in actions(history))
        self._learn(acted, self._seen, mask)
        if not mask.any():
            return Proposal(GiveUp(), "the limits allow none of the actions")
        if self._rng.uniform() < self._learner.epsilon:
            index = int(self._rng.choice(np.flatnonzero(mask)))
        else:
            index = self._learner.online.best(self._seen, mask)
        self._chosen, self._acted = (self._seen, index), acted
        return Proposal(self._table.actions[index], NAMES[index])

    def end(self, record: Record) -> None:
        """Learn from the last action if it made the tip good; else what follows was cut off."""
        if record.success:
            self._learn(record.actions, None, np.ones(len(NAMES), np.bool_))
        self._learner.finish(record)

    def _learn(self, acted: int, after: Picture | None, allowed: np.ndarray) -> None:
        """Hand on the last choice with what followed, if it was carried out."""
        if self._chosen is None or acted == self._acted:
            return
        before, action = self._chosen
        reward = REWARD_GOOD if after is None else REWARD
        self._learner.replay.add(Transition(before, action, reward, after, allowed))
        self._learner.count()
        self._chosen = None


def train_deepspm(seed: int, steps: int, out: Path, course: Course | None = None) -> None:
    """Train on ``steps`` actions and write the network with its manifest to ``out``.

    Args:
        seed: seed of worlds, draws and initial weights.
        steps: actions to learn from; the last episode is played to its end.
        out: the network's file; the manifest goes beside it.
        course: looks, limits and worlds; those of the benchmark if None.

    Raises:
        FileError: it could not be written there; found out before the training.
    """
    course = course or Course()
    check_writable(out.parent)
    torch.set_num_threads(1)
    command = f"tipsmith train deepspm --seed {seed} --steps {steps}"
    learner = Learner(seed, steps)
    of = f"{command}, layout {layout_hash()}, {course.model_dump_json()}"
    checkpoint = Checkpoint(out.with_suffix(".checkpoint"), of)
    _, spent_s = checkpoint.restore(learner, learner.optimiser)
    started = time.monotonic() - spent_s
    table = Table(course.at, course.limits())
    with reporting("training", steps, learner.done, "actions") as report:
        while learner.done < steps:
            before = learner.done
            play(course, learner, table)
            report(learner.done - before, _remark(learner))
            if learner.done // CHECKPOINT_ACTIONS > before // CHECKPOINT_ACTIONS:
                elapsed_s = time.monotonic() - started
                checkpoint.write(learner, learner.optimiser, learner.done, elapsed_s)
    describe = {
        "command": command,
        "seed": seed,
        "data": f"{learner.done} actions in {learner.episodes} episodes of the trials' worlds",
        "curve": learner.curve(),
        "metrics": {"training_s": round(time.monotonic() - started, 1)},
    }
    write_trained(out, learner.online, describe)
    checkpoint.remove()


def play(course: Course, learner: Learner, table: Table) -> Record:
    """One episode, from which ``learner`` learns."""
    explorer = Explorer(learner, table)
    number = FIRST + learner.seed * EPISODES + learner.episodes
    run = Trial(course, "learner", number, stop=0.0, entering=explorer.enter).run()
    try:
        question = next(run)
        while True:
            question = run.send(explorer.answer(question))
    except StopIteration as end:
        record: Record = end.value
    explorer.end(record)
    return record


def _remark(learner: Learner) -> str:
    _, mean, good = learner.curve()[-1]
    return f"{mean:.1f} actions an episode, {100 * good:.0f} % good"
