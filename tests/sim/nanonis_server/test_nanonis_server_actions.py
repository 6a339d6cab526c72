"""What the simulated Nanonis controller does, in virtual time."""

from __future__ import annotations

import asyncio
import json

import pytest

from drivers import Feedback
from drivers.nanonis import codes
from tests.sim.nanonis_server.conftest import SHAPE


def test_a_closed_tip_shaper_window_refuses(on_bench):
    async def test(bench):
        for name, values in (
            ("PropsGet", {}),
            ("PropsSet", SHAPE),
            ("Start", {"wait": 1, "timeout_ms": -1}),
        ):
            text = await bench.refused(f"TipShaper.{name}", **values)
            assert text.endswith(
                f"Error in command: tipshaper.{name.lower()}: Cannot access the Tip Shaper "
                "module. \nPlease make sure it is running."
            )

    on_bench(test, tip_shaper_open=False)


def test_the_tip_shaper_takes_the_time_of_its_sequence_and_blocks_for_it(on_bench):
    async def test(bench):
        marks = len(bench.world.sample.marks)
        await bench.call("TipShaper.PropsSet", **SHAPE)
        await asyncio.sleep(7.0)
        await bench.call("TipShaper.Start", wait=1, timeout_ms=-1)
        assert bench.now == pytest.approx(7.0 + 0.1 + 0.2 + 0.3 + 0.2 + 0.4 + 0.5)
        assert bench.world.feedback is Feedback.ON
        assert bench.world.bias_v == 0.1
        assert len(bench.world.sample.marks) > marks
        started = bench.now
        await bench.call("TipShaper.Start", wait=1, timeout_ms=50)
        assert bench.now - started == pytest.approx(0.05)

    on_bench(test)


def test_a_pulse_waits_only_where_it_is_asked_to(on_bench):
    async def test(bench):
        pulse = {
            "width_s": 0.5,
            "bias_v": 3.0,
            "hold": codes.PulseHold.HOLD,
            "reference": codes.PulseReference.ABSOLUTE,
        }
        await bench.call("Bias.Pulse", wait=0, **pulse)
        assert bench.now == 0.0
        await bench.call("Bias.Pulse", wait=1, **pulse)
        assert bench.now >= 1.0

    on_bench(test)


def test_pulses_are_absolute_or_relative_and_keep_what_was_last(on_bench):
    seen = []

    async def test(bench):
        bench.world.pulse = lambda bias_v, width_s, held: seen.append((round(bias_v, 6), held))
        hold, reference = codes.PulseHold, codes.PulseReference
        for h, r in (
            (hold.RELEASE, reference.RELATIVE),
            (hold.KEEP, reference.KEEP),
            (hold.HOLD, reference.ABSOLUTE),
        ):
            await bench.call("Bias.Pulse", wait=0, width_s=0.1, bias_v=2.0, hold=h, reference=r)

    on_bench(test)
    assert seen == [(2.1, False), (2.1, False), (2.0, True)]


def test_z_is_set_only_with_the_controller_off_and_inside_the_range(on_bench):
    async def test(bench):
        assert "while the Z-Controller is on" in await bench.refused("ZCtrl.ZPosSet", z_m=50e-9)
        await bench.call("ZCtrl.SwitchOffDelaySet", delay_s=0.25)
        await bench.call("ZCtrl.OnOffSet", status=codes.Switch.OFF)
        status = (await bench.call("ZCtrl.StatusGet"))["status"]
        assert status is codes.ZStatus.SWITCHING_OFF
        assert (await bench.call("ZCtrl.OnOffGet"))["status"] is codes.Switch.ON
        await asyncio.sleep(0.3)
        assert (await bench.call("ZCtrl.OnOffGet"))["status"] is codes.Switch.OFF
        await bench.call("ZCtrl.ZPosSet", z_m=50e-9)
        assert (await bench.call("ZCtrl.ZPosGet"))["z_m"] == pytest.approx(50e-9, abs=1e-10)
        await bench.call("ZCtrl.ZPosSet", z_m=1e-6)
        assert bench.world.z_m == pytest.approx(bench.world.range_m[2] / 2)

    on_bench(test)


