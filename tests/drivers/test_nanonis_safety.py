"""The Nanonis driver never closes the feedback where it would drive the tip into the sample."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.actions import Approach, MoveTo, Pulse, RetuneFeedback, TunnellingPoint
from drivers.errors import ConnectionLost, ContactLost, InstrumentError, OutcomeUnknown
from drivers.microscope import WITHDRAWAL_ENDS_S
from drivers.nanonis.codes import SetSwitch, Switch, ZStatus
from drivers.nanonis.microscope import NanonisMicroscope
from drivers.nanonis.zcontrol import WITHDRAW_DEADLINE_S, WITHDRAW_S
from tests.drivers.nanonis_fake import AT, SCAN, TOP_M, Controller, meet, whole_scan

ACROSS = TunnellingPoint(bias_v=-0.5, setpoint_a=50e-12)
PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)
PULSE_ACROSS = PULSE.model_copy(update={"at": ACROSS})
MOVE = MoveTo(x_m=1e-8, y_m=0.0, speed_m_per_s=1e-8)


class Watched(Controller):
    """Notes the bias at which the feedback is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed_at_v: list[float] = []

    async def do_zctrl_onoffset(self, status: Switch) -> None:
        if status is Switch.ON:
            self.closed_at_v.append(self.store["Bias."]["bias_v"])
        await super().do_zctrl_onoffset(status)


@pytest.mark.parametrize("ended_by", ["cancellation", "a broken link", "a refusal"])
def test_a_ramp_through_zero_that_is_cut_short_leaves_the_tip_held_and_lifted(ended_by):
    class Cut(Watched):
        async def do_bias_set(self, bias_v: float) -> None:
            self.store["Bias."]["bias_v"] = bias_v
            if abs(bias_v) < 0.01:
                self.refuse |= {"Bias.Set"} if ended_by == "a refusal" else set()
                self.mute |= {"Bias.Set"} if ended_by == "a broken link" else set()
                if ended_by == "cancellation":
                    job.cancel()

    fake = Cut()
    job: asyncio.Task[object]

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        nonlocal job
        job = asyncio.ensure_future(microscope.perform(PULSE_ACROSS))
        with pytest.raises((asyncio.CancelledError, OutcomeUnknown)):
            await job
        assert fake.store["Bias."]["bias_v"] == pytest.approx(0.0, abs=0.01)
        assert fake.status is ZStatus.OFF
        assert fake.z_m == pytest.approx(1e-9)

    meet(test, fake)
    # Not even closing the microscope brought the tip back.
    assert fake.closed_at_v == []
    assert fake.status is ZStatus.OFF


@pytest.mark.parametrize("work", ["scan", "pulse"])
def test_a_tip_held_at_0_v_is_only_let_go_at_the_tunnelling_point(work):
    fake = Watched()
    fake.status, fake.store["Bias."]["bias_v"] = ZStatus.OFF, 0.0

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        if work == "scan":
            await whole_scan(microscope, SCAN)
        else:
            await microscope.perform(PULSE)
        names = fake.names()
        engaged = names.index("ZCtrl.OnOffSet")
        assert {"Bias.Set", "ZCtrl.SetpntSet"} <= set(names[:engaged])
        assert not {"Bias.Set", "ZCtrl.SetpntSet"} & set(names[engaged:])

    meet(test, fake)
    assert fake.closed_at_v == [pytest.approx(AT.bias_v)]


def test_a_move_does_not_close_the_feedback_near_0_v():
    fake = Watched()
    fake.status, fake.store["Bias."]["bias_v"] = ZStatus.OFF, 0.0004

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match=r"feedback is off and the bias is 0\.4 mV"):
            await microscope.perform(MOVE)
        assert fake.status is ZStatus.OFF
        assert "FolMe.XYPosSet" not in fake.names()
        fake.store["Bias."]["bias_v"] = -0.1
        await microscope.perform(MOVE)
        assert fake.status is ZStatus.ON

    meet(test, fake)


@pytest.mark.parametrize(("status", "bias_v"), [(ZStatus.OFF, 0.0), (ZStatus.OFF, 0.5)])
def test_a_point_at_which_no_feedback_held_the_tip_is_not_restored(status, bias_v):
    fake = Watched()
    fake.status, fake.store["Bias."]["bias_v"] = status, bias_v

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        await whole_scan(
            microscope,
            SCAN.model_copy(update={"at": TunnellingPoint(bias_v=1.5, setpoint_a=50e-12)}),
        )

    meet(test, fake)
    assert fake.store["Bias."]["bias_v"] == pytest.approx(1.5)
    assert fake.status is ZStatus.ON


