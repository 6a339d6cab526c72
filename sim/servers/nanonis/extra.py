"""Commands that only the simulated controller needs: modules which real clients touch.

The table of ``drivers.nanonis.commands`` holds what our own client uses. Other people's clients
also configure the lock-in, the oscilloscope, marks, user outputs or spectroscopy; these commands
are here, in the layouts of release 14718.
"""

from __future__ import annotations

from drivers.nanonis import codes
from drivers.nanonis.codec import Layout
from drivers.nanonis.commands import lookup
from drivers.nanonis.wire import Field, Record, Values

#: Settings by the common part of their names: key, values as written, values as read if different.
#: In ``{}Switch`` stand the codes for writing (``SetSwitch``) and for reading (``Switch``).
_PAIRS: tuple[tuple[str, str, str, str], ...] = (
    ("AtomTrack.Props", "", "gain:f32 hz:f32 amplitude_m:f32 phase_deg:f32 delay_s:f32", ""),
    (
        "BiasSpectr.AdvProps",
        "",
        "reset_bias:u16={0}Switch hold:u16={0}Switch final_z:u16={0}Switch lockin:u16={0}Switch",
        "",
    ),
    ("BiasSpectr.AltZCtrl", "", "on:u16={0}Switch setpoint_a:f32 settling_s:f32", ""),
    ("BiasSpectr.Chs", "", "channels:i32[]", "channels:i32[] names:str[]"),
    ("BiasSpectr.Limits", "", "start_v:f32 end_v:f32", ""),
    ("BiasSpectr.MLSLockinPerSeg", "", "on:u32", ""),
    ("BiasSpectr.MLSMode", "", "mode:str", ""),
    (
        "BiasSpectr.Props",
        "",
        "save_all:u16={0}Switch sweeps:i32 backward:u16={0}Switch points:i32 z_offset_m:f32 "
        "autosave:u16={0}Switch dialog:u16={0}Switch",
        "save_all:u16={0}Switch sweeps:i32 backward:u16={0}Switch points:i32 parameters:str[] "
        "fixed_parameters:str[] autosave:u16={0}Switch dialog:u16={0}Switch",
    ),
    (
        "BiasSpectr.Timing",
        "",
        "average_s:f32 z_offset_m:f32 first_settling_s:f32 slew_v_per_s:f32 settling_s:f32 "
        "integration_s:f32 last_settling_s:f32 z_control_s:f32",
        "",
    ),
    ("BiasSpectr.ZOffRevert", "", "on:u16={0}Switch", ""),
    ("LockIn.DemodHPFilter", "number:i32", "order:i32 cutoff_hz:f32", ""),
    ("LockIn.DemodHarmonic", "number:i32", "harmonic:i32", ""),
    ("LockIn.DemodLPFilter", "number:i32", "order:i32 cutoff_hz:f32", ""),
    ("LockIn.DemodPhas", "number:i32", "phase_deg:f32", ""),
    ("LockIn.DemodPhasReg", "number:i32", "index:i32", ""),
    ("LockIn.DemodRTSignals", "number:i32", "signals:u32", ""),
    ("LockIn.DemodSignal", "number:i32", "index:i32", ""),
    ("LockIn.DemodSyncFilter", "number:i32", "filter:u32", ""),
    ("LockIn.ModAmp", "number:i32", "amplitude:f32", ""),
    ("LockIn.ModHarmonic", "number:i32", "harmonic:i32", ""),
    ("LockIn.ModOnOff", "number:i32", "on:u32", ""),
    ("LockIn.ModPhas", "number:i32", "phase_deg:f32", ""),
    ("LockIn.ModPhasFreq", "number:i32", "frequency_hz:f64", ""),
    ("LockIn.ModPhasReg", "number:i32", "index:i32", ""),
    ("LockIn.ModSignal", "number:i32", "index:i32", ""),
    ("Osci2T.Chs", "", "a:i32 b:i32", ""),
    ("Osci2T.Oversampl", "", "index:u16", ""),
    ("Osci2T.Timebase", "", "index:u16", "index:u16 timebases_s:f32[]"),
    (
        "Osci2T.Trig",
        "",
        "mode:u16 channel:u16 slope:u16 level:f64 hysteresis:f64 position_s:f64",
        "",
    ),
    ("PLL.OutOnOff", "number:i32", "on:u32", ""),
    (
        "Pattern.Grid",
        "",
        "active:u32 nx:i32 ny:i32 as_frame:u32 x_m:f32 y_m:f32 width_m:f32 height_m:f32 "
        "angle_deg:f32",
        "nx:i32 ny:i32 x_m:f32 y_m:f32 width_m:f32 height_m:f32 angle_deg:f32",
    ),
    ("TipRec.BufferSize", "", "size:i32", ""),
    ("UserOut.CalcSignalConfig", "number:i32", "signal_1:u16 operation:u16 signal_2:u16", ""),
    ("UserOut.CalcSignalName", "number:i32", "name:str", ""),
    ("UserOut.Limits", "number:i32", "upper:f32 lower:f32", ""),
    ("UserOut.Mode", "number:i32", "mode:u16", ""),
    ("UserOut.MonitorCh", "number:i32", "index:i32", ""),
    ("Util.RTOversampl", "", "oversampling:i32", ""),
)

