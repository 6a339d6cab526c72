"""The Nanonis microscope against a small scripted controller: actions."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.actions import (
    Approach,
    CoarseMove,
    Indentation,
    MoveTo,
    Pulse,
    RetuneFeedback,
    TunnellingPoint,
)
from drivers.errors import (
    ContactLost,
    InstrumentError,
    OutcomeUnknown,
)
from drivers.microscope import Capability, Feedback
from drivers.nanonis.codes import (
    PulseHold,
    PulseReference,
    ScanAction,
    SetSwitch,
    Switch,
    ZStatus,
)
from drivers.nanonis.microscope import NanonisMicroscope
from tests.drivers.nanonis_fake import (
    AT,
    CURRENT,
    PORT,
    SCAN,
    Controller,
    Z,
    meet,
    whole_scan,
)

DIP = Indentation(at=AT, depth_m=1e-9, lift_m=2e-9)
PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)
APPROACH = Approach(at=AT, max_steps=20, timeout_s=60)


def test_a_pulse_is_said_in_full_and_compared():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        outcome = await microscope.perform(PULSE)
        (sent,) = fake.values("Bias.Pulse")
        assert sent == {
            "wait": 1,
            "width_s": pytest.approx(0.1),
            "bias_v": pytest.approx(-4.0),
            "hold": PulseHold.HOLD,
            "reference": PulseReference.ABSOLUTE,
        }
        assert [port for port, name, _ in fake.log if name == "Bias.Pulse"] == [2]
        assert outcome.z_jump_m == pytest.approx(0.2e-9)
        assert outcome.trace is None
        assert "ZCtrl.OnOffSet" not in fake.names()[fake.names().index("Bias.Pulse") :]

    fake = Controller()
    fake.store["Bias."]["bias_v"] = -0.5
    meet(test, fake, query="bias_sign=-1")


def test_a_relative_pulse_with_the_feedback_on():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        action = PULSE.model_copy(update={"feedback": "on", "reference": "relative"})
        await microscope.perform(action)
        (sent,) = fake.values("Bias.Pulse")
        assert (sent["hold"], sent["reference"]) == (PulseHold.RELEASE, PulseReference.RELATIVE)

    meet(test)


def test_a_lifted_pulse_holds_the_tip_first_and_lets_it_go_again():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(PULSE.model_copy(update={"z_offset_m": 1e-9}))
        names = fake.names()
        at = names.index("Bias.Pulse")
        # The operator's tip lift of -1 nm would have pushed the tip towards the sample.
        assert names[at - 4 : at] == [
            "ZCtrl.TipLiftSet",
            "ZCtrl.SwitchOffDelaySet",
            "ZCtrl.OnOffSet",
            "ZCtrl.ZPosSet",
        ]
        assert fake.values("ZCtrl.TipLiftSet")[0] == {"lift_m": 0.0}
        assert fake.values("ZCtrl.ZPosSet") == [{"z_m": pytest.approx(1e-9)}]
        assert names[at + 1] == "ZCtrl.OnOffSet"
        assert fake.store["ZCtrl.TipLift"]["lift_m"] == pytest.approx(-1e-9)
        assert fake.store["ZCtrl.SwitchOffDelay"]["delay_s"] == pytest.approx(0.3)
        assert fake.status is ZStatus.ON

    meet(test)


def test_the_bias_never_goes_through_zero_with_the_feedback_closed():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        at = TunnellingPoint(bias_v=-1.0, setpoint_a=100e-12)
        await microscope.perform(PULSE.model_copy(update={"at": at}))
        names = fake.names()
        first, last = names.index("Bias.Set"), len(names) - 1 - names[::-1].index("Bias.Set")
        before, after = names[:first], names[last + 1 :]
        assert before[-2:] == ["ZCtrl.OnOffSet", "ZCtrl.ZPosSet"]
        assert after[0] == "ZCtrl.OnOffSet"
        assert len(fake.values("Bias.Set")) == 30
        assert set(names[first : last + 1]) == {"Bias.Set"}

    meet(test)


def test_a_bias_of_the_same_sign_is_ramped_with_the_feedback_on():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(PULSE)
        assert [v["bias_v"] for v in fake.values("Bias.Set")] == pytest.approx(
            np.arange(0.55, 1.04, 0.05)
        )
        assert "ZCtrl.OnOffSet" not in fake.names()
        # The setpoint is raised after the bias, so that the tip does not come closer in between.
        assert fake.names().index("ZCtrl.SetpntSet") > fake.names().index("Bias.Set")

    meet(test)


def test_an_indentation_is_said_in_full_and_the_operators_settings_come_back():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        old = dict(fake.store["TipShaper.Props"])
        outcome = await microscope.perform(DIP)
        sent, restored = fake.values("TipShaper.PropsSet")
        assert sent["tip_lift_m"] == pytest.approx(-1e-9)
        assert sent["lift_height_m"] == pytest.approx(2e-9)
        assert sent["bias_v"] == sent["bias_lift_v"] == pytest.approx(0.02)
        assert (sent["change_bias"], sent["restore_feedback"]) == (SetSwitch.ON, SetSwitch.ON)
        assert (restored["change_bias"], restored["restore_feedback"]) == (
            SetSwitch.OFF,
            SetSwitch.ON,
        )
        assert fake.store["TipShaper.Props"] == pytest.approx(old)
        assert outcome.z_jump_m == pytest.approx(0.3e-9)

    meet(test)


def test_an_indentation_may_leave_the_feedback_off():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        outcome = await microscope.perform(DIP.model_copy(update={"restore_feedback": False}))
        assert outcome.z_before_m is not None
        assert outcome.z_jump_m is None
        assert (await microscope.state()).feedback is Feedback.HELD
        await microscope.perform(PULSE)  # closes it again
        assert (await microscope.state()).feedback is Feedback.ON

    meet(test)


def test_actions_leave_a_trace_where_there_is_a_logger():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert Capability.TRACES in microscope.capabilities
        outcome = await microscope.perform(DIP)
        assert outcome.trace is not None
        assert fake.values("TCPLog.ChsSet") == [{"channels": (CURRENT, Z)}]
        assert outcome.trace.current_a == pytest.approx(np.arange(1, 101) * 1e-12)
        assert outcome.trace.z_m == pytest.approx(-np.arange(1, 101) * 1e-12)
        assert outcome.trace.time_s[0] == 0.0
        assert np.diff(outcome.trace.time_s).min() > 0
        assert fake.names().count("TCPLog.Start") == fake.names().count("TCPLog.Stop") == 1

    meet(test, log_port=PORT + 89)


def test_a_logger_that_refuses_costs_the_trace_and_not_the_action(caplog):
    fake = Controller()
    fake.refuse = {"TCPLog.Start"}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        outcome = await microscope.perform(DIP)
        assert outcome.trace is None
        assert outcome.z_jump_m is not None
        assert "no trace of this action" in caplog.text

    meet(test, fake, query="logger_port=7000", log_port=7000)


def test_safe_tip_is_suspended_for_a_contact_and_switched_on_again():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON
        await microscope.perform(DIP)
        names = fake.names()
        first, last = [i for i, name in enumerate(names) if name == "SafeTip.OnOffSet"]
        assert first < names.index("TipShaper.Start") < last
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON

    meet(test)


def test_safe_tip_with_auto_recovery_forbids_contact():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON
        fake.store["SafeTip.Props"]["auto_recovery"] = Switch.ON
        with pytest.raises(InstrumentError, match="auto-recovery"):
            await microscope.perform(PULSE)
        assert "Bias.Pulse" not in fake.names()
        fake.store["SafeTip.Props"]["auto_recovery"] = Switch.OFF

    meet(test)


def test_the_tip_is_withdrawn_if_safe_tip_does_not_come_back():
    class Stubborn(Controller):
        stubborn = True

        async def do_safetip_onoffset(self, status: SetSwitch) -> None:
            if status is SetSwitch.OFF or not self.stubborn:
                self.store["SafeTip.OnOff"]["status"] = Switch[status.name]

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON
        with pytest.raises(OutcomeUnknown, match="the tip was withdrawn"):
            await microscope.perform(DIP)
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN
        fake.stubborn = False

    meet(test, Stubborn())


@pytest.mark.parametrize(
    ("action", "command"),
    [
        (DIP, "TipShaper.Start"),
        (PULSE, "Bias.Pulse"),
        (APPROACH, "AutoApproach.OnOffSet"),
        (CoarseMove(x_steps=1, y_steps=0, retract_steps=2), "Motor.StartMove"),
        (PULSE.model_copy(update={"z_offset_m": 1e-9}), "ZCtrl.ZPosSet"),
    ],
)
def test_an_action_whose_end_was_not_seen_is_unknown_and_sent_once(action, command):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.mute = {command}
        with pytest.raises(OutcomeUnknown, match="do not repeat"):
            await microscope.perform(action)
        sent = [v for v in fake.values(command) if v.get("status") is not Switch.OFF]
        assert len(sent) == 1

    meet(test, query="z_retract=Z-")


def test_an_action_that_did_not_leave_is_not_unknown():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.refuse = {"TipShaper.Start"}
        with pytest.raises(InstrumentError, match="refused on purpose") as caught:
            await microscope.perform(DIP)
        assert not isinstance(caught.value, OutcomeUnknown)

    meet(test)


def test_nothing_touches_the_sample_while_withdrawn():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.withdraw()
        fake.log.clear()
        for action in (PULSE, DIP):
            with pytest.raises(ContactLost, match="approach"):
                await microscope.perform(action)
        with pytest.raises(ContactLost, match="approach"):
            await whole_scan(microscope, SCAN)
        assert not {"Bias.Pulse", "TipShaper.Start", "ZCtrl.OnOffSet"} & set(fake.names())
        assert not [v for v in fake.values("Scan.Action") if v["action"] is ScanAction.START]

    meet(test)


def test_withdrawing_stops_whatever_runs_and_is_checked():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.refuse = {"Motor.StopMove"}  # no motor module
        await microscope.withdraw()
        assert fake.names() == [
            "AutoApproach.OnOffSet",
            "Motor.StopMove",
            "Scan.Action",
            "FolMe.Stop",
            "ZCtrl.Withdraw",
        ]
        fake.withdraw_works, fake.z_m = False, 0.0
        with pytest.raises(InstrumentError, match="upper end"):
            await microscope.withdraw()

    meet(test)


def test_moving_goes_at_the_speed_asked_for_and_arrives():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(MoveTo(x_m=3e-9, y_m=4e-9, speed_m_per_s=5e-9))
        assert (fake.x_m, fake.y_m) == (3e-9, 4e-9)
        used, restored = fake.values("FolMe.SpeedSet")
        assert used == {"speed_m_per_s": pytest.approx(5e-9), "custom": Switch.ON}
        assert restored == {"speed_m_per_s": pytest.approx(1e-8), "custom": Switch.OFF}

    meet(test)


def test_a_move_that_ends_elsewhere_is_an_error():
    class Stopped(Controller):
        async def do_folme_xyposset(self, x_m: float, y_m: float, wait: int) -> None:
            self.x_m = x_m / 2

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match="was it stopped"):
            await microscope.perform(MoveTo(x_m=100e-9, y_m=0, speed_m_per_s=5e-9))

    meet(test, Stopped())


def test_retuned_gains_stay():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(RetuneFeedback(p_gain_m=5e-12, time_constant_s=1e-4))
        assert fake.store["ZCtrl.Gain"]["i_gain_m_per_s"] == pytest.approx(5e-8)

    meet(test)