def test_a_point_at_0_v_under_feedback_is_not_restored():
    fake = Watched()
    fake.store["Bias."]["bias_v"] = 0.0
    meet(lambda microscope, _: whole_scan(microscope, SCAN), fake)
    assert fake.store["Bias."]["bias_v"] == pytest.approx(1.0)


def test_nothing_is_restored_under_a_tip_that_is_held_when_closing():
    fake = Watched()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        fake.status = ZStatus.OFF
        fake.log.clear()

    meet(test, fake)
    assert not {"Bias.Set", "ZCtrl.OnOffSet"} & set(fake.names())


@pytest.mark.parametrize("action", [PULSE, MOVE])
def test_a_tip_that_safe_tip_is_withdrawing_is_not_caught_again(action):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.status, fake.z_m = ZStatus.SAFE_TIP, 20e-9  # on its way to the top
        with pytest.raises(ContactLost, match="SafeTip has withdrawn the tip"):
            await microscope.perform(action)
        assert not {"ZCtrl.OnOffSet", "Bias.Set"} & set(fake.names())

    meet(test)


def test_a_tip_withdrawn_by_safe_tip_can_be_withdrawn():
    class Tripped(Controller):
        async def do_zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
            self.z_m = TOP_M  # and its status stays

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.status, fake.z_m = ZStatus.SAFE_TIP, 20e-9
        await microscope.withdraw()

    meet(test, Tripped())


@pytest.mark.parametrize("ended_by", ["no read-back", "cancellation"])
def test_safe_tip_is_on_again_even_if_switching_it_off_was_not_seen(ended_by):
    class Landed(Controller):
        async def do_safetip_onoffset(self, status: SetSwitch) -> None:
            self.store["SafeTip.OnOff"]["status"] = Switch[status.name]
            if status is SetSwitch.ON:
                return
            if ended_by == "cancellation":
                job.cancel()
            else:
                self.refuse = {"SafeTip.OnOffGet"}
                asyncio.get_running_loop().call_later(0.01, self.refuse.clear)

        async def do_safetip_onoffget(self) -> dict[str, Any]:
            return self.store["SafeTip.OnOff"]

    job: asyncio.Task[object]

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        nonlocal job
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON
        job = asyncio.ensure_future(microscope.perform(PULSE))
        with pytest.raises((InstrumentError, asyncio.CancelledError)):
            await job
        assert "Bias.Pulse" not in fake.names()
        assert [v["status"] for v in fake.values("SafeTip.OnOffSet")][-1] is SetSwitch.ON
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON

    meet(test, Landed())


@pytest.mark.parametrize(
    ("action", "command"),
    [
        (MOVE, "FolMe.XYPosSet"),
        (RetuneFeedback(p_gain_m=5e-12, time_constant_s=1e-4), "ZCtrl.GainSet"),
    ],
)
def test_moves_and_gains_whose_end_was_not_seen_are_unknown(action, command):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.mute = {command}
        with pytest.raises(OutcomeUnknown, match="do not repeat"):
            await microscope.perform(action)
        assert len(fake.values(command)) == 1

    meet(test)


async def elapsed(coroutine: Any) -> float:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await coroutine
    return loop.time() - start


STOPS = {"AutoApproach.OnOffSet", "Motor.StopMove", "Scan.Action", "FolMe.Stop"}


def test_stops_that_hang_do_not_hold_up_the_withdrawal():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.mute = set(STOPS)
        assert await elapsed(microscope.withdraw()) < 4
        assert set(fake.names()) == STOPS | {"ZCtrl.Withdraw"}
        assert len(fake.values("ZCtrl.Withdraw")) == 1
        assert (fake.status, fake.z_m) == (ZStatus.OFF, TOP_M)

    meet(test, query="timeout_s=60")


def test_withdrawing_is_tried_again_until_it_is_answered_and_seen():
    class Hanging(Controller):
        """Its first two tries hang; then the port of the readings hangs for one try."""

        async def do_zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
            tries = len(self.values("ZCtrl.Withdraw"))
            if tries < 3:
                await asyncio.sleep(1000)
            if tries == 3:
                self.mute = {"ZCtrl.StatusGet"}
            else:
                self.mute.clear()
            await super().do_zctrl_withdraw(wait, timeout_ms)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert await elapsed(microscope.withdraw()) < WITHDRAW_DEADLINE_S
        ports = [port for port, name, _ in fake.log if name == "ZCtrl.Withdraw"]
        assert ports == [0, 1, 2, 0]

    meet(test, Hanging())


