"""A run under a guardian where the instrument allows one, and what is said where it does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from agent.config import GuardianSettings
from agent.guardian.asking import ask
from agent.guardian.statefile import READ_OR_WRITE, Report, check_private, read_report
from agent.guardian.states import GUARDING, State
from agent.installation import ROOT
from agent.lease import Lease
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import ConfigError, GuardianLost
from drivers.finishing import finish

START_TIMEOUT_S = 10.0
_POLL_S = 0.02
# Isolated and without site-packages: nothing but the standard library and this package.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from agent.guardian.__main__ import main; sys.exit(main())"
)
_LAUNCH = """
import subprocess, sys
flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
quiet = subprocess.DEVNULL
subprocess.Popen(
    sys.argv[1:], stdin=quiet, stdout=quiet, start_new_session=True, creationflags=flags
)
"""


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands between the tip and a hung program.

    Attributes:
        header: the same for people, in one line.
        lease: the lease on a guardian, or None where there is none.
        attended: whether somebody watches, whose hands a change of settings may be.
    """

    header: str
    lease: Lease | None = None
    attended: bool = True

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Work that is broken off when the guardian is lost, if there is one.

        Raises:
            GuardianLost: it was.
        """
        if self.lease is None:
            yield
        else:
            async with self.lease.kept():
                yield

    def settle(self) -> None:
        """Say that the tip is left as meant.

        What was kept ends with a withdrawal by the guardian unless this was said after it.
        """
        if self.lease is not None:
            self.lease.settle()

    async def trip(self, reason: str) -> None:
        """Let the guardian withdraw, if there is one."""
        if self.lease is not None:
            await self.lease.trip(reason)


NO_GUARD = Guard("no guardian")


@asynccontextmanager
async def guarded(
    microscope: EnvelopedMicroscope, settings: GuardianSettings
) -> AsyncGenerator[Guard]:
    """Guard ``microscope`` for as long as the context lasts, if its driver allows it.

    However the context ends, the guardian withdraws the tip unless that is left as meant.

    Raises:
        ConfigError: nobody watches, and the instrument cannot be guarded.
        GuardianLost: it can, but the guardian does not start, or is latched or busy.
        InstrumentError: the instrument does not tell what the guardian has to know.
    """
    emergency = await microscope.emergency()
    if emergency is None:
        simulated = microscope.true_state() is not None
        why = (
            "simulated in this process"
            if simulated
            else f"{microscope.name} hands over no emergency frames"
        )
        if settings.unattended:
            raise ConfigError(
                f"unattended mode is refused, as there can be no guardian: {why}; "
                "stay with the instrument, or use a driver that hands over emergency frames"
            )
        yield Guard(f"no guardian: {why}")
        return
    path = Path(settings.state)
    with _alone(path):
        lease = await Lease.take(await _running(path), emergency, settings)
    try:
        yield Guard(
            f"guardian armed: the tip is withdrawn {settings.lost_after_s:g} s after the agent "
            f"falls silent; 'tipsmith stop' withdraws it at once",
            lease,
            attended=not settings.unattended,
        )
    finally:
        await finish(lease.give_back())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other agents from starting or arming a guardian with the same state file."""
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=START_TIMEOUT_S)
    except (OSError, Timeout) as error:
        raise GuardianLost(f"the guardian's folder {path.parent} cannot be used: {error}") from None
    try:
        yield
    finally:
        lock.release()


async def _running(path: Path) -> Report:
    """The report of a guardian that runs and is free; started if there is none."""
    try:
        check_private(path, READ_OR_WRITE)
        answer = ask(path, "state")
        report = read_report(path)
        if answer is not None and answer.state in GUARDING:
            raise GuardianLost(
                "the guardian watches over another run; wait for its end, or give this instrument "
                "a guardian of its own by another file under [guardian] state"
            )
        state = answer.state if answer is not None else report and report.state
        if report is not None and state is not State.DISARMED:
            raise GuardianLost(
                f"the guardian is latched ({report.state} since {report.since_utc}: "
                f"{report.reason}); look at the tip, then run 'tipsmith guardian --rearm'"
            )
        return report if report is not None and answer is not None else await _start(path)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise GuardianLost(f"the guardian cannot be asked or started: {error}") from None


async def _start(path: Path) -> Report:
    start_guardian(path)
    for _ in range(round(START_TIMEOUT_S / _POLL_S)):
        if ask(path, "state") is not None and (report := read_report(path)) is not None:
            return report
        await asyncio.sleep(_POLL_S)
    raise GuardianLost(
        f"the guardian does not start within {START_TIMEOUT_S:g} s; see standard error"
    )


def start_guardian(path: Path) -> None:
    """Start a guardian for one run, out of reach of the signals that this process gets.

    Args:
        path: its state file.

    Raises:
        OSError: no process can be started.
    """
    python = (sys.executable, "-I", "-S", "-c")
    guardian = (*python, _BOOT, str(ROOT), "--state", str(path.absolute()), "--once")
    # Started by one that ends at once, it is nobody's child: nobody has to wait for its end.
    subprocess.run([*python, _LAUNCH, *guardian], check=True)  # noqa: S603 - our own program
