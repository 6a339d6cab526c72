"""Trains the scorer: one command, one seed, the same weights."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from policies.scorer.weights import Manifest, write_weights
from policies.training.checkpoint import Checkpoint
from policies.training.examine import examine
from policies.training.fit import Fit
from policies.training.reporting import reporting
from policies.training.scans import CHUNK, Examples, generate
from policies.training.settings import SURFACES
from policies.training.writable import check_writable
from sim.presets.preset import load_preset

HELD_OUT = 6000


def train(seed: int, scans: int, out: Path) -> Manifest:
    """Render scans, train on them as they come, calibrate on held-out ones, write the weights.

    Every scan has a tip and a world of its own, is used a few times, mirrored at random, and then
    forgotten: nothing can be learned by heart.

    Args:
        seed: seed of data, initial weights and batches.
        scans: number of simulated scans; another tenth of that, at most ``HELD_OUT``, is held out.
        out: weights file; the manifest goes beside it.

    Raises:
        FileError: the weights could not be written there; found out before the training.
    """
    check_writable(out.parent)
    held, taught = math.ceil(min(HELD_OUT, scans / 10) / CHUNK), math.ceil(scans / CHUNK)
    # Training and rendering share the cores: more threads would only wait for each other.
    torch.set_num_threads(1)
    workers = os.cpu_count() or 1
    command = f"tipsmith train scorer --seed {seed} --scans {scans}"
    presets = {surface.name: load_preset(surface.name).hash for surface in SURFACES}
    checkpoint = Checkpoint(out.with_suffix(".checkpoint"), f"{command} {presets}")
    fit = Fit(seed, taught, checkpoint)
    chunks = generate(seed, range(held + fit.done, held + taught), workers)
    with reporting("training", taught * CHUNK, fit.done * CHUNK) as report:
        for chunk in chunks:
            loss = fit.learn(chunk)
            report(len(chunk.labels), f"loss {loss:.3f}")
    test = Examples.joined(list(generate(seed, range(held), workers)))
    found = examine(fit.network.eval(), test)
    manifest = write_weights(
        out,
        {**fit.network.state_dict(), **found.familiarity.tensors()},
        {
            "command": command,
            "seed": seed,
            "data": f"{taught * CHUNK} simulated scans, {held * CHUNK} held out",
            "presets": presets,
            "temperature": found.temperature,
            "line_temperature": found.line_temperature,
            "alarm": found.alarm,
            "stop": found.stop,
            "flags": found.flags,
            "metrics": {**found.metrics, "training_s": round(fit.elapsed_s, 1)},
        },
    )
    checkpoint.remove()
    return manifest
