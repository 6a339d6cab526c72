"""SafeTip is off for no longer than the action that needs it, and the outcome says so."""

from __future__ import annotations

import asyncio

import pytest

from drivers.actions import Indentation, Pulse
from drivers.errors import OutcomeUnknown
from drivers.microscope import Feedback
from drivers.nanonis.codes import SetSwitch, Switch
from drivers.nanonis.microscope import NanonisMicroscope
from drivers.nanonis.safe_tip import MARGIN_S
from tests.drivers.nanonis_fake import AT, Controller, meet

DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)
PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)


class Timed(Controller):
    """Notes for how long its SafeTip was off, and may refuse to switch it on again."""

    def __init__(self, *, stubborn: bool = False) -> None:
        super().__init__()
        self.store["SafeTip.OnOff"]["status"] = Switch.ON
        self.stubborn = stubborn
        self.off_s = 0.0

    async def do_safetip_onoffset(self, status: SetSwitch) -> None:
        now = asyncio.get_running_loop().time()
        self.off_s = now - self.off_s
        if status is SetSwitch.OFF or not self.stubborn:
            self.store["SafeTip.OnOff"]["status"] = Switch[status.name]


@pytest.mark.parametrize("action", [PULSE, DIP, DIP.model_copy(update={"restore_feedback": False})])
def test_the_outcome_says_that_safe_tip_was_off_and_is_on_again(action):
    fake = Timed()

    async def test(microscope: NanonisMicroscope, fake: Timed) -> None:
        outcome = await microscope.perform(action)
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON
        (note,) = outcome.notes
        assert note == f"SafeTip was suspended for {fake.off_s:.1f} s and is on again"
        assert 0 < fake.off_s < 2

    meet(test, fake)


@pytest.mark.parametrize("action", [PULSE, DIP])
def test_a_safe_tip_that_is_off_anyway_is_not_mentioned(action):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert (await microscope.perform(action)).notes == ()
        assert "SafeTip.OnOffSet" not in fake.names()

    meet(test)


@pytest.mark.parametrize(("action", "command"), [(DIP, "TipShaper.Start"), (PULSE, "Bias.Pulse")])
def test_safe_tip_is_on_again_in_time_whatever_the_action_does(action, command):
    async def test(microscope: NanonisMicroscope, fake: Timed) -> None:
        fake.mute = {command}
        with pytest.raises(
            OutcomeUnknown, match=r"no end was seen within the 1[01]\.\d s .*SafeTip"
        ):
            await microscope.perform(action)
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON
        assert fake.off_s == pytest.approx(MARGIN_S + 0.5, abs=0.6)
        assert len(fake.values(command)) == 1

    # A controller that is given minutes to answer does not get minutes without its protection.
    meet(test, Timed(), query="timeout_s=600")


def test_the_tip_is_withdrawn_if_safe_tip_stays_off_after_an_action_that_hung():
    async def test(microscope: NanonisMicroscope, fake: Timed) -> None:
        fake.mute = {"TipShaper.Start"}
        with pytest.raises(OutcomeUnknown, match=r"SafeTip could not be .*the tip was withdrawn"):
            await microscope.perform(DIP)
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN

    meet(test, Timed(stubborn=True), query="timeout_s=600")
