"""Readings at one point: remembered ones are those that a fresh look would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.presets.preset import Preset
from sim.sample import Bump, Sample
from sim.scans.junction import Junction
from sim.scans.motion import Motion
from sim.spectra.electronics import Electronics
from sim.tips.tip import Tip

HERE = (3.0, -2.0, 0.0, 0.5)


def junction(preset: Preset) -> Junction:
    motion = Motion(preset, np.random.default_rng(0))
    electronics = Electronics(preset.spectrum.tip, 3)
    return Junction(preset, Sample(preset, 3), Tip(radius_nm=1.0), electronics, motion)


def test_a_reading_at_the_same_point_follows_the_surface(preset: Preset) -> None:
    here = junction(preset)
    before = here.contact_nm(*HERE)
    assert here.contact_nm(*HERE) == before
    here.sample.add([Bump(*here.place_nm(*HERE[:3]), 0.5, 1.0, 1.0)])
    assert here.contact_nm(*HERE)[0] > before[0] + 0.3


def test_a_reading_at_the_same_point_follows_the_tip(preset: Preset) -> None:
    here = junction(preset)
    before = here.contact_nm(*HERE)
    here.tip = replace(here.tip, length_nm=1.0)
    assert here.contact_nm(*HERE) == pytest.approx((before[0] + 1, before[1] + 1))
    here.tip = replace(here.tip, radius_nm=5.0)
    assert here.contact_nm(*HERE) != pytest.approx((before[0] + 1, before[1] + 1), abs=1e-6)


def test_a_reading_follows_scanner_and_drift(preset: Preset) -> None:
    here, other = junction(preset), junction(preset)
    here.contact_nm(*HERE)
    here.motion.moved(1.0, 5.0, 0.0, 0.0)
    other.motion.moved(1.0, 5.0, 0.0, 0.0)
    later = 3.0, -2.0, 1.0, 0.5
    # The patch of the first look is still in use, so its grid is another one.
    assert here.contact_nm(*later) == pytest.approx(other.contact_nm(*later), abs=1e-3)
    assert here.contact_nm(*later) != here.contact_nm(*HERE)