def test_limits_need_to_be_enabled(on_bench):
    async def test(bench):
        limits = {"high_m": 50e-9, "low_m": -20e-9}
        text = await bench.refused("ZCtrl.LimitsSet", **limits)
        assert "the limitation of the Z position is not enabled yet" in text
        await bench.call("ZCtrl.LimitsEnabledSet", status=codes.Switch.ON)
        await bench.call("ZCtrl.LimitsSet", **limits)
        assert await bench.call("ZCtrl.LimitsGet") == pytest.approx(limits)
        await bench.call("ZCtrl.OnOffSet", status=codes.Switch.OFF)
        await bench.call("ZCtrl.ZPosSet", z_m=90e-9)
        assert bench.world.z_m == pytest.approx(50e-9)

    on_bench(test)


def test_withdrawing_takes_its_time_and_shows(on_bench):
    async def test(bench):
        await bench.call("ZCtrl.Withdraw", wait=0, timeout_ms=-1)
        status = (await bench.call("ZCtrl.StatusGet"))["status"]
        assert status is codes.ZStatus.WITHDRAWING
        await bench.call("ZCtrl.Withdraw", wait=1, timeout_ms=-1)
        await asyncio.sleep(1.0)
        assert (await bench.call("ZCtrl.StatusGet"))["status"] is codes.ZStatus.OFF
        assert bench.world.feedback is Feedback.WITHDRAWN

    on_bench(test)


async def guarded(bench, **props):
    await bench.call("SafeTip.PropsSet", threshold=1e-9, **props)
    await bench.call("SafeTip.OnOffSet", status=codes.SetSwitch.ON)
    await bench.call(
        "Bias.Pulse",
        wait=1,
        width_s=0.1,
        bias_v=5.0,
        hold=codes.PulseHold.HOLD,
        reference=codes.PulseReference.ABSOLUTE,
    )
    return (await bench.call("ZCtrl.StatusGet"))["status"]


def test_safe_tip_withdraws_and_says_so_until_the_controller_is_switched(on_bench):
    async def test(bench):
        no = codes.Switch.OFF
        status = await guarded(bench, auto_recovery=no, auto_pause_scan=no)
        assert status is codes.ZStatus.SAFE_TIP
        assert bench.world.feedback is Feedback.WITHDRAWN
        await bench.call("ZCtrl.OnOffSet", status=codes.Switch.ON)
        assert (await bench.call("ZCtrl.StatusGet"))["status"] is codes.ZStatus.ON

    on_bench(test)


def test_safe_tip_recovers_by_itself_where_it_may(on_bench):
    async def test(bench):
        no, yes = codes.Switch
        await guarded(bench, auto_recovery=yes, auto_pause_scan=no)
        assert bench.world.feedback is Feedback.ON

    on_bench(test)


def test_the_motor_counts_retracts_and_the_approach_comes_back(on_bench):
    async def test(bench):
        none = {"reset_x": 0, "reset_y": 0, "reset_z": 0}
        up = codes.MotorDirection.Z_PLUS
        await bench.call("Motor.StartMove", direction=up, steps=32, group=0, wait=1)
        assert bench.world.retracted_steps == 32
        assert await bench.call("Motor.StepCounterGet", **none) == {"x": 0, "y": 0, "z": 32}
        await bench.call("AutoApproach.OnOffSet", status=codes.Switch.ON)
        assert (await bench.call("AutoApproach.OnOffGet"))["status"] is codes.Switch.ON
        for _ in range(1000):
            await asyncio.sleep(1.0)
            if (await bench.call("AutoApproach.OnOffGet"))["status"] is codes.Switch.OFF:
                break
        assert bench.world.feedback is Feedback.ON
        assert (await bench.call("Motor.StepCounterGet", **none | {"reset_z": 1}))["z"] <= 0
        assert (await bench.call("Motor.StepCounterGet", **none))["z"] == 0

    on_bench(test)


def test_an_approach_and_a_motor_can_be_stopped(on_bench):
    async def test(bench):
        up = codes.MotorDirection.Z_PLUS
        await bench.call("Motor.StartMove", direction=up, steps=60_000, group=0, wait=0)
        await asyncio.sleep(1.0)
        await bench.call("Motor.StopMove")
        stopped = bench.world.retracted_steps
        assert 0 < stopped < 60_000
        await bench.call("AutoApproach.OnOffSet", status=codes.Switch.ON)
        await asyncio.sleep(1.0)
        await bench.call("AutoApproach.OnOffSet", status=codes.Switch.OFF)
        await asyncio.sleep(1.0)
        assert (await bench.call("AutoApproach.OnOffGet"))["status"] is codes.Switch.OFF
        assert 0 < bench.world.retracted_steps < stopped

    on_bench(test)


