"""Scans of the simulated Nanonis controller, in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from drivers import Frame, Scan, ScanSettings, TunnellingPoint
from drivers.errors import CommandFailed
from drivers.formats import read_sxm
from drivers.nanonis import codes
from sim.presets.preset import load_preset
from sim.world import World
from tests.sim.nanonis_server.conftest import Bench

CURRENT, BIAS, X, Y, Z = 0, 24, 28, 29, 30
UP, DOWN = codes.ScanDirection.UP, codes.ScanDirection.DOWN
FORWARD, BACKWARD = codes.Sweep.FORWARD, codes.Sweep.BACKWARD
START, STOP, PAUSE, RESUME = list(codes.ScanAction)[:4]
ON, OFF, KEEP = codes.SetSwitch.ON, codes.SetSwitch.OFF, codes.SetSwitch.KEEP
FRAME = Frame(x_m=20e-9, y_m=-10e-9, width_m=16e-9, height_m=12e-9, angle_deg=30.0)
PIXELS, LINES, SEED = 32, 8, 3


class ScanBench(Bench):
    """A controller set up for a small scan."""

    async def set_up(self, **props: object) -> None:
        channels = (CURRENT, Z, X, Y, BIAS)
        await self.call("Scan.BufferSet", channels=channels, pixels=PIXELS, lines=LINES)
        await self.call("Scan.FrameSet", **FRAME.model_dump())
        await self.call(
            "Scan.SpeedSet",
            forward_m_per_s=0.0,
            backward_m_per_s=0.0,
            forward_s=0.25,
            backward_s=0.0,
            keep=codes.SetSpeedLock.TIME_PER_LINE,
            ratio=0.5,
        )
        plain = {
            "series": "night_",
            "comment": "",
            "modules": (),
            "autopaste": codes.SetAutopaste.KEEP,
        }
        codes_set = {"continuous": OFF, "bouncy": OFF, "autosave": codes.SetAutosave.ALL}
        await self.call("Scan.PropsSet", **plain | codes_set | props)

    async def start(self, direction=UP) -> None:
        await self.call("Scan.Action", action=START, direction=direction)

    async def act(self, action) -> None:
        await self.call("Scan.Action", action=action, direction=DOWN)

    async def wait(self, timeout_ms=-1) -> tuple[int, str]:
        reply = await self.call("Scan.WaitEndOfScan", timeout_ms=timeout_ms)
        return reply["timed_out"], reply["path"]

    async def grab(self, channel=Z, sweep=FORWARD) -> np.ndarray:
        reply = await self.call("Scan.FrameDataGrab", channel=channel, sweep=sweep)
        return np.asarray(reply["data"], np.float32)

    async def running(self) -> bool:
        return (await self.call("Scan.StatusGet"))["status"] is codes.Switch.ON

    def expected(self, direction: str) -> Scan:
        """The same scan, straight from a world of the same seed."""
        world = World(load_preset("au111"), SEED)
        settings = ScanSettings(
            frame=Frame(**{k: float(np.float32(v)) for k, v in FRAME.model_dump().items()}),
            pixels=PIXELS,
            lines=LINES,
            forward_s=0.25,
            backward_s=0.5,
            at=TunnellingPoint(bias_v=world.bias_v, setpoint_a=world.setpoint_a),
            direction=direction,
        )
        return Scan.from_lines(settings, world.lines(settings))


@pytest.fixture
def on_bench(run_virtual, tmp_path):
    """Run ``test(bench)`` in virtual time on a controller that is set up."""

    def run(test, **props):
        async def main():
            bench = ScanBench(tmp_path, seed=SEED)
            await bench.set_up(**props)
            try:
                return await test(bench)
            finally:
                await bench.controller.close()

        return run_virtual(main)

    return run


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_a_scan_is_what_the_world_gives(on_bench, direction):
    async def test(bench):
        await bench.start(direction)
        timed_out, path = await bench.wait()
        assert not timed_out
        expected = bench.expected(direction.name.lower())
        np.testing.assert_array_equal(await bench.grab(sweep=FORWARD), expected.forward)
        np.testing.assert_array_equal(await bench.grab(sweep=BACKWARD), expected.backward)
        saved = read_sxm(path)
        np.testing.assert_array_equal(saved.forward, expected.forward)
        np.testing.assert_array_equal(saved.backward, expected.backward)
        assert saved.direction == expected.direction
        assert saved.frame.angle_deg == pytest.approx(30.0)
        assert (saved.bias_v, saved.forward_s) == (pytest.approx(0.1), 0.25)
        assert "simulated by tipsmith" in saved.comment

    on_bench(test)


def test_polling_a_scan_does_not_change_it(on_bench):
    async def test(bench):
        await bench.start()
        while await bench.running():
            await bench.call("Signals.ValGet", index=Z, wait_newest=0)
            await bench.grab()
        np.testing.assert_array_equal(await bench.grab(), bench.expected("up").forward)

    on_bench(test)


def test_rows_fill_from_the_edge_where_the_scan_begins(on_bench):
    async def test(bench):
        for direction, rows in ((UP, slice(-3, None)), (DOWN, slice(0, 3))):
            await bench.start(direction)
            for _ in range(6):
                await bench.call("Scan.WaitEndOfLine", timeout_ms=60_000)
            picture = await bench.grab()
            filled = np.isfinite(picture).all(axis=1)
            assert filled[rows].all()
            assert filled.sum() in (3, 4)
            assert np.isnan(picture[~filled]).all()
            await bench.act(STOP)

    on_bench(test)


def test_lines_end_one_way_and_then_the_other(on_bench):
    async def test(bench):
        await bench.start()
        ends = []
        while len(ends) < 5:
            reply = await bench.call("Scan.WaitEndOfLine", timeout_ms=60_000)
            ends.append((reply["timed_out"], reply["line"], reply["movement"]))
        assert ends == [(0, -1, 3), (0, 1, 0), (0, 1, 1), (0, 2, 0), (0, 2, 1)]
        began = bench.now
        reply = await bench.call("Scan.WaitEndOfLine", timeout_ms=100)
        assert reply["timed_out"] == 1
        assert bench.now - began == pytest.approx(0.1)

    on_bench(test)


def test_waiting_blocks_its_caller_only_and_times_out(on_bench):
    async def test(bench):
        await bench.start()
        assert await bench.wait(timeout_ms=500) == (1, "")
        assert bench.now == pytest.approx(0.5)
        waiting = asyncio.create_task(bench.wait())
        await asyncio.sleep(1.0)
        assert await bench.running()
        assert not waiting.done()
        timed_out, path = await waiting
        assert (timed_out, Path(path).name) == (0, "night_001.sxm")
        assert await bench.wait() == (0, path)

    on_bench(test)


def test_a_stopped_scan_has_no_file(on_bench):
    async def test(bench):
        await bench.start()
        waiting = asyncio.create_task(bench.wait())
        await asyncio.sleep(2.0)
        await bench.act(STOP)
        assert await waiting == (0, "")
        assert not await bench.running()
        assert not bench.world.scanning
        assert not list(bench.folder.iterdir())

    on_bench(test)


def test_starting_again_begins_from_nothing(on_bench):
    async def test(bench):
        await bench.start()
        await asyncio.sleep(4.0)
        assert np.isfinite(await bench.grab()).any()
        await bench.start(DOWN)
        assert np.isnan(await bench.grab()).all()
        await bench.wait()
        assert np.isfinite(await bench.grab()).all()
        assert [path.name for path in bench.folder.iterdir()] == ["night_001.sxm"]

    on_bench(test)


def test_a_pause_halts_and_a_resume_goes_on(on_bench):
    async def test(bench):
        await bench.start()
        await asyncio.sleep(2.5)
        await bench.act(PAUSE)
        await asyncio.sleep(2.0)
        halted = await bench.grab()
        await asyncio.sleep(30.0)
        np.testing.assert_array_equal(await bench.grab(), halted)
        assert np.isnan(halted).any()
        assert not await bench.running()
        await bench.act(RESUME)
        assert (await bench.wait())[1]
        assert np.isfinite(await bench.grab()).all()

    on_bench(test)


def test_continuous_scans_bounce_and_are_numbered(on_bench):
    async def test(bench):
        await bench.start(UP)
        paths = [(await bench.wait())[1] for _ in range(3)]
        assert [Path(path).name for path in paths] == [f"night_00{n}.sxm" for n in (1, 2, 3)]
        assert [read_sxm(path).direction for path in paths] == ["up", "down", "up"]
        assert await bench.running()

    on_bench(test, continuous=ON, bouncy=ON)


def test_autosave_of_the_next_scan_saves_one(on_bench):
    async def test(bench):
        for saved in (True, False):
            await bench.start()
            assert bool((await bench.wait())[1]) is saved
        await bench.call("Scan.Save", wait=1, timeout_ms=-1)
        assert len(list(bench.folder.iterdir())) == 2

    on_bench(test, autosave=codes.SetAutosave.NEXT)


def test_names_of_series_become_names_of_files(on_bench):
    async def test(bench):
        await bench.start()
        assert Path((await bench.wait())[1]).name == ".._a_b001.sxm"

    on_bench(test, series="../a:b")


def test_other_channels_are_recorded_too(on_bench):
    async def test(bench):
        await bench.start()
        await bench.wait()
        assert np.median(await bench.grab(CURRENT)) == pytest.approx(100e-12, rel=0.1)
        np.testing.assert_allclose(await bench.grab(BIAS), 0.1, rtol=1e-6)
        x = await bench.grab(X)
        corner = FRAME.to_sample(-8e-9, 6e-9 * (1 - 1 / LINES))
        assert x[0, 0] == pytest.approx(corner[0], abs=1e-12)
        assert (await bench.grab(Y))[0, 0] == pytest.approx(corner[1], abs=1e-12)

    on_bench(test)


def test_channels_that_are_not_recorded_are_refused(on_bench):
    async def test(bench):
        with pytest.raises(CommandFailed, match="not recorded"):
            await bench.grab(channel=5)
        with pytest.raises(CommandFailed, match="out of range"):
            await bench.call("Scan.BufferSet", channels=(200,), pixels=16, lines=16)

    on_bench(test)


@pytest.mark.parametrize(
    ("asked", "given"), [((100, 0), (96, 24)), ((5, 7), (16, 7)), ((64, 64), (64, 64))]
)
def test_pixels_come_in_sixteens_and_no_lines_keep_the_shape(on_bench, asked, given):
    async def test(bench):
        await bench.call("Scan.BufferSet", channels=(Z,), pixels=asked[0], lines=asked[1])
        buffer = await bench.call("Scan.BufferGet")
        assert (buffer["pixels"], buffer["lines"]) == given
        assert np.isnan(await bench.grab()).all()
        assert (await bench.grab()).shape == given[::-1]

    on_bench(test)


def test_frames_outside_the_range_are_refused(on_bench):
    async def test(bench):
        for change in ({"x_m": 1e-3}, {"width_m": 1e-3}, {"height_m": 0.0}):
            with pytest.raises(CommandFailed, match="frame"):
                await bench.call("Scan.FrameSet", **FRAME.model_dump() | change)
        frame = await bench.call("Scan.FrameGet")
        assert frame == pytest.approx(FRAME.model_dump())

    on_bench(test)


def test_a_new_frame_keeps_the_speed_or_the_time(on_bench):
    async def test(bench):
        wide = FRAME.model_dump() | {"width_m": 32e-9}
        speed = await bench.call("Scan.SpeedGet")
        assert speed["keep"] is codes.SpeedLock.TIME_PER_LINE
        assert (speed["forward_s"], speed["backward_s"]) == (0.25, 0.5)
        await bench.call("Scan.FrameSet", **wide)
        assert (await bench.call("Scan.SpeedGet"))["forward_s"] == 0.25
        linear = {**speed, "keep": codes.SetSpeedLock.LINEAR_SPEED, "forward_m_per_s": 64e-9}
        await bench.call("Scan.SpeedSet", **linear)
        assert (await bench.call("Scan.SpeedGet"))["forward_s"] == pytest.approx(0.5)
        await bench.call("Scan.FrameSet", **FRAME.model_dump())
        assert (await bench.call("Scan.SpeedGet"))["forward_s"] == pytest.approx(0.25)

    on_bench(test)


def test_without_contact_the_scan_goes_on_and_shows_nothing(on_bench):
    async def test(bench):
        await bench.start()
        await asyncio.sleep(3.0)
        await bench.call("ZCtrl.Withdraw", wait=1, timeout_ms=-1)
        assert (await bench.wait())[1]
        rows = (await bench.grab()).std(axis=1)
        assert rows[-1] > 0
        assert (rows[:3] == 0).all()

    on_bench(test)


def test_safe_tip_pauses_the_scan_where_it_is_asked_to(on_bench):
    async def test(bench):
        on, off = codes.Switch.ON, codes.Switch.OFF
        props = {"auto_recovery": off, "auto_pause_scan": on, "threshold": 1e-9}
        await bench.call("SafeTip.PropsSet", **props)
        await bench.call("SafeTip.OnOffSet", status=codes.SetSwitch.ON)
        await bench.start()
        await asyncio.sleep(2.0)
        hold, absolute = codes.PulseHold.HOLD, codes.PulseReference.ABSOLUTE
        pulse = {"wait": 1, "width_s": 0.1, "bias_v": 6.0}
        await bench.call("Bias.Pulse", **pulse, hold=hold, reference=absolute)
        assert not await bench.running()
        assert (await bench.call("ZCtrl.StatusGet"))["status"] is codes.ZStatus.SAFE_TIP

    on_bench(test)
