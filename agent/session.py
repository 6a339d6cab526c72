"""One repair from configuration to result: opens the instrument, keeps the journal, closes both."""

from __future__ import annotations

import asyncio
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from agent.config import Config
from agent.installation import own_version
from agent.journal import Journal
from agent.loop import finish
from agent.repair import repair
from agent.result import Listener, RepairResult
from drivers.envelope import EnvelopedMicroscope
from drivers.errors import InstrumentError
from drivers.registry import open_microscope
from policies.conditioner import EscalationRule
from policies.scorer import Scorer

CLOSE_TIMEOUT_S = 10.0
LIBRARIES = ("numpy", "scipy", "torch")


async def run_repair(
    config: Config, seed: int | None, scorer: Scorer, on_progress: Listener
) -> RepairResult:
    """Repair the tip of the configured microscope.

    Args:
        config: everything configured.
        seed: seed for simulated instruments.
        scorer: judges scans.
        on_progress: sees every step as it goes.

    Raises:
        UnknownMicroscope: no driver serves the address.
        ConfigError: the address or an option is wrong.
        ConnectionFailed: the instrument does not answer.
        FileError: the journal cannot be started.
    """
    microscope = await open_microscope(
        config.microscope.uri,
        limits=config.envelope,
        options=config.microscope.driver_options,
        seed=seed,
    )
    try:
        with Journal.create(
            Path(config.journal.directory), _about(config, seed, scorer)
        ) as journal:
            policy = EscalationRule(config.repair.at)
            return await repair(microscope, scorer, policy, config.repair, journal, on_progress)
    finally:
        await finish(_close(microscope))


async def _close(microscope: EnvelopedMicroscope) -> None:
    # What failed before is in the result already; a dead link cannot be closed politely.
    with suppress(InstrumentError, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await microscope.close()


def _about(config: Config, seed: int | None, scorer: Scorer) -> dict[str, object]:
    libraries = {name: version(name) for name in LIBRARIES}
    return {
        "config": config.model_dump(mode="json"),
        "microscope": config.microscope.uri,
        "seed": seed,
        "scorer": scorer.manifest.model_dump(mode="json"),
        "versions": {"tipsmith": own_version(), "python": platform.python_version(), **libraries},
    }