def test_moving_blocks_until_the_tip_is_there_and_can_be_stopped(on_bench):
    async def test(bench):
        await bench.call("FolMe.SpeedSet", speed_m_per_s=10e-9, custom=codes.Switch.ON)
        await asyncio.sleep(7.0)
        await bench.call("FolMe.XYPosSet", x_m=30e-9, y_m=-40e-9, wait=1)
        assert bench.now == pytest.approx(7.0 + 5.0)
        where = await bench.call("FolMe.XYPosGet", wait_newest=0)
        assert where == pytest.approx({"x_m": 30e-9, "y_m": -40e-9})
        await bench.call("FolMe.XYPosSet", x_m=0.0, y_m=0.0, wait=0)
        await asyncio.sleep(2.5)
        await bench.call("FolMe.Stop")
        await asyncio.sleep(10.0)
        assert bench.world.x_m == pytest.approx(15e-9, abs=2e-9)
        text = await bench.refused("FolMe.XYPosSet", x_m=1.0, y_m=0.0, wait=0)
        assert "outside the range" in text

    on_bench(test)


@pytest.mark.parametrize(("newest", "within"), [(0, (0.0, 0.1)), (1, (0.1, 0.2))])
def test_values_come_when_the_acquisition_has_them(on_bench, newest, within):
    async def test(bench):
        await bench.call("Util.AcqPeriodSet", period_s=0.1)
        await asyncio.sleep(0.237)
        started = bench.now
        await bench.call("Signals.ValGet", index=30, wait_newest=newest)
        assert within[0] - 1e-6 <= bench.now - started <= within[1] + 1e-6

    on_bench(test)


def test_signals_are_found_by_name(on_bench):
    async def test(bench):
        names = (await bench.call("Signals.NamesGet"))["names"]
        assert len(set(names)) == 128
        wanted = ("Current (A)", "Bias (V)", "X (m)", "Y (m)", "Z (m)")
        indexes = tuple(names.index(name) for name in wanted)
        values = (await bench.call("Signals.ValsGet", indexes=indexes, wait_newest=1))["values"]
        assert values == pytest.approx(
            (100e-12, 0.1, 0.0, 0.0, bench.world.z_m), rel=0.2, abs=1e-10
        )

    on_bench(test)


def test_during_an_action_the_readings_are_those_of_the_action(on_bench):
    async def test(bench):
        await bench.call("TipShaper.PropsSet", **SHAPE | {"tip_lift_m": -2e-9})
        resting_m = bench.world.z_m
        await bench.call("TipShaper.Start", wait=0, timeout_ms=-1)
        lowest = resting_m
        while bench.now < 1.7:
            lowest = min(lowest, (await bench.call("ZCtrl.ZPosGet"))["z_m"])
            await asyncio.sleep(0.02)
        assert lowest == pytest.approx(resting_m - 2e-9, abs=2e-10)

    on_bench(test)


def test_a_spectrum_is_swept_and_the_bias_comes_back(on_bench):
    async def test(bench):
        reply = await bench.call("BiasSpectr.Start", get_data=1, basename="")
        assert reply["channels"] == ("Bias calc (V)", "Current (A)")
        bias_v, current_a = reply["data"]
        assert (bias_v[0], bias_v[-1]) == (-1.0, 1.0)
        assert current_a[0] < 0 < current_a[-1]
        assert bench.world.bias_v == 0.1
        assert bench.world.feedback is Feedback.ON

    on_bench(test)


def test_quitting_is_refused_and_unknown_folders_too(on_bench, tmp_path):
    async def test(bench):
        quit_values = {"stored": 0, "settings": "", "layout": "", "signals": 0}
        assert "ended where it was started" in await bench.refused("Util.Quit", **quit_values)
        text = await bench.refused("Util.SessionPathSet", path=str(tmp_path / "no"), save=0)
        assert text.endswith("Session Path not valid.")
        assert await bench.call("Util.SessionPathGet") == {"path": str(tmp_path)}

    on_bench(test)


def test_the_true_state_is_always_in_its_file(on_bench, tmp_path):
    truth = tmp_path / "truth.json"

    async def test(bench):
        assert json.loads(truth.read_text()) == bench.world.true_state()
        await bench.call("TipShaper.Start", wait=1, timeout_ms=-1)
        assert json.loads(truth.read_text()) == bench.world.true_state()
        assert json.loads(truth.read_text())["time_s"] > 0

    on_bench(test, truth=truth)
