"""A night's work in small over links that fail in every way: clean ends, nothing sent twice."""

from __future__ import annotations

import asyncio
import math
import sys
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

import async_solipsism
import numpy as np
import pytest

from drivers.actions import Action, CoarseMove, Indentation, Pulse
from drivers.errors import InstrumentError
from drivers.nanonis.codes import SetSwitch, Switch, ZStatus
from drivers.nanonis.microscope import NanonisMicroscope, open_nanonis
from drivers.nanonis.zcontrol import WITHDRAW_DEADLINE_S
from drivers.registry import Address
from tests.drivers.faulty_link import HOST, PORT, PORTS, SLOW, Fault, FaultyLink
from tests.drivers.nanonis_fake import AT, SCAN, TOP_M, Controller, whole_scan
from tests.drivers.nanonis_fake import PORT as CONTROLLER_PORT

Result = TypeVar("Result")

SEEDS = range(50)
#: Of the work that follows, so that every fault strikes in it.
REQUESTS = 200
#: What cannot be taken back, and how often that is asked for in the work that follows.
ACTING = frozenset({"Bias.Pulse", "TipShaper.Start", "Motor.StartMove"})
ACTS = 8
#: Longest that anything may take beyond the time for which replies were held back (s); an action
#: that has SafeTip switched off withdraws by itself before it gives up.
HANGS_S = 30.0
HANGS_IN_ACTION_S = HANGS_S + WITHDRAW_DEADLINE_S
ADDRESS = f"nanonis://{HOST}:{PORT}?z_retract=Z-"
WORK: tuple[Action, ...] = (
    Pulse(at=AT, bias_v=4.0, width_s=0.1),
    Indentation(at=AT, depth_m=1e-9, lift_m=2e-9),
    CoarseMove(x_steps=0, y_steps=10, retract_steps=20),
)
STEPS = [1, 2, 4, 8, 5, 10]


@dataclass
class Night:
    """One sequence over one link.

    Attributes:
        outcome: how it ended.
        told: the error that ended it, or an empty text.
        faults: what was not as it must be.
    """

    outcome: str = ""
    told: str = ""
    faults: list[str] = field(default_factory=list)


class Guarded(Controller):
    """A controller with SafeTip on."""

    async def do_safetip_onoffset(self, status: SetSwitch) -> None:
        self.store["SafeTip.OnOff"]["status"] = Switch[status.name]


async def timed(
    night: Night,
    link: FaultyLink,
    name: str,
    work: Awaitable[Result],
    within_s: float = HANGS_S,
) -> Result:
    """Do ``work``, and note if it hung."""
    loop = asyncio.get_running_loop()
    started, held = loop.time(), link.held_s
    try:
        async with asyncio.timeout(1000):
            return await work
    finally:
        taken = loop.time() - started - (link.held_s - held)
        if taken > within_s:
            night.faults.append(f"{name} took {taken:.0f} s")


async def work_through(night: Night, link: FaultyLink, fake: Controller) -> None:
    try:
        microscope = await timed(night, link, "open", open_nanonis(Address.parse(ADDRESS)))
    except InstrumentError as error:
        night.outcome, night.told = "not opened", str(error)
        return
    try:
        await timed(night, link, "state", microscope.state())
        await timed(night, link, "scan", whole_scan(microscope, SCAN))
        for action in WORK:
            done = microscope.perform(action)
            await timed(night, link, action.kind, done, HANGS_IN_ACTION_S)
        night.outcome = "ok"
    except InstrumentError as error:
        night.told = f"{type(error).__name__}: {error}"
    await put_away(night, link, fake, microscope)


async def put_away(
    night: Night, link: FaultyLink, fake: Controller, microscope: NanonisMicroscope
) -> None:
    mended = not link.failing
    try:
        await timed(night, link, "withdraw", microscope.withdraw())
        night.outcome = night.outcome or "stopped and withdrawn"
        if (fake.status, fake.z_m) != (ZStatus.OFF, TOP_M):
            night.faults.append("a withdrawal that was none")
    except InstrumentError as error:
        night.outcome, night.told = "error", f"{night.told}; {error}"
        if mended:
            night.faults.append(f"not withdrawn over a link that works: {error}")
    try:
        await timed(night, link, "close", microscope.close())
    except InstrumentError as error:
        night.told += f"; {error}"


def check_commands(night: Night, fake: Controller) -> None:
    """What cannot be taken back reached the controller once at most, and in its order."""
    counts = Counter(fake.names())
    for name in ("Bias.Pulse", "TipShaper.Start"):
        if counts[name] > 1 or (night.outcome == "ok" and counts[name] != 1):
            night.faults.append(f"{counts[name]} times {name}")
    steps = [values["steps"] for values in fake.values("Motor.StartMove")]
    if steps != STEPS[: len(steps)] or (night.outcome == "ok" and steps != STEPS):
        night.faults.append(f"motor steps {steps}")


def spend(fault: Fault, seed: int) -> Night:
    """The whole of it, in virtual time."""
    rng = np.random.default_rng((list(Fault).index(fault), seed))
    lasts_s = (0.0, 0.0, float(rng.uniform(0, 40)), math.inf)[rng.integers(4)]
    # Every other link fails just where it would do most harm.
    counted, most = (ACTING, ACTS) if seed % 2 else (frozenset(), REQUESTS)
    link = FaultyLink(fault, int(rng.integers(1, most, endpoint=True)), lasts_s, rng, counted)
    fake = Guarded()
    fake.store["SafeTip.OnOff"]["status"] = Switch(seed // 2 % 2)
    night = Night()

    async def main() -> None:
        servers = [
            await asyncio.start_server(fake.serve, HOST, CONTROLLER_PORT + i) for i in range(PORTS)
        ]
        async with link:
            await work_through(night, link, fake)
        for server in servers:
            server.close()
        if fake.scan_task is not None:
            fake.scan_task.cancel()
        await asyncio.sleep(1000)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        night.faults += [f"{task.get_name()} goes on" for task in left]

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        runner.run(main())
    check_commands(night, fake)
    if fault in SLOW and night.outcome != "ok":
        night.faults.append(f"broke off although the link was only slow: {night.told}")
    if link.reused:
        night.faults.append(f"asked {link.reused} over a connection in doubt")
    if not link.struck:
        night.faults.append("the link did not fail")
    return night


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_ends_cleanly(fault: Fault):
    nights = {seed: spend(fault, seed) for seed in SEEDS}
    outcomes = Counter(night.outcome for night in nights.values())
    sys.stdout.write(f"{fault}: {dict(outcomes)}\n")
    assert {seed: night.faults for seed, night in nights.items() if night.faults} == {}
