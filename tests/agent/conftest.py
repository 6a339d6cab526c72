"""A repair on a scripted microscope, ready to run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from agent.config import RepairSettings
from agent.journal import Journal
from agent.repair import repair
from agent.result import Progress, RepairResult
from agent.supervision import Supervision
from drivers.envelope import Limits
from policies.proposal import Policy
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe

Start = Callable[..., Awaitable[RepairResult]]


@pytest.fixture
def settings() -> RepairSettings:
    return RepairSettings(
        pixels=16,
        lines=24,
        max_actions=3,
        confirm_spots=3,
        confirm_quality=0.75,
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.create(tmp_path, {}, "run") as journal:
        yield journal


@pytest.fixture
def seen() -> list[Progress]:
    return []


@pytest.fixture
def start(settings: RepairSettings, journal: Journal, seen: list[Progress]) -> Start:
    """Start a repair; everything but the microscope has a default."""

    def begin(
        microscope: ScriptedMicroscope,
        policy: Policy | None = None,
        scorer: ScriptedScorer | None = None,
        limits: Limits | None = None,
        settings: RepairSettings = settings,
        supervision: Supervision | None = None,
    ) -> Awaitable[RepairResult]:
        return repair(
            microscope.enveloped(limits),
            scorer or ScriptedScorer(),
            policy or Always(DIP),
            settings,
            scribe(journal),
            seen.append,
            supervision=supervision,
        )

    return begin