#: Commands that are taken and change nothing here.
_TAKEN = {
    "AtomTrack.CtrlSet": "control:u16 status:u16",
    "AtomTrack.DriftComp": "",
    "AtomTrack.QuickCompStart": "control:u16",
    "BiasSpectr.Open": "",
    "Marks.LineDraw": "x0_m:f32 y0_m:f32 x1_m:f32 y1_m:f32 colour:u32",
    "Marks.LinesErase": "index:i32",
    "Marks.PointDraw": "x_m:f32 y_m:f32 text:str colour:u32",
    "Marks.PointsErase": "index:i32",
    "Osci2T.Run": "",
    "PLL.AmpCtrlOnOffSet": "number:i32 on:u32",
    "PLL.FreqShiftAutoCenter": "number:i32",
    "PLL.PhasCtrlOnOffSet": "number:i32 on:u32",
    "TipRec.BufferClear": "",
    "TipRec.DataSave": "clear:u32 basename:str",
    "UserOut.CalibrSet": "number:i32 calibration:f32 offset:f32",
    "UserOut.ValSet": "number:i32 value:f32",
    "Util.LayoutLoad": "path:str session:u32",
    "Util.LayoutSave": "path:str session:u32",
    "Util.Lock": "",
    "Util.RTFreqSet": "frequency_hz:f32",
    "Util.SettingsLoad": "path:str session:u32",
    "Util.SettingsSave": "path:str session:u32",
    "Util.UnLock": "",
}

_OTHERS = {
    "AtomTrack.StatusGet": ("control:u16", "status:u16"),
    "BiasSpectr.Start": (
        "get_data:u32 basename:str",
        "channels:str[] data:f32[][] parameters:f32[]",
    ),
    "BiasSpectr.StatusGet": ("", "status:u32"),
    "BiasSpectr.Stop": ("", ""),
    "PLL.FreqShiftGet": ("number:i32", "shift_hz:f32"),
    "TipRec.DataGet": ("", "channels:i32[] data:f32[][]"),
    "Util.Quit": ("stored:u32 settings:str layout:str signals:u32", ""),
    "Util.SessionPathSet": ("path:str save:u32", ""),
}


class Verbatim(Record):
    """A body that is kept as the bytes it is, because no data type describes it."""

    def __init__(self, absent: bytes = b"") -> None:
        super().__init__(())
        self._absent = absent

    def decode(self, data: bytes) -> dict[str, bytes]:
        """The body under the name ``body``."""
        return {"body": data}

    def encode(self, values: Values) -> bytes:
        """The bytes under the name ``body``."""
        body: bytes = values["body"]
        return body

    def empty(self) -> bytes:
        """What stands before the error block."""
        return self._absent


def _record(notation: str) -> Record:
    return Record(tuple(_field(word) for word in notation.split()))


def _field(word: str) -> Field:
    text, _, enumeration = word.partition("=")
    name, _, kind = text.partition(":")
    return Field(name, kind, getattr(codes, enumeration) if enumeration else None)


def _layout(name: str, request: str, reply: str = "") -> Layout:
    return Layout(name, _record(request), _record(reply), reads=name.endswith("Get"))


def _pair(base: str, key: str, written: str, read: str) -> tuple[Layout, Layout]:
    return (
        _layout(f"{base}Set", f"{key} {written.format('Set')}"),
        _layout(f"{base}Get", key, (read or written).format("")),
    )


_NONE = _record("")
_SEGMENTS = Verbatim(b"\0\0\0\0")

TAKEN = frozenset(_TAKEN)
EXTRA_SETTINGS = tuple(base for base, *_ in _PAIRS)
EXTRA: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        *(layout for pair in _PAIRS for layout in _pair(*pair)),
        *(_layout(name, request) for name, request in _TAKEN.items()),
        *(_layout(name, request, reply) for name, (request, reply) in _OTHERS.items()),
        Layout("BiasSpectr.MLSValsSet", _SEGMENTS, _NONE, reads=False),
        Layout("BiasSpectr.MLSValsGet", _NONE, _SEGMENTS, reads=True),
        Layout("Osci2T.DataGet", _record("which:u16"), Verbatim(bytes(20)), reads=True),
    )
}


def layout_of(name: str, release: int) -> Layout:
    """The layout of ``name``, which may be a command of either table.

    Raises:
        ProtocolError: a controller of ``release`` does not know the command.
    """
    return EXTRA[name] if name in EXTRA else lookup(name, release)
