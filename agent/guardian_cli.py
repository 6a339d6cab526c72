"""The guardian's commands: ``stop``, and ``guardian`` with ``--rearm``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import GuardianLost

if TYPE_CHECKING:
    from agent.guardian.desk import Answer
    from agent.guardian.statefile import Report

#: How long ``stop`` waits for the withdrawal to be verified.
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file; tipsmith.toml in this folder if there is one."),
]


def stop(config_file: ConfigFile = None) -> None:
    """Withdraw the tip now, by the guardian and whatever the agent does."""
    from agent.guardian.states import State

    path = _state_file(config_file)
    answer = _ask(path, "trip", reason="the operator's stop")
    if answer is None or not answer.done:
        raise GuardianLost(
            f"no guardian guards a run with the state file {path}; withdraw at the instrument"
        )
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while answer is not None and answer.state is not State.WITHDRAWN:
        if time.monotonic() > deadline:
            raise GuardianLost(f"not verified, the guardian goes on trying: {answer.reason}")
        time.sleep(_POLL_S)
        answer = _ask(path, "state")
    if answer is None:
        raise GuardianLost("the guardian has died; withdraw at the instrument")
    typer.echo("the tip is withdrawn; after looking at it, run 'tipsmith guardian --rearm'")


def guardian(
    rearm: Annotated[
        bool, typer.Option("--rearm", help="A human has looked at the tip: end the latch.")
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Say what the guardian is doing, or re-arm it after it has withdrawn the tip."""
    path = _state_file(config_file)
    report, answer = _report(path), _ask(path, "rearm" if rearm else "state")
    if rearm and answer is not None and not answer.done:
        raise GuardianLost(
            f"the guardian is {answer.state} ({answer.reason}); it can be re-armed once the "
            "withdrawal is verified"
        )
    if rearm and answer is None and report is not None:
        # Its guardian has ended, and with it the latch: what is left is the file.
        path.unlink()
        typer.echo(f"the guardian that had ended ({report.state}: {report.reason}) is re-armed")
    elif answer is not None:
        typer.echo(f"{answer.state}: {answer.reason}")
    elif report is not None:
        typer.echo(f"not running; it ended {report.state}: {report.reason}")
    else:
        typer.echo("not running; a run on an instrument that can be guarded starts it")


def _state_file(config_file: Path | None) -> Path:
    from agent.config import load_config

    return Path(load_config(config_file).guardian.state)


def _ask(path: Path, question: str, **more: object) -> Answer | None:
    from agent.guardian.asking import ask

    try:
        return ask(path, question, **more)
    except (OSError, ValueError) as error:
        raise GuardianLost(f"the guardian cannot be asked: {error}") from None


def _report(path: Path) -> Report | None:
    from agent.guardian.statefile import read_report

    try:
        return read_report(path)
    except (OSError, ValueError) as error:
        raise GuardianLost(f"the guardian's state file cannot be read: {error}") from None