def test_a_controller_that_never_answers_is_given_up_in_time():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.mute = STOPS | {"ZCtrl.Withdraw"}
        with pytest.raises(InstrumentError, match=r"not seen to withdraw within 20 s .*by hand"):
            await asyncio.wait_for(microscope.withdraw(), 30)
        assert {port for port, _, _ in fake.log} == {0, 1, 2}  # the fourth stays reserved

    meet(test, query="timeout_s=60")


class Unhurried(Controller):
    """Its first tries to withdraw are lost, and then it takes its time."""

    def __init__(self, lost: int, takes_s: float) -> None:
        super().__init__()
        self.lost, self.takes_s = lost, takes_s
        self.withdrawing: asyncio.Task[None] | None = None

    async def do_zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
        if len(self.values("ZCtrl.Withdraw")) <= self.lost:
            await asyncio.sleep(1000)
        self.status = ZStatus.WITHDRAWING
        self.withdrawing = asyncio.ensure_future(self.arrive())

    async def arrive(self) -> None:
        await asyncio.sleep(self.takes_s)
        self.status, self.z_m = ZStatus.OFF, TOP_M


def test_a_rig_that_withdraws_slowly_is_waited_for():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert 100 < await elapsed(microscope.withdraw()) < 105

    meet(test, Unhurried(0, 100))


def test_a_withdrawal_ends_when_it_was_said_to_end():
    async def test(microscope: NanonisMicroscope, fake: Unhurried) -> None:
        fake.mute = set(STOPS)
        started = asyncio.get_running_loop().time()
        told = "not seen at the upper end of its range after 120 s; it may still be moving; look"
        with pytest.raises(InstrumentError, match=told):
            await microscope.withdraw()
        ended_s = asyncio.get_running_loop().time() - started
        assert WITHDRAW_DEADLINE_S + WITHDRAW_S - 5 < ended_s < WITHDRAWAL_ENDS_S - 10

    meet(test, Unhurried(5, 200), query="timeout_s=60")


def test_settings_are_given_back_beyond_one_that_is_not_answered():
    fake = Controller()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        fake.mute = {"Scan.PropsSet"}  # the first to be given back
        with pytest.raises(InstrumentError, match=r"Scan\.Props: .*by hand") as caught:
            await microscope.close()
        assert "Scan.Speed" not in str(caught.value)

    meet(test, fake)
    assert fake.store["Scan.Frame"]["width_m"] == pytest.approx(1e-7)
    assert fake.store["Scan.Speed"]["forward_s"] == pytest.approx(1.0)


def test_settings_that_a_dead_controller_keeps_are_all_named():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        fake.mute = {"Scan.PropsSet", "Scan.BufferSet", "Scan.FrameSet", "Scan.SpeedSet"}
        with pytest.raises(InstrumentError) as caught:
            await asyncio.wait_for(microscope.close(), 15)
        for group in ("Scan.Props", "Scan.Buffer", "Scan.Frame", "Scan.Speed"):
            assert f"{group}: " in str(caught.value)
        assert str(caught.value).count("not tried") == 2

    meet(test)


def test_an_approach_from_a_held_tip_still_works():
    fake = Watched()
    fake.status, fake.store["Bias."]["bias_v"] = ZStatus.OFF, 0.0

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(Approach(at=AT, max_steps=20, timeout_s=60))
        assert fake.store["Bias."]["bias_v"] == pytest.approx(1.0)

    meet(test, fake)


def test_a_link_that_breaks_during_a_scan_is_told_with_its_first_cause():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        lines = microscope.scan(SCAN)
        assert [(await anext(lines)).index for _ in range(2)] == [0, 1]
        fake.mute = {"Scan.FrameDataGrab", "Scan.Action"}
        told = (
            r"the connection to 127\.0\.0\.1:6501 broke during the scan after 2 lines: "
            r".*:6502 did not answer Scan\.FrameDataGrab in time \(5 s\)"
        )
        with pytest.raises(ConnectionLost, match=told):
            await anext(lines)

    meet(test)


def test_a_lifted_pulse_whose_end_was_not_seen_leaves_the_tip_lifted():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.mute = {"Bias.Pulse"}
        with pytest.raises(OutcomeUnknown):
            await microscope.perform(PULSE.model_copy(update={"z_offset_m": 1e-9}))
        assert (fake.status, fake.z_m) == (ZStatus.OFF, pytest.approx(1e-9))

    meet(test)
