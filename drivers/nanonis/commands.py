"""The commands of the Nanonis protocol, as data.

One entry a command: its name, the arguments, the return values. A field reads ``name:type``, then
``=Codes`` if only the codes of that enumeration may stand there, then ``@since..until`` if not
every release has it: from release ``since`` on, before release ``until``. Strings and arrays carry
their own counts, so the counts that the manufacturer's tables list beside them are no fields here.

Layouts follow the releases 10862, 13742 and 14718 and the changes known in between (11798, 14429,
14573). A controller of any other release gets the newest layouts that are not newer than itself;
one older than 10862 gets those of 10862.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from drivers.errors import ProtocolError
from drivers.nanonis import codes
from drivers.nanonis.codec import Layout
from drivers.nanonis.wire import Field, Record

#: Releases whose layouts are documented, oldest first; the oldest is assumed of a controller that
#: does not know ``Util.VersionGet``.
RELEASES = (10862, 13742, 14718)
#: What the simulated controller answers as its product line.
SIMULATED_PRODUCT = "tipsmith simulated STM"

_PROPS = (
    "switch_off_delay_s:f32 change_bias:u32={0}Switch bias_v:f32 tip_lift_m:f32 lift_time_1_s:f32 "
    "bias_lift_v:f32 bias_settling_s:f32 lift_height_m:f32 lift_time_2_s:f32 end_wait_s:f32 "
    "restore_feedback:u32={0}Switch"
)
_SPEED = (
    "forward_m_per_s:f32 backward_m_per_s:f32 forward_s:f32 backward_s:f32 "
    "keep:u16={0}SpeedLock ratio:f32"
)
_FRAME = "x_m:f32 y_m:f32 width_m:f32 height_m:f32 angle_deg:f32"
_POINT_AND_SHOOT = "auto_resume:u32 own_name:u32 basename:str vi_path:str delay_s:f32"
_XYZ_LIMITS = "x_low_v:f32 x_high_v:f32 y_low_v:f32 y_high_v:f32 z_low_v:f32 z_high_v:f32"


@dataclass(frozen=True, slots=True)
class Command:
    """A command over all releases.

    Attributes:
        name: as on the wire.
        request: the arguments, in the notation of this module.
        reply: the return values, likewise.
        since: first release that knows the command.
    """

    name: str
    request: str = ""
    reply: str = ""
    since: int = 0


_TABLE = (
    Command("Bias.Set", "bias_v:f32"),
    Command("Bias.Get", "", "bias_v:f32"),
    Command(
        "Bias.Pulse",
        "wait:u32 width_s:f32 bias_v:f32 hold:u16=PulseHold reference:u16=PulseReference",
    ),
    Command("Bias.RangeSet", "index:u16"),
    Command("Bias.RangeGet", "", "ranges:str[] index:u16"),
    Command("Bias.CalibrSet", "calibration:f32 offset:f32"),
    Command("Bias.CalibrGet", "", "calibration:f32 offset:f32"),
    Command("Current.Get", "", "current_a:f32"),
    Command("Current.100Get", "", "current_a:f32"),
    Command("Current.GainSet", "gain:u16@..13742 gain:i32@13742.. filter:i32@13742.."),
    Command(
        "Current.GainsGet",
        "",
        "gains:str[] gain:u16@..13742 gain:i32@13742.. filters:str[]@13742.. filter:i32@13742..",
    ),
    Command("Current.CalibrSet", "gain:i32@13742.. calibration:f64 offset:f64"),
    Command("Current.CalibrGet", "gain:i32@13742..", "calibration:f64 offset:f64"),
    Command("ZCtrl.ZPosSet", "z_m:f32"),
    Command("ZCtrl.ZPosGet", "", "z_m:f32"),
    Command("ZCtrl.OnOffSet", "status:u32=Switch"),
    Command("ZCtrl.OnOffGet", "", "status:u32=Switch"),
    Command("ZCtrl.SetpntSet", "setpoint_a:f32"),
    Command("ZCtrl.SetpntGet", "", "setpoint_a:f32"),
    Command("ZCtrl.GainSet", "p_gain_m:f32 time_constant_s:f32 i_gain_m_per_s:f32"),
    Command("ZCtrl.GainGet", "", "p_gain_m:f32 time_constant_s:f32 i_gain_m_per_s:f32"),
    Command("ZCtrl.SwitchOffDelaySet", "delay_s:f32"),
    Command("ZCtrl.SwitchOffDelayGet", "", "delay_s:f32"),
    Command("ZCtrl.TipLiftSet", "lift_m:f32"),
    Command("ZCtrl.TipLiftGet", "", "lift_m:f32"),
    Command("ZCtrl.Home"),
    Command("ZCtrl.HomePropsSet", "mode:u16=SetHome home_m:f32"),
    Command("ZCtrl.HomePropsGet", "", "mode:u16=Home home_m:f32"),
    Command("ZCtrl.ActiveCtrlSet", "index:i32"),
    Command("ZCtrl.CtrlListGet", "", "controllers:str[] index:i32"),
    Command("ZCtrl.Withdraw", "wait:u32 timeout_ms:i32"),
    Command("ZCtrl.WithdrawRateSet", "rate_m_per_s:f32"),
    Command("ZCtrl.WithdrawRateGet", "", "rate_m_per_s:f32"),
    Command("ZCtrl.LimitsEnabledSet", "status:u32=Switch"),
    Command("ZCtrl.LimitsEnabledGet", "", "status:u32=Switch"),
    Command("ZCtrl.LimitsSet", "high_m:f32 low_m:f32"),
    Command("ZCtrl.LimitsGet", "", "high_m:f32 low_m:f32"),
    Command("ZCtrl.StatusGet", "", "status:u16=ZStatus"),
    Command("SafeTip.OnOffSet", "status:u16=SetSwitch"),
    Command("SafeTip.OnOffGet", "", "status:u16=Switch"),
    Command("SafeTip.SignalGet", "", "signal:f32"),
    Command(
        "SafeTip.PropsSet", "auto_recovery:u16=Switch auto_pause_scan:u16=Switch threshold:f32"
    ),
    Command(
        "SafeTip.PropsGet", "", "auto_recovery:u16=Switch auto_pause_scan:u16=Switch threshold:f32"
    ),
    Command("AutoApproach.Open"),
    Command("AutoApproach.OnOffSet", "status:u16=Switch"),
    Command("AutoApproach.OnOffGet", "", "status:u16=Switch"),
    Command("TipShaper.Start", "wait:u32 timeout_ms:i32"),
    Command("TipShaper.PropsSet", _PROPS.format("Set")),
    Command("TipShaper.PropsGet", "", _PROPS.format("")),
    Command("Motor.StartMove", "direction:u32=MotorDirection steps:u16 group:u32 wait:u32"),
    Command(
        "Motor.StartClosedLoop",
        "mode:u32 x_m:f64 y_m:f64 z_m:f64 wait:u32 group:u32@13742..",
    ),
    Command("Motor.StopMove"),
    Command("Motor.PosGet", "group:u32@13742.. timeout_ms:u32@13742..", "x_m:f64 y_m:f64 z_m:f64"),
    Command("Motor.StepCounterGet", "reset_x:u32 reset_y:u32 reset_z:u32", "x:i32 y:i32 z:i32"),
    Command("Motor.FreqAmpGet", "axis:u16@13742..", "frequency_hz:f32 amplitude_v:f32"),
    Command("Motor.FreqAmpSet", "frequency_hz:f32 amplitude_v:f32 axis:u16"),
    Command("Scan.Action", "action:u16=ScanAction direction:u32=ScanDirection"),
    Command("Scan.StatusGet", "", "status:u32=Switch"),
    Command("Scan.WaitEndOfScan", "timeout_ms:i32", "timed_out:u32 path:str"),
    Command(
        "Scan.WaitEndOfLine",
        "timeout_ms:i32",
        "timed_out:u32 line:i32 movement:u16 pass_number:i32",
        since=13742,
    ),
    Command("Scan.FrameSet", _FRAME),
    Command("Scan.FrameGet", "", _FRAME),
    Command("Scan.BufferSet", "channels:i32[] pixels:i32 lines:i32"),
    Command("Scan.BufferGet", "", "channels:i32[] pixels:i32 lines:i32"),
    Command(
        "Scan.PropsSet",
        "continuous:u32=SetSwitch bouncy:u32=SetSwitch autosave:u32=SetAutosave series:str "
        "comment:str modules:str[]@13742.. autopaste:u32=SetAutopaste@14573..",
    ),
    Command(
        "Scan.PropsGet",
        "",
        "continuous:u32=Switch bouncy:u32=Switch autosave:u32=Autosave series:str comment:str "
        "modules:str[]@14429.. parameter_counts:i32[]@14429.. parameters:str[][]@14429.. "
        "autopaste:u32=Autopaste@14573..",
    ),
    Command("Scan.SpeedSet", _SPEED.format("Set")),
    Command("Scan.SpeedGet", "", _SPEED.format("")),
    Command(
        "Scan.FrameDataGrab",
        "channel:u32 sweep:u32=Sweep",
        "name:str data:f32[][] direction:u32=ScanDirection",
    ),
    Command("Scan.XYPosGet", "wait_newest:u32", "x_m:f32 y_m:f32", since=13742),
    Command("Scan.Save", "wait:u32 timeout_ms:i32", "timed_out:u32", since=13742),
    Command("Scan.BackgroundPaste", "wait:u32 timeout_ms:i32", "timed_out:u32", since=13742),
    Command(
        "Scan.BackgroundDelete", "wait:u32 timeout_ms:i32 which:u32", "timed_out:u32", since=13742
    ),
    Command("FolMe.XYPosSet", "x_m:f64 y_m:f64 wait:u32"),
    Command("FolMe.XYPosGet", "wait_newest:u32", "x_m:f64 y_m:f64"),
    Command("FolMe.SpeedSet", "speed_m_per_s:f32 custom:u32=Switch"),
    Command("FolMe.SpeedGet", "", "speed_m_per_s:f32 custom:u32=Switch"),
    Command("FolMe.OversamplSet", "oversampling:i32"),
    Command("FolMe.OversamplGet", "", "oversampling:i32 rate_hz:f32"),
    Command("FolMe.Stop"),
    Command("FolMe.PSOnOffGet", "", "status:u32"),
    Command("FolMe.PSOnOffSet", "status:u32"),
    Command("FolMe.PSExpGet", "", "index:u16 experiments:str[]"),
    Command("FolMe.PSExpSet", "index:u16"),
    Command("FolMe.PSPropsGet", "", _POINT_AND_SHOOT),
    Command("FolMe.PSPropsSet", _POINT_AND_SHOOT),
    Command("Piezo.RangeSet", "x_m:f32 y_m:f32 z_m:f32"),
    Command("Piezo.RangeGet", "", "x_m:f32 y_m:f32 z_m:f32"),
    Command("Piezo.SensSet", "x_m_per_v:f32 y_m_per_v:f32 z_m_per_v:f32"),
    Command("Piezo.SensGet", "", "x_m_per_v:f32 y_m_per_v:f32 z_m_per_v:f32"),
    Command("Piezo.CalibrGet", "", "x_m_per_v:f32 y_m_per_v:f32 z_m_per_v:f32"),
    Command("Piezo.TiltSet", "x_deg:f32 y_deg:f32"),
    Command("Piezo.TiltGet", "", "x_deg:f32 y_deg:f32"),
    Command(
        "Piezo.DriftCompSet",
        "status:i32=SetSwitch vx_m_per_s:f32 vy_m_per_s:f32 vz_m_per_s:f32 "
        "saturation_percent:f32@11798..",
    ),
    Command(
        "Piezo.DriftCompGet",
        "",
        "status:u32=Switch vx_m_per_s:f32 vy_m_per_s:f32 vz_m_per_s:f32 x_saturated:u32 "
        "y_saturated:u32 z_saturated:u32 saturation_percent:f32@11798..",
    ),
    Command("Piezo.XYZLimitsSet", "enabled:u16=SetSwitch " + _XYZ_LIMITS, since=14718),
    Command("Piezo.XYZLimitsGet", "", "enabled:u16=Switch " + _XYZ_LIMITS, since=14718),
    Command(
        "Piezo.HVAInfoGet",
        "",
        "gain_aux:f32 gain_x:f32 gain_y:f32 gain_z:f32 "
        "xy_enabled:u32 z_enabled:u32 aux_enabled:u32",
    ),
    Command("Piezo.HVAStatusLEDGet", "", "overheated:u32 supply:u32 hot:u32 output:u32"),
    Command("Signals.NamesGet", "", "names:str[]"),
    Command("Signals.ValGet", "index:i32 wait_newest:u32", "value:f32"),
    Command("Signals.ValsGet", "indexes:i32[] wait_newest:u32", "values:f32[]"),
    Command("Signals.RangeGet", "index:i32", "maximum:f32 minimum:f32"),
    Command("Signals.CalibrGet", "index:i32", "per_volt:f32 offset:f32"),
    Command("Signals.MeasNamesGet", "", "names:str[]"),
    Command("Signals.AddRTGet", "", "names:str[] signal_1:str signal_2:str"),
    Command("Signals.AddRTSet", "signal_1:i32 signal_2:i32"),
    Command(
        "Util.VersionGet",
        "",
        "product_line:str version:str host_release:u32 engine_release:u32",
        since=13742,
    ),
    Command("Util.SessionPathGet", "", "path:str"),
    Command("Util.RTFreqGet", "", "frequency_hz:f32"),
    Command("Util.AcqPeriodSet", "period_s:f32"),
    Command("Util.AcqPeriodGet", "", "period_s:f32"),
    Command("TCPLog.Start"),
    Command("TCPLog.Stop"),
    Command("TCPLog.ChsSet", "channels:i32[]"),
    Command("TCPLog.OversamplSet", "oversampling:i32"),
    Command("TCPLog.StatusGet", "", "status:i32=LoggerStatus"),
)

COMMANDS = {command.name: command for command in _TABLE}


@cache
def lookup(name: str, release: int) -> Layout:
    """The layout of command ``name`` on a controller of ``release``.

    Raises:
        ProtocolError: that release does not know the command.
    """
    command = COMMANDS.get(name)
    if command is None or max(release, RELEASES[0]) < command.since:
        raise ProtocolError(f"release {release} does not know the command {name!r}")
    return Layout(
        name,
        _record(command.request, release),
        _record(command.reply, release),
        reads=_reads(name),
    )


def names(release: int) -> tuple[str, ...]:
    """Every command a controller of ``release`` knows."""
    return tuple(c.name for c in _TABLE if c.since <= max(release, RELEASES[0]))


def _reads(name: str) -> bool:
    # The step counters can be reset by the command that reads them.
    return name != "Motor.StepCounterGet" and name.endswith(("Get", "Grab"))


def _record(notation: str, release: int) -> Record:
    fields = (_field(word, max(release, RELEASES[0])) for word in notation.split())
    return Record(tuple(field for field in fields if field is not None))


def _field(word: str, release: int) -> Field | None:
    """The field that ``word`` describes, or None if ``release`` does not have it."""
    text, _, span = word.partition("@")
    since, _, until = span.partition("..")
    if release < int(since or 0) or (until and release >= int(until)):
        return None
    text, _, enumeration = text.partition("=")
    name, _, kind = text.partition(":")
    return Field(name, kind, _codes(enumeration))


def _codes(enumeration: str) -> type[IntEnum] | None:
    if not enumeration:
        return None
    found: type[IntEnum] = getattr(codes, enumeration)
    return found
