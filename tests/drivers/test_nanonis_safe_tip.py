"""SafeTip is off for no longer than the action that needs it, and the outcome says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.actions import Approach, Indentation, Pulse
from drivers.errors import ConfigError, InstrumentError, OutcomeUnknown
from drivers.microscope import Feedback
from drivers.nanonis.codes import ScanAction, ScanDirection, SetSwitch, Switch
from drivers.nanonis.microscope import NanonisMicroscope
from drivers.nanonis.safe_tip import MARGIN_S, RESTORE_S
from tests.drivers.nanonis_fake import AT, SCAN, Controller, meet, whole_scan

DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)
PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)
APPROACH = Approach(at=AT, max_steps=20, timeout_s=60)


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
        fake.stubborn = False

    meet(test, Timed(stubborn=True), query="timeout_s=600")


class Interrupting(Timed):
    """Cancels the action when SafeTip is being switched on again, which takes a second."""

    job: asyncio.Task[object]

    async def do_safetip_onoffset(self, status: SetSwitch) -> None:
        if status is SetSwitch.ON:
            self.job.cancel()
            await asyncio.sleep(1)
            self.job.cancel()
        await super().do_safetip_onoffset(status)


def test_a_cancellation_while_safe_tip_is_switched_on_comes_after_it_was_read_back():
    async def test(microscope: NanonisMicroscope, fake: Interrupting) -> None:
        fake.job = asyncio.ensure_future(microscope.perform(PULSE))
        with pytest.raises(asyncio.CancelledError):
            await fake.job
        last = [name for _, name, _ in fake.log if name.startswith("SafeTip")][-2:]
        assert last == ["SafeTip.OnOffSet", "SafeTip.OnOffGet"]
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON
        assert "ZCtrl.Withdraw" not in fake.names()

    meet(test, Interrupting())


def test_a_cancellation_does_not_spare_a_tip_without_safe_tip_from_being_withdrawn(caplog):
    async def test(microscope: NanonisMicroscope, fake: Interrupting) -> None:
        fake.job = asyncio.ensure_future(microscope.perform(PULSE))
        with pytest.raises(asyncio.CancelledError) as caught:
            await fake.job
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN
        assert "the tip was withdrawn" in str(caught.value.__cause__)
        assert "SafeTip could not be switched on again" in caplog.text
        fake.stubborn = False

    meet(test, Interrupting(stubborn=True))


class Pulsing(Timed):
    """Says when a pulse has begun."""

    def __init__(self, *, stubborn: bool = False) -> None:
        super().__init__(stubborn=stubborn)
        self.begun = asyncio.Event()

    async def do_bias_pulse(self, **values: Any) -> None:
        self.begun.set()
        await super().do_bias_pulse(**values)


@pytest.mark.parametrize("turns", range(6))
def test_a_cancelled_action_that_is_cancelled_again_still_ends_with_safe_tip_on(turns):
    async def test(microscope: NanonisMicroscope, fake: Pulsing) -> None:
        job = asyncio.ensure_future(microscope.perform(PULSE))
        await fake.begun.wait()
        job.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        last = [name for _, name, _ in fake.log if name.startswith("SafeTip")][-2:]
        assert last == ["SafeTip.OnOffSet", "SafeTip.OnOffGet"]
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON

    meet(test, Pulsing())


def test_a_cancelled_action_stays_cancelled_if_safe_tip_stays_off():
    async def test(microscope: NanonisMicroscope, fake: Pulsing) -> None:
        job = asyncio.ensure_future(microscope.perform(PULSE))
        await fake.begun.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await job
        assert "SafeTip could not be switched on again" in str(caught.value.__cause__)
        fake.stubborn = False

    meet(test, Pulsing(stubborn=True))


def test_the_tip_is_withdrawn_in_time_if_switching_safe_tip_on_is_not_answered():
    class Silent(Timed):
        async def do_safetip_onoffset(self, status: SetSwitch) -> None:
            if status is SetSwitch.ON and self.stubborn:
                await asyncio.sleep(10_000)
            await super().do_safetip_onoffset(status)

        async def do_zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
            self.withdrawn_s = asyncio.get_running_loop().time()
            await super().do_zctrl_withdraw(wait, timeout_ms)

    async def test(microscope: NanonisMicroscope, fake: Silent) -> None:
        with pytest.raises(OutcomeUnknown, match=r"no answer within 8 s.*the tip was withdrawn"):
            await microscope.perform(DIP)
        assert fake.withdrawn_s - fake.off_s < RESTORE_S + 2
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN
        fake.stubborn = False

    # off_s is when it was switched off, as it is not seen to be switched on.
    meet(test, Silent(stubborn=True), query="timeout_s=600")


def test_a_tip_that_stays_in_contact_without_safe_tip_is_told_of_with_both_reasons():
    async def test(microscope: NanonisMicroscope, fake: Timed) -> None:
        fake.withdraw_works = False
        with pytest.raises(OutcomeUnknown, match=r"SafeTip could not be .* by hand; and .*upper"):
            await microscope.perform(DIP)
        fake.stubborn = False

    meet(test, Timed(stubborn=True))


@pytest.mark.parametrize("scanned", [False, True])
def test_closing_switches_safe_tip_on_if_the_action_could_not(scanned):
    async def test(microscope: NanonisMicroscope, fake: Timed) -> None:
        with pytest.raises(OutcomeUnknown):
            await microscope.perform(DIP)
        fake.stubborn = False
        if not scanned:
            await microscope.close()
        else:
            # It protects the tip of whoever scans now.
            await fake.do_scan_action(ScanAction.START, ScanDirection.DOWN)
            with pytest.raises(InstrumentError, match="somebody else has started a scan"):
                await microscope.close()
            await fake.do_scan_action(ScanAction.STOP, ScanDirection.DOWN)
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON

    meet(test, Timed(stubborn=True))


def test_closing_says_that_safe_tip_is_still_off_and_puts_back_the_rest(caplog):
    async def test(microscope: NanonisMicroscope, fake: Timed) -> None:
        with pytest.raises(OutcomeUnknown):
            await microscope.perform(DIP)
        caplog.clear()
        with pytest.raises(InstrumentError, match=r"SafeTip could not be .*switch it on by hand"):
            await microscope.close()
        assert "SafeTip could not be switched on again" in caplog.text
        assert fake.store["TipShaper.Props"]["tip_lift_m"] == 0.0
        fake.stubborn = False

    meet(test, Timed(stubborn=True))


def test_closing_does_not_touch_a_safe_tip_that_is_on_again_or_was_off():
    on, off = Timed(), Controller()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(DIP)
        fake.log.clear()

    for fake in (on, off):
        meet(test, fake)
        assert "SafeTip.OnOffSet" not in fake.names()


def test_nothing_is_done_before_safe_tip_is_on_again():
    async def test(microscope: NanonisMicroscope, fake: Timed) -> None:
        with pytest.raises(OutcomeUnknown):
            await microscope.perform(DIP)
        fake.log.clear()
        with pytest.raises(InstrumentError, match="switch it on by hand") as caught:
            await microscope.perform(APPROACH)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert fake.names() == ["SafeTip.OnOffSet"]
        fake.stubborn = False
        await microscope.perform(APPROACH)
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON

    meet(test, Timed(stubborn=True))


@pytest.mark.parametrize(("status", "warns"), [(Switch.OFF, True), (Switch.ON, False)])
def test_opening_warns_of_a_safe_tip_that_is_off(caplog, status, warns):
    fake = Timed()
    fake.store["SafeTip.OnOff"]["status"] = status
    meet(lambda *_: asyncio.sleep(0), fake)
    assert ("SafeTip is off" in caplog.text) is warns
    assert "SafeTip.OnOffSet" not in fake.names()


def recovering() -> Timed:
    fake = Timed()
    fake.store["SafeTip.Props"]["auto_recovery"] = Switch.ON
    return fake


def test_auto_recovery_is_refused_before_anything_is_changed():
    fake = recovering()
    with pytest.raises(InstrumentError, match="switch auto-recovery off in the controller's"):
        meet(lambda *_: asyncio.sleep(0), fake)
    assert fake.names() == []


def test_it_is_refused_too_where_safe_tip_is_to_be_configured():
    fake = recovering()
    with pytest.raises(InstrumentError, match="auto-recovery is on"):
        meet(lambda *_: asyncio.sleep(0), fake, query="safe_tip_threshold_pa=800")
    assert fake.names() == []


@pytest.mark.parametrize("status", [Switch.OFF, Switch.ON])
@pytest.mark.parametrize("job", ["scan", "approach"])
def test_a_threshold_is_set_and_safe_tip_on_before_anything_else_and_put_back(status, job):
    fake = Timed()
    fake.store["SafeTip.OnOff"]["status"] = status

    async def test(microscope: NanonisMicroscope, fake: Timed) -> None:
        assert fake.names() == []
        assert await microscope.unprotected() is None
        if job == "scan":
            await whole_scan(microscope, SCAN)
        else:
            await microscope.perform(APPROACH)
        done = fake.names()
        first = next(i for i, name in enumerate(done) if not name.startswith("SafeTip"))
        assert {"SafeTip.PropsSet", "SafeTip.OnOffSet"} == set(done[:first])
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON
        assert fake.store["SafeTip.Props"] == {
            "auto_recovery": Switch.OFF,
            "auto_pause_scan": Switch.ON,
            "threshold": pytest.approx(8e-10),
        }
        fake.log.clear()
        await microscope.perform(PULSE)
        assert "SafeTip.PropsSet" not in fake.names()
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON

    meet(test, fake, query="safe_tip_threshold_pa=800")
    assert fake.store["SafeTip.OnOff"]["status"] is status
    assert fake.store["SafeTip.Props"]["threshold"] == pytest.approx(1e-9)
    if status is Switch.OFF:
        # Off before the operator's own threshold comes back, which may be below the current.
        last = [name for name in fake.names() if name.startswith("SafeTip")][-2:]
        assert last == ["SafeTip.OnOffSet", "SafeTip.PropsSet"]


def test_a_threshold_that_the_controller_does_not_take_over_lets_nothing_begin():
    class Fixed(Timed):
        async def do_safetip_propsset(self, **_: Any) -> None:
            pass

    async def test(microscope: NanonisMicroscope, fake: Fixed) -> None:
        with pytest.raises(InstrumentError, match="threshold = 8e-10"):
            await microscope.perform(APPROACH)
        assert not {"AutoApproach.OnOffSet", "Bias.Set"} & set(fake.names())

    meet(test, Fixed(), query="safe_tip_threshold_pa=800")


def test_a_threshold_without_safe_tip_is_refused():
    fake = Timed()
    fake.refuse = {"SafeTip.OnOffGet"}
    with pytest.raises(ConfigError, match="safe_tip_threshold_pa is given and the controller"):
        meet(lambda *_: asyncio.sleep(0), fake, query="safe_tip_threshold_pa=800")


@pytest.mark.parametrize("value", ["0", "-5", "nan", "much"])
def test_a_threshold_that_is_no_current_is_refused(value):
    with pytest.raises(ConfigError, match="safe_tip_threshold_pa"):
        meet(lambda *_: asyncio.sleep(0), query=f"safe_tip_threshold_pa={value}")


def test_what_protects_a_tip_is_told():
    async def off(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert "add safe_tip_threshold_pa to" in (await microscope.unprotected() or "")

    async def none(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert await microscope.unprotected() is None

    meet(off)
    meet(none, Timed())
    without = Controller()
    without.refuse = {"SafeTip.OnOffGet"}
    meet(none, without)
