"""One repair from configuration to result: opens the instrument, keeps the journal, closes both."""

from __future__ import annotations

import asyncio
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from agent.config import Config
from agent.guarding import Guard, guarded
from agent.installation import own_version
from agent.journal import Journal
from agent.journal.room import check_room
from agent.loop import finish
from agent.phases import Phase
from agent.policy import ESCALATION, make_policy
from agent.recovery import Found, look_back
from agent.repair import repair
from agent.result import Listener, Progress, RepairResult
from drivers.envelope import EnvelopedMicroscope, Limits
from drivers.errors import InstrumentError
from drivers.microscope import Capability
from drivers.registry import open_microscope
from policies.scorer import Scorer

CLOSE_TIMEOUT_S = 10.0
LIBRARIES = ("numpy", "scipy", "torch")
#: What a repair cannot do without.
NEEDED = frozenset({Capability.SCAN, Capability.PULSE, Capability.INDENT})


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
        InstrumentError: the instrument does not answer, or lacks what a repair needs.
        GuardianLost: the instrument can be guarded, and the guardian does not start or is latched.
        FileError: the journal cannot be started, or may not fit on the disk.
    """
    directory = Path(config.journal.directory)
    check_room(directory, config.repair)
    found = look_back(directory, config.microscope.uri)
    microscope = await open_microscope(
        config.microscope.uri,
        limits=config.envelope,
        options=config.microscope.driver_options,
        seed=seed,
    )
    latest = _Latest(on_progress)
    try:
        _check_capabilities(microscope)
        async with guarded(microscope, config.guardian) as guard:
            latest.see(Progress(Phase.STARTING, note=guard.header))
            result = await _repair(microscope, config, seed, scorer, latest.see, guard, found)
    finally:
        warning = await finish(_close(microscope, latest))
    return replace(result, warning=warning)


async def _repair(
    microscope: EnvelopedMicroscope,
    config: Config,
    seed: int | None,
    scorer: Scorer,
    listener: Listener,
    guard: Guard,
    found: Found | None,
) -> RepairResult:
    settings, limits = config.repair, microscope.limits
    about = {**_about(config, seed, scorer, limits), "guardian": guard.header}
    policy = make_policy(ESCALATION, settings.at, limits)
    with Journal.create(Path(config.journal.directory), about) as journal:
        return await repair(microscope, scorer, policy, settings, journal, listener, guard, found)


class _Latest:
    """Passes progress on to ``listener`` and keeps the latest."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._progress: Progress | None = None

    def see(self, progress: Progress) -> None:
        """Take in ``progress``."""
        self._progress = progress
        self._listener(progress)

    def warn(self, warning: str) -> None:
        """Add ``warning`` to the result, if there is one, and pass it on again."""
        if self._progress is not None and self._progress.result is not None:
            result = replace(self._progress.result, warning=warning)
            self.see(replace(self._progress, result=result))


def _check_capabilities(microscope: EnvelopedMicroscope) -> None:
    missing = sorted(NEEDED - microscope.capabilities)
    if missing:
        raise InstrumentError(
            f"{microscope.name} lacks what a repair needs: {', '.join(missing)}; "
            "see that its modules are licensed and open"
        )


async def _close(microscope: EnvelopedMicroscope, latest: _Latest) -> str | None:
    """Let go of the instrument; what was left undone there, or None."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await microscope.close()
    except InstrumentError as error:
        warning = f"the instrument was not left in order: {error}"
    except TimeoutError:
        warning = f"the instrument did not let go within {CLOSE_TIMEOUT_S:g} s; check its settings"
    else:
        return None
    # Told at once: a caller that is being cancelled gets no result but by its listener.
    latest.warn(warning)
    return warning


def _about(config: Config, seed: int | None, scorer: Scorer, limits: Limits) -> dict[str, object]:
    libraries = {name: version(name) for name in LIBRARIES}
    return {
        "config": config.model_dump(mode="json"),
        "microscope": config.microscope.uri,
        "seed": seed,
        "policy": {"name": ESCALATION, "limits": limits.model_dump(mode="json")},
        "scorer": scorer.manifest.model_dump(mode="json"),
        "versions": {"tipsmith": own_version(), "python": platform.python_version(), **libraries},
    }
