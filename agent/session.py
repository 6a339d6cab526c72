"""One repair from configuration to result: opens the instrument, keeps the journal, closes both."""

from __future__ import annotations

import asyncio
import platform
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from agent.config import Config
from agent.guarding import NO_GUARD, Guard, guarded
from agent.installation import own_version
from agent.journal import new_journal
from agent.journal.lately import done_before, sent_lately
from agent.journal.room import check_room
from agent.phases import Phase
from agent.policy import weights_hash
from agent.recovery import Found, look_back, take_up_debts
from agent.repair import repair
from agent.result import Listener, Progress, RepairResult
from agent.supervision import Asker, Supervision
from agent.telemetry.publisher import Publisher, publishing
from agent.warming import prepared
from drivers.envelope import Limits
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import ConfigError, InstrumentError, SettingsChanged
from drivers.finishing import finish
from drivers.microscope import Capability
from drivers.registry import open_microscope
from policies.before import NOTHING, Before
from policies.judging import Judge
from policies.threads import single_thread

#: Wall time to let go of the instrument (s): longer than a driver takes that gives up by itself.
CLOSE_TIMEOUT_S = 35.0
LIBRARIES = ("numpy", "scipy", "torch")
#: What a repair cannot do without.
NEEDED = frozenset({Capability.SCAN, Capability.PULSE, Capability.INDENT})


async def run_repair(
    config: Config,
    seed: int | None,
    scorer: Judge,
    on_progress: Listener,
    asker: Asker | None = None,
) -> RepairResult:
    """Repair the tip of the configured microscope.

    Args:
        config: everything configured.
        seed: seed for simulated instruments.
        scorer: judges scans.
        on_progress: sees every step as it goes.
        asker: puts the questions of a supervised run.

    Raises:
        UnknownMicroscope: no driver serves the address.
        ConfigError: the address or an option is wrong, a supervised run has nobody to ask, what is
            configured for viewers cannot be, or nobody watches and the instrument does not protect
            its tip although it could.
        InstrumentError: the instrument does not answer, or lacks what a repair needs.
        GuardianLost: the instrument can be guarded, and the guardian does not start or is latched.
        FileError: the journal cannot be started, or may not fit on the disk.
    """
    supervision = _supervision(config, asker)
    async with publishing(config.telemetry) as publisher:
        listener = on_progress if publisher is None else publisher.beside(on_progress)
        return await _run_repair(config, seed, scorer, _Latest(listener), supervision, publisher)


async def _run_repair(
    config: Config,
    seed: int | None,
    scorer: Judge,
    latest: _Latest,
    supervision: Supervision | None,
    publisher: Publisher | None,
) -> RepairResult:
    directory = Path(config.journal.directory)
    check_room(directory, config.repair)
    found = look_back(directory, config.microscope.uri)
    microscope = await open_microscope(
        config.microscope.uri,
        limits=config.envelope,
        options=config.microscope.driver_options,
        seed=seed,
    )
    # Left last of all: while settings are put back, the tip may still be in contact.
    async with AsyncExitStack() as guarding:
        guard = NO_GUARD
        try:
            await _take_over(microscope, config, found, latest)
            # The instrument's computer has other things to do as well.
            with single_thread():
                # Whatever is slow the first time comes before anybody waits for a sign of life.
                before = _remember(microscope, directory, config.microscope.uri)
                policy = await prepared(microscope, scorer, config, before)
                guard = await guarding.enter_async_context(guarded(microscope, config.guardian))
                latest.tell(Progress(Phase.STARTING, note=guard.header))
                about = _about(config, seed, scorer, microscope.limits, before, guard)
                # Open until the instrument is let go: what is put back then is noted as well.
                journal = await guarding.enter_async_context(new_journal(directory, about))
                if publisher is not None:
                    publisher.run = journal.path.parent.name
                result = await repair(
                    microscope,
                    scorer,
                    policy,
                    config.repair,
                    journal,
                    latest.see,
                    guard,
                    found,
                    config.watchdogs,
                    supervision,
                    before,
                )
        finally:
            warning = await finish(_close(microscope, latest, guard))
    return replace(result, warning=warning)


