"""Runs without a guardian: what is said, and what is refused."""

from __future__ import annotations

import pytest
from rich.console import Console

from agent.config import Config, GuardianSettings, load_config
from agent.display import Display
from agent.guarding import guarded
from agent.phases import Phase
from agent.result import Progress
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import ConfigError
from tests.agent.scripted import ScriptedMicroscope


class Unsimulated:
    """As little as an instrument can be, and no simulated one."""

    name = "bare STM"


async def test_a_simulated_microscope_says_that_it_has_none():
    async with guarded(ScriptedMicroscope([0.1]).enveloped(), GuardianSettings()) as guard:
        assert guard.header == "no guardian: simulated in this process"
        async with guard.kept():
            await guard.trip("nobody hears this")


async def test_a_driver_without_frames_says_so():
    microscope = EnvelopedMicroscope(Unsimulated(), Config().envelope)
    async with guarded(microscope, GuardianSettings()) as guard:
        assert guard.header == "no guardian: bare STM hands over no emergency frames"


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        (ScriptedMicroscope([0.1]), "simulated in this process"),
        (Unsimulated(), "bare STM hands over no emergency frames"),
    ],
)
async def test_unattended_it_is_refused_in_one_sentence(inner: object, why: str):
    microscope = EnvelopedMicroscope(inner, Config().envelope)
    unattended = Config().overridden(unattended=True).guardian
    with pytest.raises(ConfigError, match=f"^unattended mode is refused, .*: {why}; stay with"):
        async with guarded(microscope, unattended):
            pytest.fail("it went on")


def test_the_header_is_shown_once():
    console = Console(width=100)
    with console.capture() as captured, Display(console) as display:
        display.show(Progress(Phase.STARTING, note="no guardian: simulated in this process"))
        display.show(Progress(Phase.DECIDING))
    assert captured.get().split(maxsplit=1) == ["0:00", "no guardian: simulated in this process\n"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lost_after_s = 0.2", "lost_after_s must be at least three times lease_s"),
        ("lost_after_s = 60.0", "lost_after_s: .*less than or equal to 5"),
        ("grace_s = 0.1", "grace_s must be at least twice lease_s"),
        ("lease = 1", "has no key 'lease'; known are state, unattended, lease_s"),
    ],
)
def test_times_that_protect_nothing_are_refused(tmp_path, text: str, message: str):
    path = tmp_path / "tip.toml"
    path.write_text(f"[guardian]\n{text}\n")
    with pytest.raises(ConfigError, match=rf"\[guardian\].*{message}"):
        load_config(path)
