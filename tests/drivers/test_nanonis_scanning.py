"""The Nanonis microscope against a small scripted controller: scanning."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from drivers.actions import (
    Approach,
    Indentation,
    Pulse,
)
from drivers.errors import (
    InstrumentError,
)
from drivers.nanonis.codes import (
    Autosave,
    ScanAction,
    ScanDirection,
    SpeedLock,
    Switch,
)
from drivers.nanonis.microscope import NanonisMicroscope
from tests.drivers.nanonis_fake import (
    AT,
    SCAN,
    Controller,
    Z,
    meet,
    whole_scan,
)

DIP = Indentation(at=AT, depth_m=1e-9, lift_m=2e-9)
PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)
APPROACH = Approach(at=AT, max_steps=20, timeout_s=60)


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_scan_comes_line_by_line(direction):
    settings = SCAN.model_copy(update={"direction": direction})

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        lines = await whole_scan(microscope, settings)
        assert [line.index for line in lines] == [0, 1, 2, 3, 4, 5]
        assert [line.row for line in lines] == [settings.row_of(i) for i in range(6)]
        times = np.array([line.time_s for line in lines])
        assert np.diff(times) == pytest.approx(0.4, abs=0.1)
        for line in lines:
            assert line.forward_m == pytest.approx(11 + line.row + np.arange(16) / 16)
            assert line.backward_m == pytest.approx(1 + line.row + np.arange(16) / 16)
            assert line.forward_m.dtype == np.float32
            assert line.forward_m.dtype.isnative

    meet(test)


def test_a_second_scan_does_not_yield_the_rows_of_the_first():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.pictures += 3.0  # the controller still has the last picture
        lines = await whole_scan(microscope, SCAN)
        assert lines[0].forward_m[0] == 11.0
        assert lines[1].time_s - lines[0].time_s == pytest.approx(0.4, abs=0.1)

    meet(test)


def test_a_rig_that_stores_the_way_back_in_its_own_order():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        line = (await whole_scan(microscope, SCAN))[2]
        assert line.backward_m == pytest.approx(3 + np.arange(16)[::-1] / 16)

    meet(test, query="flip_backward=true")


def test_a_scan_is_set_up_in_full_and_everything_comes_back_at_the_end():
    fake = Controller()
    before = {group: dict(values) for group, values in fake.store.items()}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        assert fake.store["Scan.Props"] == {
            "continuous": Switch.OFF,
            "bouncy": Switch.OFF,
            "autosave": Autosave.ALL,
            "series": "night",
            "comment": "",
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
    for group, values in before.items():
        for name, value in values.items():
            found = fake.store[group][name]
            assert found == (pytest.approx(value) if isinstance(value, float) else value)


def test_the_working_point_of_a_withdrawn_tip_is_left_alone():
    fake = Controller()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        await microscope.withdraw()
        fake.log.clear()

    meet(test, fake)
    assert "Bias.Set" not in fake.names()
    assert fake.store["Bias."]["bias_v"] == pytest.approx(1.0)
    assert fake.store["Scan.Frame"]["width_m"] == pytest.approx(1e-7)


def test_a_scan_nobody_listens_to_is_stopped():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        lines = microscope.scan(SCAN)
        await anext(lines)
        await lines.aclose()
        assert fake.values("Scan.Action")[-1]["action"] is ScanAction.STOP
        assert not (await microscope.state()).scanning

    meet(test)


def test_a_scan_that_somebody_stops_is_an_error():
    fake = Controller()
    fake.scan_stops_after = 2
    fake.pictures += 3.0

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        lines = microscope.scan(SCAN)
        assert [(await anext(lines)).index for _ in range(2)] == [0, 1]
        with pytest.raises(InstrumentError, match="after 2 of 6 lines"):
            await anext(lines)

    meet(test, fake)


def test_a_scan_that_stalls_is_an_error_and_is_stopped():
    class Stalling(Controller):
        async def scan(self, direction: ScanDirection) -> None:
            await asyncio.sleep(1000)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match="no line of the scan"):
            await whole_scan(microscope, SCAN)
        assert fake.values("Scan.Action")[-1]["action"] is ScanAction.STOP

    meet(test, Stalling())


def test_nothing_is_done_while_somebody_else_scans():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.scan_task = asyncio.create_task(asyncio.sleep(100))
        with pytest.raises(InstrumentError, match="a scan is running"):
            await microscope.perform(PULSE)
        with pytest.raises(InstrumentError, match="a scan is running"):
            await whole_scan(microscope, SCAN)
        assert fake.names() == []

    meet(test)


def test_settings_that_are_not_taken_over_are_errors():
    class Coercing(Controller):
        async def do_scan_bufferset(self, channels: tuple, pixels: int, lines: int) -> None:
            self.store["Scan.Buffer"] = {"channels": channels, "pixels": 256, "lines": lines}

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        with pytest.raises(InstrumentError, match=r"pixels = 16 .* kept 256"):
            await whole_scan(microscope, SCAN)

    meet(test, Coercing())


def test_the_port_kept_for_the_emergency_stop_is_never_opened():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.perform(DIP)
        await whole_scan(microscope, SCAN)
        assert {port for port, _, _ in fake.log} == {0, 1, 2}

    meet(test)
