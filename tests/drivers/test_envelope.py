"""The envelope refuses what is outside, lets through what is inside, and can only be narrowed."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import (
    Approach,
    Capability,
    CoarseMove,
    EnvelopedMicroscope,
    Feedback,
    Frame,
    Indentation,
    Limits,
    MicroscopeState,
    MoveTo,
    Outcome,
    Pulse,
    RetuneFeedback,
    ScanLine,
    ScanSettings,
    Spectrum,
    SpectrumSettings,
    TunnellingPoint,
    VirtualClock,
    Wait,
    check_action,
    check_scan,
    check_spectrum,
)
from drivers.actions import Action
from drivers.errors import ConfigError, InstrumentError, Refused
from drivers.microscope import Debts

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
STATE = MicroscopeState(
    time_s=0.0,
    bias_v=0.5,
    setpoint_a=50e-12,
    current_a=50e-12,
    x_m=0.0,
    y_m=0.0,
    z_m=0.0,
    feedback=Feedback.ON,
    scanning=False,
    range_m=(800e-9, 800e-9, 200e-9),
)
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)
FRAME = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=24e-9)
SCAN = ScanSettings(frame=FRAME, pixels=96, lines=96, forward_s=0.15, backward_s=0.1, at=AT)


def altered(model: Action | ScanSettings, **changes: object) -> Action:
    """The model with values that its own validation would never let in."""
    return model.model_copy(update=changes)


class Understated(Pulse):
    """A pulse that says less of itself than it does."""

    @property
    def peak_bias_v(self) -> float:
        return 1.0


INSIDE = [
    Pulse(at=AT, bias_v=-10.0, width_s=1.0),
    Pulse(at=AT, bias_v=3.0, width_s=0.1, z_offset_m=1e-9),
    DIP,
    Indentation(at=AT, depth_m=10e-9, lift_m=30e-9),
    MoveTo(x_m=400e-9, y_m=-400e-9, speed_m_per_s=2e-6),
    CoarseMove(x_steps=-200, y_steps=0, retract_steps=20),
    Approach(at=AT),
    Wait(seconds=7200.0),
    RetuneFeedback(p_gain_m=10e-12, time_constant_s=100e-6),
]

OUTSIDE = [
    ("max_pulse_v", Pulse(at=AT, bias_v=-10.01, width_s=0.1)),
    ("max_pulse_v", Pulse(at=AT, bias_v=9.6, width_s=0.1, reference="relative")),
    ("max_pulse_s", Pulse(at=AT, bias_v=3.0, width_s=1.01)),
    ("max_pulse_lift_nm", Pulse(at=AT, bias_v=3.0, width_s=0.1, z_offset_m=5.1e-9)),
    ("pulse_z_offset", Pulse(at=AT, bias_v=3.0, width_s=0.1, z_offset_m=-1e-9)),
    ("pulse_feedback", Pulse(at=AT, bias_v=3.0, width_s=0.1, z_offset_m=1e-9, feedback="on")),
    ("pulse_feedback", Pulse(at=AT, bias_v=-3.0, width_s=0.1, feedback="on")),
    ("min_bias_v", Pulse(at=AT, bias_v=0.0, width_s=0.1, feedback="on")),
    ("sound", altered(DIP, depth_m=-1e-9)),
    ("sound", altered(DIP, dwell_s=True)),
    ("sound", altered(DIP, lift_m="3e-9")),
    ("sound", altered(DIP, dwell_s=np.float32(np.nan))),
    ("sound", altered(Pulse(at=AT, bias_v=3.0, width_s=0.1), reference="relativ")),
    ("sound", Indentation.model_construct(depth_m=1e-9)),
    ("max_depth_nm", Indentation(at=AT, depth_m=10.1e-9, lift_m=30e-9)),
    ("max_contact_bias_v", altered(DIP, contact_bias_v=-0.51)),
    ("max_dwell_s", altered(DIP, dwell_s=10.1)),
    ("max_lift_nm", altered(DIP, lift_m=51e-9, lift_time_s=1.0)),
    ("max_ramp_nm_per_s", altered(DIP, approach_time_s=1e-3)),
    ("max_ramp_nm_per_s", altered(DIP, lift_time_s=1e-3)),
    ("lift", altered(DIP, lift_m=0.5e-9)),
    ("piezo_range", MoveTo(x_m=400.1e-9, y_m=0.0, speed_m_per_s=1e-7)),
    ("piezo_range", MoveTo(x_m=0.0, y_m=-401e-9, speed_m_per_s=1e-7)),
    ("max_speed_nm_per_s", MoveTo(x_m=0.0, y_m=0.0, speed_m_per_s=2.1e-6)),
    ("max_coarse_steps", CoarseMove(x_steps=-201, y_steps=0, retract_steps=20)),
    ("max_coarse_steps", CoarseMove(x_steps=0, y_steps=201, retract_steps=20)),
    ("min_retract_steps", CoarseMove(x_steps=10, y_steps=0, retract_steps=19)),
    ("max_approach_steps", CoarseMove(x_steps=10, y_steps=0, retract_steps=5001)),
    ("max_approach_steps", Approach(at=AT, max_steps=5001)),
    ("max_approach_s", Approach(at=AT, timeout_s=3601.0)),
    ("max_approach_s", Approach(at=AT, settle_timeout_s=3601.0)),
    ("max_wait_s", Wait(seconds=7201.0)),
    ("max_wait_s", altered(DIP, average_s=7200.0)),
    ("max_wait_s", altered(DIP, lift_time_s=7200.0)),
    ("max_wait_s", MoveTo(x_m=1e-9, y_m=0.0, speed_m_per_s=1e-13)),
    # What single precision makes of these is 0 or infinite.
    ("sound", altered(DIP, average_s=1e300)),
    ("sound", Pulse(at=AT, bias_v=3.0, width_s=1e-300)),
    ("sound", CoarseMove(x_steps=10**400, y_steps=0, retract_steps=20)),
    ("kind", Understated(at=AT, bias_v=100.0, width_s=0.1)),
    ("max_p_gain_pm", RetuneFeedback(p_gain_m=1.1e-9, time_constant_s=1e-4)),
    ("min_time_constant_us", RetuneFeedback(p_gain_m=1e-11, time_constant_s=4e-6)),
]

TUNNELLING = [
    ("max_bias_v", TunnellingPoint(bias_v=-5.1, setpoint_a=50e-12)),
    ("min_bias_v", TunnellingPoint(bias_v=-0.001, setpoint_a=50e-12)),
    ("max_setpoint_pa", TunnellingPoint(bias_v=0.5, setpoint_a=21e-9)),
    ("min_setpoint_pa", TunnellingPoint(bias_v=0.5, setpoint_a=0.5e-12)),
]


@pytest.mark.parametrize("action", INSIDE, ids=lambda action: action.kind)
def test_lets_through_what_lies_inside(action: Action) -> None:
    check_action(action, STATE, Limits())


@pytest.mark.parametrize(("limit", "action"), OUTSIDE)
def test_refuses_what_lies_outside_and_names_the_limit(limit: str, action: Action) -> None:
    with pytest.raises(Refused) as refusal:
        check_action(action, STATE, Limits())
    assert refusal.value.limit == limit
    assert action.kind in str(refusal.value)


@pytest.mark.parametrize(("limit", "at"), TUNNELLING)
@pytest.mark.parametrize("action", [INSIDE[0], DIP, Approach(at=AT)], ids=lambda a: a.kind)
def test_refuses_a_tunnelling_point_outside(
    limit: str, at: TunnellingPoint, action: Action
) -> None:
    with pytest.raises(Refused) as refusal:
        check_action(altered(action, at=at), STATE, Limits())
    assert refusal.value.limit == limit


@pytest.mark.parametrize("action", INSIDE, ids=lambda action: action.kind)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refuses_any_number_that_is_not_finite(action: Action, value: float) -> None:
    for name, old in action.model_dump().items():
        if isinstance(old, float):
            with pytest.raises(Refused):
                check_action(altered(action, **{name: value}), STATE, Limits())
        if name == "at":
            broken = AT.model_copy(update={"bias_v": value})
            with pytest.raises(Refused):
                check_action(altered(action, at=broken), STATE, Limits())


@pytest.mark.parametrize(
    ("limit", "change"),
    [
        ("max_speed_nm_per_s", {"backward_s": 0.011}),
        ("max_speed_nm_per_s", {"lines": 2, "frame": FRAME.model_copy(update={"height_m": 2e-6})}),
        ("max_scan_pixels", {"pixels": 4112}),
        ("max_scan_lines", {"lines": 4097}),
        ("max_scan_s", {"forward_s": 600.0}),
        ("piezo_range", {"frame": FRAME.model_copy(update={"x_m": 389e-9})}),
        ("piezo_range", {"frame": FRAME.model_copy(update={"y_m": 385e-9, "angle_deg": 45.0})}),
        ("sound", {"forward_s": math.nan}),
        ("sound", {"frame": FRAME.model_copy(update={"y_m": math.inf})}),
        ("min_bias_v", {"at": AT.model_copy(update={"bias_v": 0.0})}),
    ],
)
def test_refuses_scans_outside(limit: str, change: dict[str, object]) -> None:
    check_scan(SCAN, STATE, Limits())
    with pytest.raises(Refused) as refusal:
        check_scan(SCAN.model_copy(update=change), STATE, Limits())
    assert refusal.value.limit == limit


class Elsewhere(Frame):
    """A frame that says it is somewhere else."""

    def to_sample(self, u_m: float, v_m: float) -> tuple[float, float]:
        return 0.0, 0.0


class SomeScan(ScanSettings):
    """Settings that could say anything of themselves."""


@pytest.mark.parametrize(
    "settings",
    [
        SomeScan(**dict(SCAN)),
        SCAN.model_copy(update={"frame": Elsewhere(**dict(FRAME))}),
        None,
        INSIDE[0],
    ],
)
def test_refuses_scans_that_could_lie(settings: object) -> None:
    with pytest.raises(Refused) as refusal:
        check_scan(settings, STATE, Limits())
    assert refusal.value.limit == "kind"


def test_refuses_a_scan_without_a_frame() -> None:
    with pytest.raises(Refused) as refusal:
        check_scan(ScanSettings.model_construct(), STATE, Limits())
    assert refusal.value.limit == "sound"


@given(
    name=st.sampled_from(sorted(Limits.model_fields)),
    value=st.floats(allow_nan=True, allow_infinity=True),
)
def test_limits_only_ever_narrow(name: str, value: float) -> None:
    ceiling = getattr(Limits(), name)
    highest = name.startswith("max_")
    narrower = 0 <= value <= ceiling if highest else ceiling <= value < math.inf
    if narrower:
        assert getattr(Limits().narrowed(**{name: value}), name) == value
    else:
        with pytest.raises(ConfigError, match=name):
            Limits().narrowed(**{name: value})


def test_an_unknown_limit_is_an_error() -> None:
    with pytest.raises(ConfigError, match="max_puls_v"):
        Limits().narrowed(max_puls_v=1.0)


class Recorder:
    """A microscope that notes what reaches it."""

    name = "recorder"
    capabilities = frozenset(Capability)

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.reached: list[object] = []

    async def state(self) -> MicroscopeState:
        return STATE

    async def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        self.reached.append(settings)
        for _ in ():
            yield

    async def perform(self, action: Action) -> Outcome:
        self.reached.append(action)
        return Outcome(0.0, 1.0)

    async def spectrum(self, settings: SpectrumSettings) -> Spectrum:
        self.reached.append(settings)
        flat = np.zeros(settings.points)
        single = flat.astype(np.float32)
        return Spectrum(settings.bias_v, single, single, settings, 0.0, 0.0, 0.0, 1.0)

    async def withdraw(self) -> None:
        self.reached.append("withdraw")

    async def close(self) -> None:
        self.reached.append("close")


async def test_nothing_refused_reaches_the_instrument() -> None:
    recorder = Recorder()
    microscope = EnvelopedMicroscope(recorder, Limits())
    for _, action in OUTSIDE:
        with pytest.raises(Refused):
            await microscope.perform(action)
    with pytest.raises(Refused):
        async for _ in microscope.scan(SCAN.model_copy(update={"forward_s": 1e-3})):
            pass
    assert recorder.reached == []
    await microscope.perform(DIP)
    async for _ in microscope.scan(SCAN):
        pass
    await microscope.withdraw()
    assert recorder.reached == [DIP, SCAN, "withdraw"]
    assert microscope.true_state() is None
    assert await microscope.emergency() is None


SWEEP = SpectrumSettings(
    start_v=-1.0,
    stop_v=1.0,
    points=101,
    at=AT,
    modulation_v_rms=0.01,
    modulation_hz=700.0,
    integration_s=0.05,
)


@pytest.mark.parametrize(
    ("limit", "change"),
    [
        ("max_bias_v", {"start_v": -5.5}),
        ("max_bias_v", {"stop_v": 5.5}),
        # The modulation goes beyond the end of the sweep.
        ("max_bias_v", {"stop_v": 4.99}),
        ("max_bias_v", {"at": altered(AT, bias_v=6.0)}),
        ("min_bias_v", {"at": altered(AT, bias_v=1e-4)}),
        ("max_setpoint_pa", {"at": altered(AT, setpoint_a=1e-7)}),
        ("max_sweep_s", {"integration_s": 20.0}),
        ("sound", {"points": 1}),
        ("sound", {"start_v": float("nan")}),
        ("sound", {"start_v": 1.0}),
    ],
)
async def test_a_sweep_outside_is_refused_and_not_sent(
    limit: str, change: dict[str, object]
) -> None:
    recorder = Recorder()
    microscope = EnvelopedMicroscope(recorder, Limits())
    with pytest.raises(Refused) as refusal:
        await microscope.spectrum(SWEEP.model_copy(update=change))
    assert refusal.value.limit == limit
    assert recorder.reached == []
    assert (await microscope.spectrum(SWEEP)).settings == SWEEP
    assert recorder.reached == [SWEEP]


@pytest.mark.parametrize("limit", ["max_bias_v", "max_pulse_v"])
async def test_a_sweep_is_held_to_narrower_limits(limit: str) -> None:
    microscope = EnvelopedMicroscope(Recorder(), Limits().narrowed(**{limit: 1.0}))
    with pytest.raises(Refused, match=r"modulation included \(V\) 1\.014"):
        await microscope.spectrum(SWEEP)


async def test_an_instrument_that_takes_no_spectra_is_named() -> None:
    recorder = Recorder()
    recorder.capabilities = frozenset(Capability) - {Capability.SPECTRUM}
    with pytest.raises(InstrumentError, match="recorder takes no spectra"):
        await EnvelopedMicroscope(recorder, Limits()).spectrum(SWEEP)
    assert recorder.reached == []


@given(st.floats(0.0, 12.0), st.floats(0.0, 12.0), st.floats(0.002, 1.0), st.floats(0.002, 1.0))
def test_two_sets_of_limits_meet_in_the_narrower(
    volts: float, other_volts: float, least: float, other_least: float
) -> None:
    both = Limits(max_pulse_v=volts, min_bias_v=least).narrowest(
        Limits(max_pulse_v=other_volts, min_bias_v=other_least)
    )
    assert both.max_pulse_v == min(volts, other_volts)
    assert both.min_bias_v == max(least, other_least)
    assert both.max_depth_nm == Limits().max_depth_nm


async def test_the_limits_of_an_instrument_narrow_its_envelope() -> None:
    recorder = Recorder()
    recorder.limits = Limits().narrowed(max_depth_nm=0.5, max_pulse_v=4.0)
    microscope = EnvelopedMicroscope(recorder, Limits().narrowed(max_pulse_v=3.0))
    assert (microscope.limits.max_depth_nm, microscope.limits.max_pulse_v) == (0.5, 3.0)
    with pytest.raises(Refused, match=r"max_depth_nm 0\.5"):
        await microscope.perform(DIP)
    assert recorder.reached == []
    # An envelope around an envelope cannot widen it either.
    assert EnvelopedMicroscope(microscope, Limits()).limits == microscope.limits


class SomeSpectrum(SpectrumSettings):
    """Settings that could say anything of themselves."""


@pytest.mark.parametrize("settings", [SomeSpectrum(**dict(SWEEP)), None, SCAN])
def test_refuses_spectra_that_could_lie(settings: object) -> None:
    with pytest.raises(Refused) as refusal:
        check_spectrum(settings, Limits())
    assert refusal.value.limit == "kind"


class Lender(Recorder):
    """Keeps account of what it changes, and protects its tip or not."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Debts] = []

    async def account_to(self, told: Callable[[Debts], Awaitable[None]]) -> None:
        await told({"point": None})

    async def take_up(self, debts: Debts) -> None:
        self.taken.append(debts)

    async def unprotected(self) -> str | None:
        return "it is off"


async def test_what_an_instrument_owes_passes_through_its_envelope() -> None:
    lender, kept = Lender(), []

    async def keep(debts: Debts) -> None:
        kept.append(debts)

    microscope = EnvelopedMicroscope(lender, Limits())
    assert microscope.lends
    await microscope.account_to(keep)
    await microscope.take_up({"point": {}})
    assert (kept, lender.taken) == ([{"point": None}], [{"point": {}}])
    assert await microscope.unprotected() == "it is off"


async def test_an_instrument_that_owes_nothing_is_not_asked() -> None:
    async def keep(debts: Debts) -> None:
        pytest.fail(f"it told of {debts}")

    microscope = EnvelopedMicroscope(Recorder(), Limits())
    assert not microscope.lends
    await microscope.account_to(keep)
    await microscope.take_up({"point": {}})
    assert await microscope.unprotected() is None
