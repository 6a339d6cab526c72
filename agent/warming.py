"""What is slow the first time, done before the instrument is guarded.

The first use of networks and of what they need can keep the event loop for longer than a guardian
waits for a sign of life.
"""

from __future__ import annotations

import numpy as np

from agent.aside import aside
from agent.config import Config, RepairSettings
from agent.policy import make_policy
from drivers.enveloped import EnvelopedMicroscope
from drivers.microscope import Capability
from drivers.scan import Frame, Scan, ScanLine, ScanSettings
from policies import observe
from policies.before import Before
from policies.judging import Judge
from policies.proposal import Policy
from policies.scorer.lines import Setting

#: Lines of the made-up scan: enough for a judgement.
LINES = 16


async def prepared(
    microscope: EnvelopedMicroscope, scorer: Judge, config: Config, before: Before
) -> Policy:
    """The configured policy, after it and ``scorer`` have each been used once.

    The instrument is only read. ``before`` is what runs before have done.

    Raises:
        InstrumentError: the instrument does not tell its range.
        FileError: this version has no such policy, or its weights are damaged.
    """
    x_m, y_m, _ = (await microscope.state()).range_m
    limits, range_m = microscope.limits, (x_m, y_m)
    coarse = Capability.COARSE in microscope.capabilities
    policy = make_policy(config.policy.name, config.repair, limits, range_m, before, coarse=coarse)
    await _warm_up(scorer, policy, config.repair)
    return policy


async def _warm_up(scorer: Judge, policy: Policy, settings: RepairSettings) -> None:
    """Look at a made-up scan as a repair would look, and forget what comes of it."""
    side_m = settings.frame_nm * 1e-9
    frame = Frame(x_m=0.0, y_m=0.0, width_m=side_m, height_m=side_m)
    scan_settings = settings.scan(frame).model_copy(update={"lines": LINES})
    lines = _made_up(scan_settings)
    stream = scorer.stream(Setting(settings.pixels, LINES, side_m, scale_known=True))
    for line in lines:
        stream.read(line)
    scan = Scan.from_lines(scan_settings, lines)
    seen = await aside(lambda: observe.look(scan, scorer, 0.0, of_imprint=True))
    policy.propose((seen,))


def _made_up(settings: ScanSettings) -> list[ScanLine]:
    """Ripples of 0.1 nm: with a relief, so that a scorer has something to judge."""
    phase = 0.37 * np.arange(settings.pixels)
    ripples = [
        (1e-10 * np.sin(phase + index)).astype(np.float32) for index in range(settings.lines)
    ]
    return [
        ScanLine(index, settings.row_of(index), z, z, index * settings.line_s)
        for index, z in enumerate(ripples)
    ]
