"""The operator's hands on the controller: what somebody else has set is neither lost nor undone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivers.actions import MoveTo, Pulse, TunnellingPoint
from drivers.errors import InstrumentError, SettingsChanged
from drivers.nanonis.codes import ScanAction, ScanDirection, SpeedLock
from drivers.nanonis.microscope import NanonisMicroscope
from tests.drivers.nanonis_fake import AT, SCAN, Controller, meet, whole_scan

PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1)
MOVE = MoveTo(x_m=1e-8, y_m=0.0, speed_m_per_s=1e-8)
CHANGES = [
    ("Scan.Frame", "width_m", 30e-9, "Scan.Frame width_m from 2e-08 to 3e-08"),
    ("Scan.Speed", "forward_s", 0.3, "Scan.Speed forward_s from 0.2 to 0.3"),
    ("Scan.Buffer", "lines", 12, "Scan.Buffer lines from 6 to 12"),
    ("Scan.Speed", "keep", SpeedLock.LINEAR_SPEED, "Scan.Speed keep from "),
]


@pytest.mark.parametrize(("group", "name", "value", "told"), CHANGES)
@pytest.mark.parametrize("work", [SCAN, PULSE, MOVE])
def test_what_somebody_else_has_set_stops_before_anything_is_sent(work, group, name, value, told):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        fake.store[group][name] = value
        fake.log.clear()
        again = whole_scan(microscope, SCAN) if work is SCAN else microscope.perform(work)
        with pytest.raises(SettingsChanged, match=told):
            await again
        assert fake.names() == []

    meet(test)


def test_a_scan_that_somebody_has_changed_and_started_anew_is_not_stopped():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        lines = microscope.scan(SCAN)
        await anext(lines)
        fake.store["Scan.Buffer"]["lines"] = 12
        fake.pictures = np.zeros((2, 12, 16), np.float32)
        await fake.do_scan_action(ScanAction.START, ScanDirection.DOWN)
        with pytest.raises(SettingsChanged, match="somebody has changed the scan's settings"):
            await anext(lines)
        assert [v["action"] for v in fake.values("Scan.Action")] == [ScanAction.START]
        assert (await microscope.state()).scanning
        await fake.do_scan_action(ScanAction.STOP, ScanDirection.DOWN)

    meet(test)


class Rounding(Controller):
    """Keeps times in whole 7 us, and lets frame and speed alter one another as real ones do."""

    def plain(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        found = super().plain(name, values)
        speed = self.store["Scan.Speed"]
        if name == "Scan.SpeedSet":
            speed["forward_s"] = round(speed["forward_s"] / 7e-6) * 7e-6
        if name == "Scan.FrameSet":
            speed["forward_m_per_s"] = values["width_m"] / speed["forward_s"]
        if name == "Scan.BufferSet":
            self.store["Scan.Frame"]["angle_deg"] = 0.0
        return found


def test_the_rounding_of_the_controller_is_nobodys_hand():
    fake = Rounding()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        await microscope.perform(MOVE)
        await microscope.perform(PULSE)
        elsewhere = SCAN.frame.model_copy(update={"width_m": 15e-9, "height_m": 15e-9})
        await whole_scan(microscope, SCAN.model_copy(update={"frame": elsewhere}))

    meet(test, fake)
    # Giving the frame back alters the speed, which is given back all the same.
    assert fake.store["Scan.Frame"]["width_m"] == pytest.approx(1e-7)
    assert fake.store["Scan.Speed"]["forward_s"] == pytest.approx(1.0, rel=1e-5)
    assert fake.store["Scan.Speed"]["keep"] is SpeedLock.LINEAR_SPEED


def test_closing_puts_everything_back_but_what_somebody_else_has_set():
    fake = Controller()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        fake.store["Scan.Frame"]["width_m"] = 42e-9
        fake.store["Bias."]["bias_v"] = 0.7

    meet(test, fake)
    assert fake.store["Scan.Frame"]["width_m"] == pytest.approx(42e-9)
    assert fake.store["Scan.Frame"]["x_m"] == pytest.approx(SCAN.frame.x_m)
    assert fake.store["Scan.Buffer"]["pixels"] == 256
    assert fake.store["Bias."]["bias_v"] == 0.7
    assert fake.store["ZCtrl.Setpnt"]["setpoint_a"] == pytest.approx(AT.setpoint_a)


def test_closing_puts_bias_and_setpoint_back_together():
    fake = Controller()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        other = TunnellingPoint(bias_v=0.8, setpoint_a=70e-12)
        await microscope.perform(PULSE.model_copy(update={"at": other}))

    meet(test, fake)
    assert fake.store["Bias."]["bias_v"] == pytest.approx(0.5)
    assert fake.store["ZCtrl.Setpnt"]["setpoint_a"] == pytest.approx(50e-12)


def test_closing_changes_nothing_under_a_scan_of_somebody_else():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        await fake.do_scan_action(ScanAction.START, ScanDirection.DOWN)
        fake.log.clear()
        with pytest.raises(InstrumentError, match="somebody else has started a scan"):
            await microscope.close()
        assert fake.names() == []
        await fake.do_scan_action(ScanAction.STOP, ScanDirection.DOWN)

    meet(test)