async def _take_over(
    microscope: EnvelopedMicroscope, config: Config, found: Found | None, latest: _Latest
) -> None:
    """See that the instrument can be worked on, and what runs before have left undone there."""
    _check_capabilities(microscope)
    if found is not None and found.in_contact:
        # Before anything that takes time or can fail; the run withdraws again and says so.
        await microscope.withdraw()
    owed = await take_up_debts(microscope, Path(config.journal.directory), config.microscope.uri)
    if owed is not None:
        latest.tell(Progress(Phase.STARTING, note=owed))
    if config.guardian.unattended:
        await _check_protected(microscope)


def _supervision(config: Config, asker: Asker | None) -> Supervision | None:
    if not config.approval.supervised:
        return None
    if asker is None:
        raise ConfigError("a supervised run needs somebody to ask, and nobody can be asked here")
    return Supervision(config.approval, asker)


def _remember(microscope: EnvelopedMicroscope, directory: Path, uri: str) -> Before:
    """Let the envelope count what runs before have sent, and tell what policies must know of it."""
    # A simulated world of this process is a new one each time.
    if microscope.true_state() is not None:
        return NOTHING
    sent = sent_lately(directory, uri, datetime.now(UTC))
    for one in sent:
        microscope.remember(one.action, one.x_m, one.y_m, one.ago_s)
    return done_before(sent, microscope.clock.now())


class _Latest:
    """Passes progress on to ``listener`` and keeps the latest."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._progress: Progress | None = None

    def see(self, progress: Progress) -> None:
        """Take in ``progress``."""
        self._progress = progress
        self._listener(progress)

    def tell(self, progress: Progress) -> None:
        """Take in ``progress`` whether or not the listener can."""
        with suppress(Exception):
            self.see(progress)

    def warn(self, warning: str) -> None:
        """Add ``warning`` to the result, if there is one, and pass it on again."""
        if self._progress is not None and self._progress.result is not None:
            result = replace(self._progress.result, warning=warning)
            self.tell(replace(self._progress, result=result))

    @property
    def paused(self) -> bool:
        """Whether the tip was left to somebody who is at work on the instrument."""
        result = None if self._progress is None else self._progress.result
        return result is not None and result.outcome == "paused"


def _check_capabilities(microscope: EnvelopedMicroscope) -> None:
    missing = sorted(NEEDED - microscope.capabilities)
    if missing:
        raise InstrumentError(
            f"{microscope.name} lacks what a repair needs: {', '.join(missing)}; "
            "see that its modules are licensed and open"
        )


async def _check_protected(microscope: EnvelopedMicroscope) -> None:
    """Where nobody watches, the guardian on this computer must not be all that protects the tip."""
    why = await microscope.unprotected()
    if why is not None:
        raise ConfigError(f"unattended mode is refused: {why}")


async def _close(microscope: EnvelopedMicroscope, latest: _Latest, guard: Guard) -> str | None:
    """Let go of the instrument; what was left undone there, or None."""
    theirs = latest.paused
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await microscope.close()
    except SettingsChanged as error:
        # Somebody is at work there: the guardian would withdraw the tip under their hands.
        theirs = True
        warning = f"the instrument was not left in order: {error}"
    except TimeoutError:
        warning = f"the instrument did not let go within {CLOSE_TIMEOUT_S:g} s; check its settings"
    # Whatever a driver raises: bias and feedback may have been left in between.
    except Exception as error:
        warning = f"the instrument was not left in order: {str(error) or type(error).__name__}"
    else:
        return None
    if guard.lease is not None and not theirs:
        await guard.trip("the agent could not let go of the instrument")
        warning += "; the guardian was told to withdraw the tip"
    # Told at once: a caller that is being cancelled gets no result but by its listener.
    latest.warn(warning)
    return warning


def _about(
    config: Config, seed: int | None, scorer: Judge, limits: Limits, before: Before, guard: Guard
) -> dict[str, object]:
    libraries = {name: version(name) for name in LIBRARIES}
    return {
        "config": config.model_dump(mode="json"),
        "microscope": config.microscope.uri,
        "seed": seed,
        "policy": {
            "name": config.policy.name,
            "weights": weights_hash(config.policy.name),
            "limits": limits.model_dump(mode="json"),
            "before": asdict(before),
        },
        "scorer": scorer.manifest.model_dump(mode="json"),
        "guardian": guard.header,
        "versions": {"tipsmith": own_version(), "python": platform.python_version(), **libraries},
    }
