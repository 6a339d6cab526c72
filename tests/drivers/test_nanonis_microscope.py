"""The Nanonis microscope against a small scripted controller, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

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
    Wait,
)
from drivers.errors import (
    ApproachFailed,
    ConfigError,
    ConnectionFailed,
    ContactLost,
    InstrumentError,
    OutcomeUnknown,
    ProtocolError,
)
from drivers.microscope import Capability, Feedback, Microscope
from drivers.nanonis import codec
from drivers.nanonis.codes import (
    Autosave,
    LoggerStatus,
    MotorDirection,
    PulseHold,
    PulseReference,
    ScanAction,
    ScanDirection,
    SetSwitch,
    SpeedLock,
    Switch,
    ZStatus,
)
from drivers.nanonis.commands import SIMULATED_PRODUCT, lookup
from drivers.nanonis.logger import LogFrame
from drivers.nanonis.microscope import NanonisMicroscope, open_nanonis
from drivers.registry import Address
from drivers.scan import Frame, Scan, ScanSettings

PORT = 6501
SIGNALS = ("Current (A)", "Bias (V)", "X (m)", "Y (m)", "Z (m)")
CURRENT, Z = 0, 4
TOP_M = 100e-9
AT = TunnellingPoint(bias_v=1.0, setpoint_a=100e-12)
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=2e-9)
PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)
APPROACH = Approach(at=AT, max_steps=20, timeout_s=60)
FRAME = Frame(x_m=5e-9, y_m=0.0, width_m=20e-9, height_m=20e-9)
SCAN = ScanSettings(frame=FRAME, pixels=16, lines=6, forward_s=0.2, backward_s=0.2, at=AT)


class Controller:
    """As much of a controller as the driver needs, with levers to make it fail."""

    def __init__(self) -> None:
        self.log: list[tuple[int, str, dict[str, Any]]] = []
        self.refuse: set[str] = set()
        self.mute: set[str] = set()
        self.version = ("Nanonis V5", "V5.4", 13742)
        self.withdraw_works = True
        self.motor_slips = 0
        self.steps_to_contact = 3
        self.stuck_status: ZStatus | None = None
        self.scan_stops_after: int | None = None
        self.logger: asyncio.StreamWriter | None = None
        self.z_m, self.current_a, self.x_m, self.y_m = 0.0, 100e-12, 0.0, 0.0
        self.status = ZStatus.ON
        self.counter = {"x": 0, "y": 0, "z": 0}
        self.approaching = False
        self.scan_task: asyncio.Task[None] | None = None
        self.pictures = np.zeros((2, 6, 16), np.float32)
        self.store: dict[str, dict[str, Any]] = {
            "Bias.": {"bias_v": 0.5},
            "ZCtrl.Setpnt": {"setpoint_a": 50e-12},
            "ZCtrl.TipLift": {"lift_m": -1e-9},
            "ZCtrl.SwitchOffDelay": {"delay_s": 0.3},
            "ZCtrl.Gain": {"p_gain_m": 1e-12, "time_constant_s": 1e-4, "i_gain_m_per_s": 1e-8},
            "ZCtrl.LimitsEnabled": {"status": Switch.OFF},
            "Piezo.Range": {"x_m": 1e-6, "y_m": 1e-6, "z_m": 2 * TOP_M},
            "SafeTip.OnOff": {"status": Switch.OFF},
            "SafeTip.Props": {
                "auto_recovery": Switch.OFF,
                "auto_pause_scan": Switch.ON,
                "threshold": 1e-9,
            },
            "FolMe.Speed": {"speed_m_per_s": 1e-8, "custom": Switch.OFF},
            "TipShaper.Props": {
                "switch_off_delay_s": 0.1,
                "change_bias": Switch.OFF,
                "bias_v": 0.0,
                "tip_lift_m": 0.0,
                "lift_time_1_s": 0.1,
                "bias_lift_v": 0.0,
                "bias_settling_s": 0.1,
                "lift_height_m": 0.0,
                "lift_time_2_s": 0.1,
                "end_wait_s": 0.1,
                "restore_feedback": Switch.ON,
            },
            "Scan.Props": {
                "continuous": Switch.ON,
                "bouncy": Switch.ON,
                "autosave": Autosave.ALL,
                "series": "night",
                "comment": "",
            },
            "Scan.Buffer": {"channels": (0, 4), "pixels": 256, "lines": 256},
            "Scan.Frame": {
                "x_m": 0.0,
                "y_m": 0.0,
                "width_m": 1e-7,
                "height_m": 1e-7,
                "angle_deg": 0.0,
            },
            "Scan.Speed": {
                "forward_m_per_s": 1e-7,
                "backward_m_per_s": 1e-7,
                "forward_s": 1.0,
                "backward_s": 1.0,
                "keep": SpeedLock.LINEAR_SPEED,
                "ratio": 1.0,
            },
        }

    def names(self) -> list[str]:
        """The commands that do something, in order."""
        return [name for _, name, _ in self.log if not name.endswith(("Get", "Grab"))]

    def values(self, name: str) -> list[dict[str, Any]]:
        return [values for _, found, values in self.log if found == name]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1] - PORT
        try:
            while True:
                header = codec.Header.decode(await reader.readexactly(codec.HEADER_SIZE))
                body = await reader.readexactly(header.size)
                writer.write(await self.answer(port, header.name, body))
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.logger = writer
        await reader.read()
        writer.close()

    async def answer(self, port: int, name: str, body: bytes) -> bytes:
        try:
            layout = lookup(name, self.version[2])
        except ProtocolError:
            return codec.encode_error(name, "unknown command")
        values = codec.decode_request(layout, body)
        self.log.append((port, name, values))
        if name in self.mute:
            await asyncio.sleep(10_000)
        if name in self.refuse:
            return codec.encode_error(name, "refused on purpose", layout.reply)
        special = getattr(self, "do_" + name.replace(".", "_").lower(), None)
        found = await special(**values) if special else self.plain(name, values)
        return codec.encode_reply(layout, found or {})

    def plain(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        group, verb = name[:-3], name[-3:]
        if verb == "Get" and group in self.store:
            return self.store[group]
        if verb == "Set" and group in self.store:
            old = self.store[group]
            for key, value in values.items():
                if hasattr(value, "name") and key in old:
                    if value.name == "KEEP":
                        continue
                    value = type(old[key])[value.name]
                old[key] = value
        return {}

    async def do_util_versionget(self) -> dict[str, Any]:
        product, version, release = self.version
        return {
            "product_line": product,
            "version": version,
            "host_release": release,
            "engine_release": release,
        }

    async def do_signals_namesget(self) -> dict[str, Any]:
        return {"names": SIGNALS}

    async def do_signals_valsget(self, indexes: tuple, wait_newest: int) -> dict[str, Any]:
        await asyncio.sleep(0.02)
        bias_v = self.store["Bias."]["bias_v"]
        known = (self.current_a, bias_v, self.x_m, self.y_m, self.z_m)
        return {"values": tuple(known[i] for i in indexes)}

    async def do_zctrl_statusget(self) -> dict[str, Any]:
        return {"status": self.stuck_status or self.status}

    async def do_zctrl_onoffset(self, status: Switch) -> None:
        self.status = ZStatus.ON if status else ZStatus.OFF
        if status:
            self.z_m = min(self.z_m, 0.0)

    async def do_zctrl_zposset(self, z_m: float) -> None:
        self.z_m = z_m

    async def do_zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
        self.status = ZStatus.OFF
        if self.withdraw_works:
            self.z_m, self.current_a = TOP_M, 0.0

    async def do_bias_pulse(self, **values: Any) -> None:
        await asyncio.sleep(values["width_s"])
        self.z_m += 0.2e-9

    async def do_tipshaper_start(self, wait: int, timeout_ms: int) -> None:
        await asyncio.sleep(0.5)
        if self.logger is not None:
            frames = [LogFrame(0, 4, 20.0, (0.0, 4.0))]
            frames += [LogFrame(i, 4, 20.0, (i * 1e-12, -i * 1e-12)) for i in range(1, 101)]
            self.logger.write(b"".join(frame.encode() for frame in frames))
        self.z_m += 0.3e-9
        if self.store["TipShaper.Props"]["restore_feedback"] is Switch.OFF:
            self.status = ZStatus.OFF

    async def do_folme_xyposset(self, x_m: float, y_m: float, wait: int) -> None:
        await asyncio.sleep(1)
        self.x_m, self.y_m = x_m, y_m

    async def do_folme_xyposget(self, wait_newest: int) -> dict[str, Any]:
        return {"x_m": self.x_m, "y_m": self.y_m}

    async def do_motor_startmove(
        self, direction: MotorDirection, steps: int, group: int, wait: int
    ) -> None:
        await asyncio.sleep(0.01 * steps)
        sign = 1 if direction.name.endswith("PLUS") else -1
        self.counter[direction.name[0].lower()] += sign * (steps - self.motor_slips)

    async def do_motor_stepcounterget(self, **resets: int) -> dict[str, Any]:
        return dict(self.counter)

    async def do_autoapproach_onoffset(self, status: Switch) -> None:
        self.approaching = status is Switch.ON

    async def do_autoapproach_onoffget(self) -> dict[str, Any]:
        if self.approaching:
            self.counter["z"] -= 1
            self.steps_to_contact -= 1
            if self.steps_to_contact == 0:
                self.approaching, self.status = False, ZStatus.ON
                self.z_m, self.current_a = 0.0, self.store["ZCtrl.Setpnt"]["setpoint_a"]
        return {"status": Switch(self.approaching)}

    async def do_tcplog_statusget(self) -> dict[str, Any]:
        return {"status": LoggerStatus.IDLE}

    async def do_scan_statusget(self) -> dict[str, Any]:
        return {"status": Switch(self.scan_task is not None and not self.scan_task.done())}

    async def do_scan_action(self, action: ScanAction, direction: ScanDirection) -> None:
        if self.scan_task is not None:
            self.scan_task.cancel()
        if action is ScanAction.START:
            self.scan_task = asyncio.create_task(self.scan(direction))

    async def scan(self, direction: ScanDirection) -> None:
        speed, buffer = self.store["Scan.Speed"], self.store["Scan.Buffer"]
        rows = range(buffer["lines"])
        for done, row in enumerate(rows if direction is ScanDirection.DOWN else rows[::-1]):
            if done == self.scan_stops_after:
                return
            for sweep, seconds in ((1, speed["forward_s"]), (0, speed["backward_s"])):
                await asyncio.sleep(seconds)
                self.pictures[sweep, row] = 10 * sweep + row + np.arange(16) / 16

    async def do_scan_framedatagrab(self, channel: int, sweep: int) -> dict[str, Any]:
        return {"name": "Z (m)", "data": self.pictures[sweep], "direction": ScanDirection.DOWN}


Test = Callable[[NanonisMicroscope, Controller], Awaitable[None]]


@pytest.fixture
def meet(run_virtual):
    """Run ``test(microscope, controller)`` in virtual time."""

    def run(test: Test, controller: Controller | None = None, *, query: str = "", log: int = 0):
        async def main() -> None:
            fake = controller or Controller()
            listeners = [
                await asyncio.start_server(fake.serve, "127.0.0.1", PORT + i) for i in range(3)
            ]
            if log:
                listeners.append(await asyncio.start_server(fake.stream, "127.0.0.1", log))
            try:
                address = Address.parse(f"nanonis://127.0.0.1:{PORT}?{query}")
                microscope = await open_nanonis(address)
                try:
                    await test(microscope, fake)
                finally:
                    fake.mute.clear()
                    fake.refuse.clear()
                    await microscope.close()
            finally:
                for listener in listeners:
                    listener.close()
                if fake.scan_task is not None:
                    fake.scan_task.cancel()
                await asyncio.sleep(20_000)

        run_virtual(main)

    return run


def test_it_is_a_microscope_and_says_what_it_can_do(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert isinstance(microscope, Microscope)
        assert microscope.name == "Nanonis V5 V5.4 at 127.0.0.1:6501"
        assert microscope.capabilities == {
            Capability.SCAN,
            Capability.PULSE,
            Capability.INDENT,
            Capability.COARSE,
            Capability.SAFE_TIP,
        }

    meet(test, query="z_retract=Z-")


def test_modules_that_are_not_open_are_no_capabilities(meet):
    fake = Controller()
    fake.refuse = {"TipShaper.PropsGet", "SafeTip.OnOffGet"}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert microscope.capabilities == {Capability.SCAN, Capability.PULSE}

    meet(test, fake)


def test_the_state_is_read_and_nothing_is_written(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        state = await microscope.state()
        assert state.bias_v == pytest.approx(-0.5)  # the sign of this rig
        assert state.setpoint_a == pytest.approx(50e-12)
        assert state.current_a == pytest.approx(100e-12)
        assert state.range_m == pytest.approx((1e-6, 1e-6, 2e-7))
        assert (state.feedback, state.scanning) == (Feedback.ON, False)
        assert fake.names() == []

    meet(test, query="bias_sign=-1")


@pytest.mark.parametrize(
    ("status", "z_m", "feedback"),
    [
        (ZStatus.OFF, 0.0, Feedback.HELD),
        (ZStatus.HOLD, 0.0, Feedback.HELD),
        (ZStatus.OFF, TOP_M, Feedback.WITHDRAWN),
        (ZStatus.SAFE_TIP, TOP_M, Feedback.WITHDRAWN),
        (ZStatus.WITHDRAWING, 0.0, Feedback.WITHDRAWN),
        (ZStatus.SWITCHING_OFF, 0.0, Feedback.ON),
    ],
)
def test_what_the_z_controller_does_is_recognised(meet, status, z_m, feedback):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.status, fake.z_m = status, z_m
        assert (await microscope.state()).feedback is feedback

    meet(test)


def test_an_old_controller_that_does_not_know_its_version_is_spoken_to_in_the_oldest_layouts(meet):
    fake = Controller()
    fake.version = ("", "", 10862)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert microscope.name == "Nanonis at 127.0.0.1:6501"
        await Scan_of(microscope)

    meet(test, fake)


async def Scan_of(microscope: NanonisMicroscope, settings: ScanSettings = SCAN) -> Scan:  # noqa: N802
    return Scan.from_lines(settings, [line async for line in microscope.scan(settings)])


def test_the_simulated_controller_brings_its_time_scale(meet):
    fake = Controller()
    fake.version = (SIMULATED_PRODUCT, "0.1.0 time_scale=100", 13742)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert microscope.clock.scale == 100
        before = asyncio.get_running_loop().time()
        await microscope.perform(Wait(seconds=10))
        assert asyncio.get_running_loop().time() - before == pytest.approx(0.1)

    meet(test, fake, query="time_scale=100")


@pytest.mark.parametrize("product", [SIMULATED_PRODUCT, "Nanonis V5"])
def test_a_time_scale_that_is_not_the_controllers_is_refused(meet, product):
    fake = Controller()
    fake.version = (product, "0.1.0 time_scale=100", 13742)
    with pytest.raises(ConfigError, match="time_scale=10 "):
        meet(lambda *_: asyncio.sleep(0), fake, query="time_scale=10")


def test_a_controller_without_the_signals_of_an_stm_is_refused(meet):
    class Afm(Controller):
        async def do_signals_namesget(self) -> dict[str, Any]:
            return {"names": ("Phase (deg)",)}

    with pytest.raises(ConnectionFailed, match="Current"):
        meet(lambda *_: asyncio.sleep(0), Afm())


def test_a_pulse_is_said_in_full_and_compared(meet):
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


def test_a_relative_pulse_with_the_feedback_on(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        action = PULSE.model_copy(update={"feedback": "on", "reference": "relative"})
        await microscope.perform(action)
        (sent,) = fake.values("Bias.Pulse")
        assert (sent["hold"], sent["reference"]) == (PulseHold.RELEASE, PulseReference.RELATIVE)

    meet(test)


def test_a_lifted_pulse_holds_the_tip_first_and_lets_it_go_again(meet):
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


def test_the_bias_never_goes_through_zero_with_the_feedback_closed(meet):
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


def test_a_bias_of_the_same_sign_is_ramped_with_the_feedback_on(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(PULSE)
        assert [v["bias_v"] for v in fake.values("Bias.Set")] == pytest.approx(
            np.arange(0.55, 1.04, 0.05)
        )
        assert "ZCtrl.OnOffSet" not in fake.names()
        # The setpoint is raised after the bias, so that the tip does not come closer in between.
        assert fake.names().index("ZCtrl.SetpntSet") > fake.names().index("Bias.Set")

    meet(test)


def test_an_indentation_is_said_in_full_and_the_operators_settings_come_back(meet):
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


def test_an_indentation_may_leave_the_feedback_off(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        outcome = await microscope.perform(DIP.model_copy(update={"restore_feedback": False}))
        assert outcome.z_before_m is not None
        assert outcome.z_jump_m is None
        assert (await microscope.state()).feedback is Feedback.HELD
        await microscope.perform(PULSE)  # closes it again
        assert (await microscope.state()).feedback is Feedback.ON

    meet(test)


def test_actions_leave_a_trace_where_there_is_a_logger(meet):
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

    meet(test, log=PORT + 89)


def test_a_logger_that_refuses_costs_the_trace_and_not_the_action(meet, caplog):
    fake = Controller()
    fake.refuse = {"TCPLog.Start"}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        outcome = await microscope.perform(DIP)
        assert outcome.trace is None
        assert outcome.z_jump_m is not None
        assert "no trace of this action" in caplog.text

    meet(test, fake, query="logger_port=7000", log=7000)


def test_safe_tip_is_suspended_for_a_contact_and_switched_on_again(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON
        await microscope.perform(DIP)
        names = fake.names()
        first, last = [i for i, name in enumerate(names) if name == "SafeTip.OnOffSet"]
        assert first < names.index("TipShaper.Start") < last
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON

    meet(test)


def test_safe_tip_with_auto_recovery_forbids_contact(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON
        fake.store["SafeTip.Props"]["auto_recovery"] = Switch.ON
        with pytest.raises(InstrumentError, match="auto-recovery"):
            await microscope.perform(PULSE)
        assert "Bias.Pulse" not in fake.names()
        fake.store["SafeTip.Props"]["auto_recovery"] = Switch.OFF

    meet(test)


def test_the_tip_is_withdrawn_if_safe_tip_does_not_come_back(meet):
    class Stubborn(Controller):
        async def do_safetip_onoffset(self, status: SetSwitch) -> None:
            if status is SetSwitch.OFF:
                self.store["SafeTip.OnOff"]["status"] = Switch.OFF

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON
        with pytest.raises(OutcomeUnknown, match="the tip was withdrawn"):
            await microscope.perform(DIP)
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN

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
def test_an_action_whose_end_was_not_seen_is_unknown_and_sent_once(meet, action, command):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.mute = {command}
        with pytest.raises(OutcomeUnknown, match="do not repeat"):
            await microscope.perform(action)
        sent = [v for v in fake.values(command) if v.get("status") is not Switch.OFF]
        assert len(sent) == 1

    meet(test, query="z_retract=Z-")


def test_an_action_that_did_not_leave_is_not_unknown(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.refuse = {"TipShaper.Start"}
        with pytest.raises(InstrumentError, match="refused on purpose") as caught:
            await microscope.perform(DIP)
        assert not isinstance(caught.value, OutcomeUnknown)

    meet(test)


def test_nothing_touches_the_sample_while_withdrawn(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.withdraw()
        fake.log.clear()
        for action in (PULSE, DIP):
            with pytest.raises(ContactLost, match="approach"):
                await microscope.perform(action)
        with pytest.raises(ContactLost, match="approach"):
            await Scan_of(microscope)
        assert not {"Bias.Pulse", "TipShaper.Start", "ZCtrl.OnOffSet"} & set(fake.names())
        assert not [v for v in fake.values("Scan.Action") if v["action"] is ScanAction.START]

    meet(test)


def test_withdrawing_stops_whatever_runs_and_is_checked(meet):
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


def test_moving_goes_at_the_speed_asked_for_and_arrives(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(MoveTo(x_m=3e-9, y_m=4e-9, speed_m_per_s=5e-9))
        assert (fake.x_m, fake.y_m) == (3e-9, 4e-9)
        used, restored = fake.values("FolMe.SpeedSet")
        assert used == {"speed_m_per_s": pytest.approx(5e-9), "custom": Switch.ON}
        assert restored == {"speed_m_per_s": pytest.approx(1e-8), "custom": Switch.OFF}

    meet(test)


def test_a_move_that_ends_elsewhere_is_an_error(meet):
    class Stopped(Controller):
        async def do_folme_xyposset(self, x_m: float, y_m: float, wait: int) -> None:
            self.x_m = x_m / 2

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match="was it stopped"):
            await microscope.perform(MoveTo(x_m=100e-9, y_m=0, speed_m_per_s=5e-9))

    meet(test, Stopped())


def test_retuned_gains_stay(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(RetuneFeedback(p_gain_m=5e-12, time_constant_s=1e-4))
        assert fake.store["ZCtrl.Gain"]["i_gain_m_per_s"] == pytest.approx(5e-8)

    meet(test)


def test_coarse_motion_retracts_and_checks_before_it_goes_sideways(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(CoarseMove(x_steps=-60, y_steps=7, retract_steps=40))
        moves = [(v["direction"], v["steps"]) for v in fake.values("Motor.StartMove")]
        retract = [steps for direction, steps in moves if direction is MotorDirection.Z_MINUS]
        assert retract == [1, 2, 4, 8, 16, 9]
        assert moves[len(retract) :] == [
            (MotorDirection.X_MINUS, 50),
            (MotorDirection.X_MINUS, 10),
            (MotorDirection.Y_PLUS, 7),
        ]
        assert fake.counter == {"x": -60, "y": 7, "z": -40}
        assert fake.names().index("ZCtrl.Withdraw") < fake.names().index("Motor.StartMove")
        assert (await microscope.state()).retracted_steps == 40

    meet(test, query="z_retract=Z-")


def test_coarse_motion_needs_to_know_the_direction_away_from_the_sample(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert Capability.COARSE not in microscope.capabilities
        with pytest.raises(ConfigError, match="z_retract"):
            await microscope.perform(CoarseMove(x_steps=1, y_steps=0, retract_steps=20))
        assert "Motor.StartMove" not in fake.names()

    meet(test)


def test_a_motor_that_slips_does_not_go_sideways(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.motor_slips = 1
        with pytest.raises(OutcomeUnknown, match="counted"):
            await microscope.perform(CoarseMove(x_steps=5, y_steps=0, retract_steps=20))
        assert fake.counter["x"] == 0
        assert fake.names()[-1] == "Motor.StopMove"
        assert (await microscope.state()).retracted_steps == 0

    meet(test, query="z_retract=Z%2B")


def test_a_current_that_does_not_vanish_forbids_coarse_motion(meet):
    class InContact(Controller):
        async def do_zctrl_withdraw(self, wait: int, timeout_ms: int) -> None:
            self.status, self.z_m = ZStatus.OFF, TOP_M

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match="100 pA"):
            await microscope.perform(CoarseMove(x_steps=5, y_steps=0, retract_steps=20))
        assert "Motor.StartMove" not in fake.names()

    meet(test, InContact(), query="z_retract=Z-")


def test_an_approach_ends_in_contact(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(CoarseMove(x_steps=1, y_steps=0, retract_steps=4))
        await microscope.perform(APPROACH)
        state = await microscope.state()
        assert (state.feedback, state.retracted_steps) == (Feedback.ON, 0)
        assert state.setpoint_a == pytest.approx(100e-12)
        assert state.bias_v == pytest.approx(1.0)

    meet(test, query="z_retract=Z-")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"max_steps": 5}, "5 coarse steps"), ({"timeout_s": 1.0, "max_steps": 5000}, "within 1 s")],
)
def test_an_approach_without_contact_is_stopped_and_withdrawn(meet, change, complaint):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.withdraw()
        fake.steps_to_contact = 10**6
        with pytest.raises(ApproachFailed, match=complaint):
            await microscope.perform(APPROACH.model_copy(update=change))
        assert not fake.approaching
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN

    meet(test)


def test_an_approach_nobody_waits_for_any_more_is_stopped(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.steps_to_contact = 10**6
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(microscope.perform(APPROACH), 2.0)
        assert not fake.approaching
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN

    meet(test)


def test_an_approach_that_ends_without_current_has_failed(meet):
    class Nothing(Controller):
        async def do_autoapproach_onoffget(self) -> dict[str, Any]:
            self.current_a = 0.0
            return {"status": Switch.OFF}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(ApproachFailed, match="without tunnelling contact"):
            await microscope.perform(APPROACH)

    meet(test, Nothing())


def test_a_tip_that_keeps_drifting_has_not_settled(meet):
    class Drifting(Controller):
        async def do_signals_valsget(self, indexes: tuple, wait_newest: int) -> dict[str, Any]:
            if self.status is ZStatus.ON:
                self.z_m = asyncio.get_running_loop().time() * 50e-12
            return await super().do_signals_valsget(indexes, wait_newest)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(ApproachFailed, match="50 pm/s"):
            await microscope.perform(APPROACH.model_copy(update={"settle_timeout_s": 20.0}))
        assert (await microscope.state()).feedback is Feedback.WITHDRAWN

    meet(test, Drifting())


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_scan_comes_line_by_line(meet, direction):
    settings = SCAN.model_copy(update={"direction": direction})

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        lines = [line async for line in microscope.scan(settings)]
        assert [line.index for line in lines] == [0, 1, 2, 3, 4, 5]
        assert [line.row for line in lines] == [settings.row_of(i) for i in range(6)]
        times = np.array([line.time_s for line in lines])
        assert np.diff(times) == pytest.approx(0.4, abs=0.1)
        for line in lines:
            assert line.forward_m == pytest.approx(10 + line.row + np.arange(16) / 16)
            assert line.backward_m == pytest.approx(line.row + np.arange(16) / 16)
            assert line.forward_m.dtype == np.float32
            assert line.forward_m.dtype.isnative

    meet(test)


def test_a_second_scan_does_not_yield_the_rows_of_the_first(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.pictures += 3.0  # the controller still has the last picture
        lines = [line async for line in microscope.scan(SCAN)]
        assert lines[0].forward_m[0] == 10.0
        assert lines[1].time_s - lines[0].time_s == pytest.approx(0.4, abs=0.1)

    meet(test)


def test_a_rig_that_stores_the_way_back_in_its_own_order(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        line = [line async for line in microscope.scan(SCAN)][2]
        assert line.backward_m == pytest.approx(2 + np.arange(16)[::-1] / 16)

    meet(test, query="flip_backward=true")


def test_a_scan_is_set_up_in_full_and_everything_comes_back_at_the_end(meet):
    fake = Controller()
    before = {group: dict(values) for group, values in fake.store.items()}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await Scan_of(microscope)
        assert fake.store["Scan.Props"] == {
            "continuous": Switch.OFF,
            "bouncy": Switch.OFF,
            "autosave": Autosave.ALL,
            "series": "night",
            "comment": "",
            "modules": (),
        }
        assert fake.store["Scan.Buffer"] == {"channels": (Z,), "pixels": 16, "lines": 6}
        assert fake.store["Scan.Frame"]["width_m"] == pytest.approx(20e-9)
        speed = fake.store["Scan.Speed"]
        assert speed["forward_m_per_s"] == pytest.approx(100e-9)
        assert (speed["forward_s"], speed["keep"]) == (
            pytest.approx(0.2),
            SpeedLock.TIME_PER_LINE,
        )

    meet(test, fake)
    del fake.store["Scan.Props"]["modules"]
    for group, values in before.items():
        for name, value in values.items():
            found = fake.store[group][name]
            assert found == (pytest.approx(value) if isinstance(value, float) else value)


def test_the_working_point_of_a_withdrawn_tip_is_left_alone(meet):
    fake = Controller()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await Scan_of(microscope)
        await microscope.withdraw()
        fake.log.clear()

    meet(test, fake)
    assert "Bias.Set" not in fake.names()
    assert fake.store["Bias."]["bias_v"] == pytest.approx(1.0)
    assert fake.store["Scan.Frame"]["width_m"] == pytest.approx(1e-7)


def test_a_scan_nobody_listens_to_is_stopped(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        lines = microscope.scan(SCAN)
        await anext(lines)
        await lines.aclose()
        assert fake.values("Scan.Action")[-1]["action"] is ScanAction.STOP
        assert not (await microscope.state()).scanning

    meet(test)


def test_a_scan_that_somebody_stops_is_an_error(meet):
    fake = Controller()
    fake.scan_stops_after = 2
    fake.pictures += 3.0

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        lines = []
        with pytest.raises(InstrumentError, match="after 2 of 6 lines"):
            async for line in microscope.scan(SCAN):
                lines.append(line)  # noqa: PERF401
        assert len(lines) == 2

    meet(test, fake)


def test_a_scan_that_stalls_is_an_error_and_is_stopped(meet):
    class Stalling(Controller):
        async def scan(self, direction: ScanDirection) -> None:
            await asyncio.sleep(1000)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match="no line of the scan"):
            await Scan_of(microscope)
        assert fake.values("Scan.Action")[-1]["action"] is ScanAction.STOP

    meet(test, Stalling())


def test_nothing_is_done_while_somebody_else_scans(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.scan_task = asyncio.create_task(asyncio.sleep(100))
        with pytest.raises(InstrumentError, match="a scan is running"):
            await microscope.perform(PULSE)
        with pytest.raises(InstrumentError, match="a scan is running"):
            await Scan_of(microscope)
        assert fake.names() == []

    meet(test)


def test_settings_that_are_not_taken_over_are_errors(meet):
    class Coercing(Controller):
        async def do_scan_bufferset(self, channels: tuple, pixels: int, lines: int) -> None:
            self.store["Scan.Buffer"] = {"channels": channels, "pixels": 256, "lines": lines}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match=r"pixels = 16 .* kept 256"):
            await Scan_of(microscope)

    meet(test, Coercing())


def test_the_port_kept_for_the_emergency_stop_is_never_opened(meet):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(DIP)
        await Scan_of(microscope)
        assert {port for port, _, _ in fake.log} == {0, 1, 2}

    meet(test)
