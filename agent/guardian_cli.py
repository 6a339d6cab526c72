"""The guardian's commands: ``stop``, and ``guardian`` with ``--rearm``.

They load next to nothing: every tenth of a second counts until the withdrawal is asked for.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.places import DEFAULT_STATE, guardian_state

if TYPE_CHECKING:
    from agent.guardian.desk import Answer
    from agent.guardian.statefile import Report
    from drivers.errors import GuardianLost

#: How long ``stop`` waits for the withdrawal to be verified.
STOP_TIMEOUT_S = 30.0
#: How long it waits for a guardian to write its state file again: a little longer than that takes.
RESTORED_S = 7.0
_POLL_S = 0.05

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file; tipsmith.toml in this folder if there is one."),
]
StateFile = Annotated[
    Path | None,
    typer.Option("--state", help="The guardian's state file; no configuration is then read."),
]


def stop(config_file: ConfigFile = None, state_file: StateFile = None) -> None:
    """Withdraw the tip now, by the guardian and whatever the agent does."""
    from agent.guardian.states import State

    path = state_file or _likely_state(config_file)
    answer = _stopping(path, "trip", reason="the operator's stop")
    if answer is None or not answer.done:
        raise _lost(
            f"no guardian guards a run with the state file {path} (another is given by --state); "
            "withdraw at the instrument"
        )
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while answer is not None and answer.state is not State.WITHDRAWN:
        if time.monotonic() > deadline:
            raise _lost(
                f"the tip was not seen to be withdrawn after {STOP_TIMEOUT_S:g} s; it may still be "
                f"moving, and the guardian goes on; look at it now ({answer.reason})"
            )
        time.sleep(_POLL_S)
        answer = _stopping(path, "state")
    if answer is None:
        raise _lost("the guardian has died; withdraw at the instrument")
    typer.echo("the tip is withdrawn; after looking at it, run 'tipsmith guardian --rearm'")


def guardian(
    rearm: Annotated[
        bool, typer.Option("--rearm", help="A human has looked at the tip: end the latch.")
    ] = False,
    config_file: ConfigFile = None,
    state_file: StateFile = None,
) -> None:
    """Say what the guardian is doing, or re-arm it after it has withdrawn the tip."""
    path = state_file or _configured_state(config_file)
    typer.echo(_rearmed(path) if rearm else _told(path))


def _told(path: Path) -> str:
    from agent.guardian.alive import lives

    report, answer = _report(path), _ask(path, "state")
    if answer is not None:
        return f"{answer.state}: {answer.reason}"
    if report is not None:
        return f"not running; it ended {report.state}: {report.reason}"
    if lives(path):
        return f"running; its state file {path} is gone, and is written again within seconds"
    return "not running; a run on an instrument that can be guarded starts it"


def _rearmed(path: Path) -> str:
    from agent.guardian.alive import alone

    # Whom a torn file belongs to, only the lock can tell.
    answer = None if _torn(path) else _ask(path, "rearm")
    if answer is not None and not answer.done:
        raise _lost(
            f"the guardian is {answer.state} ({answer.reason}); it can be re-armed once the "
            "withdrawal is verified"
        )
    if answer is not None:
        return f"{answer.state}: {answer.reason}"
    if not path.exists():
        return _told(path)
    try:
        with alone(path):
            return _clear(path)
    except (OSError, ValueError) as error:
        raise _lost(f"the guardian cannot be re-armed: {error}") from None


def _clear(path: Path) -> str:
    """Remove the latch that a guardian has left in its file when it ended."""
    from agent.guardian.statefile import keep_torn

    if _torn(path):
        kept = keep_torn(path)
        path.unlink()
        return f"what was armed is unknown and is re-armed; the torn file is kept as {kept}"
    report = _report(path)
    if report is None:
        return _told(path)
    path.unlink()
    return f"the guardian that had ended ({report.state}: {report.reason}) is re-armed"


def _likely_state(config_file: Path | None) -> Path:
    """The configured state file, or the usual one: a stop is not refused for a configuration."""
    try:
        return guardian_state(config_file)
    except ValueError as error:
        with suppress(OSError):
            typer.echo(f"tipsmith: {error}; asking by {DEFAULT_STATE} instead", err=True)
        return DEFAULT_STATE


def _configured_state(config_file: Path | None) -> Path:
    """The configured state file.

    Raises:
        ConfigError: nobody can tell; another guardian must not be re-armed in its place.
    """
    from drivers.errors import ConfigError

    try:
        return guardian_state(config_file)
    except ValueError as error:
        raise ConfigError(f"{error}; correct it, or give the state file by --state") from None


def _stopping(path: Path, question: str, **more: object) -> Answer | None:
    """The answer of a guardian that is to withdraw the tip; where it owes one, say what to do.

    One that lives without its state file is waited for: it writes the file again.
    """
    from agent.guardian.alive import lives

    waiting_since: float | None = None
    while True:
        answer, why = _tried(path, question, **more)
        if answer is not None or not lives(path):
            break
        now = time.monotonic()
        if waiting_since is None:
            waiting_since = now
            with suppress(OSError):
                typer.echo(f"tipsmith: waiting for the guardian's state file {path}", err=True)
        if now - waiting_since > RESTORED_S:
            raise _lost(
                f"a guardian runs, and its state file {path} is gone or damaged; "
                "withdraw at the instrument"
            )
        time.sleep(_POLL_S)
    if why is not None:
        raise _lost(f"the guardian cannot be asked: {why}")
    return answer


def _tried(path: Path, question: str, **more: object) -> tuple[Answer | None, ValueError | None]:
    """The answer, if there is one, and what is wrong with the state file."""
    from agent.guardian.asking import ask

    try:
        return ask(path, question, **more), None
    except ValueError as error:
        return None, error
    except OSError as error:
        raise _lost(
            f"the guardian is there and cannot be asked ({error}), and nobody knows whether it "
            "withdraws the tip; withdraw at the instrument"
        ) from None


def _ask(path: Path, question: str, **more: object) -> Answer | None:
    from agent.guardian.asking import ask

    try:
        return ask(path, question, **more)
    except (OSError, ValueError) as error:
        raise _lost(f"the guardian cannot be asked: {error}") from None


def _report(path: Path) -> Report | None:
    from agent.guardian.statefile import read_report

    try:
        return read_report(path)
    except ValueError as error:
        raise _lost(f"the guardian's state file cannot be read: {error}") from None


def _torn(path: Path) -> bool:
    from agent.guardian.statefile import read_report

    try:
        read_report(path)
    except ValueError:
        return True
    return False


def _lost(sentence: str) -> GuardianLost:
    # Only now: it brings all drivers with it.
    from drivers.errors import GuardianLost

    return GuardianLost(sentence)
