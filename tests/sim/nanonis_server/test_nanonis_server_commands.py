"""The commands of the simulated Nanonis controller: layouts, codes, errors, releases."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import struct
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.errors import ProtocolError
from drivers.nanonis import codes
from drivers.nanonis.commands import COMMANDS, RELEASES, SIMULATED_PRODUCT, lookup
from sim.servers.nanonis.extra import EXTRA, layout_of
from tests.sim.nanonis_server.conftest import SHAPE

TABLE = Path(__file__).parents[4] / "shared" / "reference" / "nanonis_commands.tsv"
NEWEST = RELEASES[-1]


@pytest.mark.parametrize("release", RELEASES)
def test_every_command_of_the_table_is_served(on_bench, release):
    async def test(bench):
        known = {name for name, c in COMMANDS.items() if c.since <= release} | set(EXTRA)
        assert {name.lower() for name in known} == bench.controller.dispatcher.names

    on_bench(test, release=release)


def test_every_core_command_of_the_protocol_is_served(on_bench):
    if not TABLE.exists():
        pytest.skip(f"no table of the protocol at {TABLE}")
    with TABLE.open() as file:
        core = {
            row["command"]
            for row in csv.DictReader(file, delimiter="\t")
            if row["tier"] in ("core", "util")
        }

    async def test(bench):
        return {name for name in core if name.lower() not in bench.controller.dispatcher.names}

    assert on_bench(test) == set()


def test_every_reading_command_answers_in_its_layout(on_bench):
    refusing = {"Current.100Get", "Motor.PosGet"}

    async def test(bench):
        for name in sorted({*COMMANDS, *EXTRA} - refusing):
            layout = layout_of(name, NEWEST)
            if layout.reads and not layout.request.fields:
                await bench.call(name)

    on_bench(test)


def test_names_are_taken_in_any_case_and_echoed_as_sent(on_bench):
    async def test(bench):
        assert await bench.send("bias.get", b"") == await bench.send("Bias.Get", b"")

    on_bench(test)


def test_errors_have_the_controllers_words_after_empty_values(on_bench):
    async def test(bench):
        assert "Error in command: foo.bar: " in str(await bench.send("Foo.Bar", b""))
        text = b"Error in command: bias.set: Error trying to read the Message from the Client."
        expected = struct.pack(">Ii", 1, len(text)) + text
        assert await bench.send("Bias.Set", b"\0") == expected
        reply = await bench.send("Signals.ValGet", struct.pack(">iI", 500, 0))
        assert reply[:4] == bytes(4)
        assert struct.unpack(">I", reply[4:8]) == (1,)

    on_bench(test)


def test_numbers_that_are_none_are_refused(on_bench):
    async def test(bench):
        reply = await bench.send("Bias.Set", struct.pack(">f", float("nan")))
        assert b"bias_v must be a finite number" in reply
        assert bench.world.bias_v == 0.1

    on_bench(test)


FRAME = {"x_m": 0.0, "y_m": 0.0, "width_m": 1e-8, "height_m": 1e-8, "angle_deg": 0.0}
SPEED = {"forward_m_per_s": 0.0, "backward_m_per_s": 0.0, "forward_s": 0.0, "backward_s": 0.0}
LINEAR = codes.SetSpeedLock.LINEAR_SPEED


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("Bias.Set", {"bias_v": 11.0}, "bias must be between -10 and 10"),
        ("ZCtrl.SetpntSet", {"setpoint_a": 0.0}, "setpoint"),
        ("ZCtrl.GainSet", {"p_gain_m": 0.0, "time_constant_s": 1.0, "i_gain_m_per_s": 0.0}, "P-g"),
        ("TipShaper.PropsSet", SHAPE | {"lift_time_1_s": -1.0}, "lift_time_1"),
        ("TipShaper.PropsSet", SHAPE | {"tip_lift_m": 1.0}, "tip_lift"),
        ("Scan.FrameSet", FRAME | {"width_m": 0.0}, "width of the frame"),
        ("Scan.SpeedSet", SPEED | {"keep": LINEAR, "ratio": -1.0}, "speed ratio"),
        ("Scan.SpeedSet", SPEED | {"keep": LINEAR, "ratio": 1.0, "forward_m_per_s": -1.0}, "time"),
        ("Scan.BufferSet", {"channels": (), "pixels": 2**30, "lines": 64}, "number of values"),
        ("FolMe.SpeedSet", {"speed_m_per_s": 0.0, "custom": codes.Switch.ON}, "speed"),
        ("Util.AcqPeriodSet", {"period_s": 0.0}, "acquisition period"),
    ],
)
def test_values_that_no_instrument_takes_are_refused(on_bench, name, values, what):
    async def test(bench):
        assert f"The {what}" in await bench.refused(name, **values)

    on_bench(test)


def test_the_version_says_that_it_is_simulated_and_how_fast(on_bench):
    async def test(bench):
        assert await bench.call("Util.VersionGet") == {
            "product_line": SIMULATED_PRODUCT,
            "version": f"{version('tipsmith')} time_scale=25",
            "host_release": 13742,
            "engine_release": 13742,
        }

    on_bench(test, release=13742, time_scale=25.0)


def test_old_releases_do_not_know_new_commands_and_layouts(on_bench):
    async def test(bench):
        for name in ("Util.VersionGet", "Scan.WaitEndOfLine"):
            assert b"not known" in await bench.send(name, bytes(4) * ("Wait" in name))
        assert await bench.send("Motor.FreqAmpGet", b"") != b""
        assert "filters" not in await bench.call("Current.GainsGet")

    on_bench(test, release=10862)


@pytest.mark.parametrize(("lenient", "accepted"), [(False, False), (True, True)])
def test_legacy_bodies_are_taken_only_where_that_was_asked_for(on_bench, lenient, accepted):
    async def test(bench):
        axisless = await bench.send("Motor.FreqAmpGet", b"")
        assert (axisless[8:12] == bytes(4)) is accepted
        # The gain was a uint16 and there was no filter.
        await bench.send("Current.GainSet", struct.pack(">H", 3))
        assert ((await bench.call("Current.GainsGet"))["gain"] == 3) is accepted

    on_bench(test, lenient_legacy=lenient)


def test_a_code_of_zero_changes_nothing(on_bench):
    async def test(bench):
        await bench.call("TipShaper.PropsSet", **SHAPE)
        off = dict.fromkeys(("change_bias", "restore_feedback"), codes.SetSwitch.OFF)
        keep = dict.fromkeys(("change_bias", "restore_feedback"), codes.SetSwitch.KEEP)
        for change, expected in ((keep, codes.Switch.ON), (off, codes.Switch.OFF)):
            await bench.call("TipShaper.PropsSet", **(SHAPE | change))
            props = await bench.call("TipShaper.PropsGet")
            assert props["change_bias"] is props["restore_feedback"] is expected
        scan = {"series": "a", "comment": "b", "modules": (), "autopaste": codes.SetAutopaste.KEEP}
        plain = {"continuous": codes.SetSwitch.KEEP, "bouncy": codes.SetSwitch.KEEP}
        await bench.call("Scan.PropsSet", **plain, autosave=codes.SetAutosave.NEXT, **scan)
        await bench.call("Scan.PropsSet", **plain, autosave=codes.SetAutosave.KEEP, **scan)
        props = await bench.call("Scan.PropsGet")
        assert (props["autosave"], props["series"]) == (codes.Autosave.NEXT, "a")

    on_bench(test)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gain=st.floats(1e-13, 1e-9), numbers=st.lists(st.integers(1, 8), min_size=1, max_size=3))
def test_settings_of_a_kind_are_kept_apart(on_bench, gain, numbers):
    async def test(bench):
        for number in numbers:
            await bench.call("LockIn.ModAmpSet", number=number, amplitude=gain * number)
        for number in range(1, 9):
            kept = (await bench.call("LockIn.ModAmpGet", number=number))["amplitude"]
            assert kept == (pytest.approx(gain * number) if number in numbers else 0.0)

    on_bench(test)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted({*COMMANDS, *EXTRA})), body=st.binary(max_size=80))
def test_whatever_the_body_there_is_an_answer(on_bench, name, body):
    async def test(bench):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                assert len(await bench.send(name, body)) >= 8

    on_bench(test)


def test_the_layouts_of_both_tables_do_not_overlap():
    for name in EXTRA:
        with pytest.raises(ProtocolError):
            lookup(name, NEWEST)
